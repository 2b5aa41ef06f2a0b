//! The fuzzer's corpus, replayed: what it found once stays found.

use std::path::Path;

use super::*;

#[test]
fn the_corpus_of_the_fuzzer_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/mllp");
    let mut count = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        let stream = std::fs::read(file.unwrap().path()).unwrap();
        for reading in [Reading::Messages, Reading::Answers] {
            let whole = scan_pieces(reading, [stream.as_slice()]);
            assert_eq!(whole.judged, scan_pieces(reading, stream.chunks(1)).judged);
        }
        count += 1;
    }
    assert!(count > 5, "the corpus is missing");
}
