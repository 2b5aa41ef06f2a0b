//! What a sidecar leaves for others to see: its trail, as files, and its administrative pages.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Read at a time; what is left comes with the next look.
const AT_ONCE: u64 = 1024 * 1024;

/// Reads the records of a trail as they come.
pub(super) struct Reader {
    dir: PathBuf,
    file: Option<PathBuf>,
    offset: u64,
}

impl Reader {
    /// From the beginning.
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), file: None, offset: 0 }
    }

    /// The whole lines that are new since the last look.
    pub(super) fn news(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for file in segments(&self.dir)? {
            match &self.file {
                Some(current) if file < *current => continue,
                Some(current) if file == *current => {}
                Some(_) | None => {
                    self.offset = 0;
                    self.file = Some(file.clone());
                }
            }
            let mut bytes = Vec::new();
            let mut segment = fs::File::open(&file)?;
            segment.seek(SeekFrom::Start(self.offset))?;
            segment.take(AT_ONCE).read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            bytes.truncate(whole);
            self.offset += whole as u64;
            lines.extend(String::from_utf8_lossy(&bytes).lines().map(ToOwned::to_owned));
            if whole as u64 > AT_ONCE / 2 {
                break; // there may be more in this one
            }
        }
        Ok(lines)
    }
}

/// The files of a trail, oldest first.
fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The text at a path of names with dots between.
pub(super) fn field<'a>(record: &'a Value, path: &str) -> Option<&'a str> {
    path.split('.').try_fold(record, |value, name| value.get(name))?.as_str()
}

/// What `page`, in Prometheus's text form, says of a metric: its series with these labels together.
pub(super) fn metric(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    page.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_come_once_and_in_order_over_several_files() {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("trail-1.jsonl");
        let mut reader = Reader::of(dir.path());
        fs::write(&first, "{\"a\":1}\n{\"a\":").unwrap();
        assert_eq!(reader.news().unwrap(), ["{\"a\":1}"]);

        fs::write(&first, "{\"a\":1}\n{\"a\":2}\n").unwrap();
        fs::write(dir.path().join("trail-2.jsonl"), "{\"a\":3}\n").unwrap();
        assert_eq!(reader.news().unwrap(), ["{\"a\":2}", "{\"a\":3}"]);
        assert!(reader.news().unwrap().is_empty());
    }

    #[test]
    fn a_metric_is_the_sum_of_its_series() {
        let page =
            "# HELP up x\nup{a=\"1\",b=\"1\"} 2\nup{a=\"1\",b=\"2\"} 3\nup_total{a=\"1\"} 9\n";

        assert!((metric(page, "up", &[("a", "1")]) - 5.0).abs() < f64::EPSILON);
        assert!(metric(page, "up", &[("a", "2")]).abs() < f64::EPSILON);
    }
}
