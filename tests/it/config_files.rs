//! The files in `config/` are what people copy: each is fit to be used.

use std::path::Path;

use myelin::config;

#[test]
fn every_file_in_config_is_fit_to_be_used() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut count = 0;

    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let filled_in = |name: &str| Some(format!("value-of-{name}"));
        if let Err(problems) = config::load(&path, &filled_in) {
            panic!("{}:\n{problems}", path.display());
        }
        count += 1;
    }

    assert!(count > 0, "there are none");
}
