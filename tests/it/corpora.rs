//! What the fuzzers' corpora say holds for every input, and for variations on it: always the same ones, so
//! that what fails here fails everywhere.

use std::fs;
use std::path::{Path, PathBuf};

use self::properties::{Property, TARGETS};

#[path = "../fuzz/properties/mod.rs"]
mod properties;

/// How often each input is varied, unless `VARIATIONS` says otherwise: many times more is a fuzzer without
/// a compass.
const VARIATIONS: u64 = 100;

/// What parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"<",
    b">",
    b"&",
    b"\"",
    b"'",
    b"/",
    b"--",
    b"]]>",
    b"<!",
    b"<?",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\x0b",
    b"\x1c",
    b"|",
    b"^",
    b"{",
    b"}",
    b"[",
    b"]",
    b": ",
    b"- ",
    b"#",
    b"%2f",
    b"..",
    b"//",
    b"\xff",
    b"\xc0\xbc",
    b"\xef\xbb\xbf",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x04",
    b"xmlns=''",
];

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    for file in fs::read_dir(corpus(target)).unwrap() {
        let path = file.unwrap().path();
        inputs.push((path.display().to_string(), fs::read(&path).unwrap()));
    }
    inputs.sort();
    inputs
}

/// Says which input it was if a property does not hold.
struct Told<'a>(&'a str, u64, &'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(name, variation, input) = self;
            eprintln!("{name}, variation {variation}: {:?}", String::from_utf8_lossy(input));
        }
    }
}

/// Marsaglia's xorshift: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below.max(1) as u64).unwrap()
    }
}

/// `input` with a few changes.
fn varied(input: &[u8], others: &[(String, Vec<u8>)], seed: u64) -> Vec<u8> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed + 1));
    let mut varied = input.to_vec();
    for _ in 0..=dice.roll(4) {
        let place = dice.roll(varied.len() + 1);
        let end = (place + 1 + dice.roll(16)).min(varied.len());
        match dice.roll(6) {
            0 if place < varied.len() => varied[place] ^= 1 << dice.roll(8),
            1 => varied.truncate(place),
            2 => drop(varied.drain(place..end)),
            3 => {
                let again = varied[place..end].to_vec();
                drop(varied.splice(place..place, again));
            }
            4 => {
                let (_, other) = &others[dice.roll(others.len())];
                let from = dice.roll(other.len() + 1);
                varied.truncate(place);
                varied.extend_from_slice(&other[from..]);
            }
            _ => {
                let piece = PIECES[dice.roll(PIECES.len())];
                drop(varied.splice(place..place, piece.iter().copied()));
            }
        }
    }
    varied
}

fn replay(target: &str, property: Property) {
    let variations = std::env::var("VARIATIONS").map_or(VARIATIONS, |count| count.parse().unwrap());
    let inputs = inputs(target);
    assert!(inputs.len() >= 5, "{target}: the corpus is missing");
    for (name, input) in &inputs {
        let told = Told(name, 0, input);
        property(input);
        drop(told);
        for variation in 1..=variations {
            let input = varied(input, &inputs, variation);
            let _told = Told(name, variation, &input);
            property(&input);
        }
    }
}

#[test]
fn what_holds_for_any_input_holds_for_the_corpora_and_variations_on_them() {
    for (target, property) in TARGETS {
        replay(target, *property);
    }
}

#[test]
fn each_parser_has_a_property_a_corpus_and_a_fuzzer() {
    let names = |directory: &str| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(directory);
        let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        let mut names: Vec<_> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.retain(|name| name != "mod");
        names.sort();
        names
    };
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();

    assert_eq!(names("corpus"), targets);
    assert_eq!(names("properties"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}
