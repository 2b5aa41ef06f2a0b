//! The configuration as its operator meets it.
#[test]
fn dump() {
    for entry in std::fs::read_dir("/tmp/cases").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let env = |n: &str| (n == "SECRET").then(|| "hunter%2".to_owned());
            let text = std::fs::read_to_string(&path).unwrap();
            let out = match super::parse("m.yaml".as_ref(), &text, &env) {
                Ok(config) => config.warnings.to_string(),
                Err(p) => p.to_string(),
            };
            std::fs::write(path.with_extension("out"), out).unwrap();
        }
    }
    for f in ["myelin", "inbound-http", "inbound-tcp", "outbound", "files"] {
        match super::load(format!("config/{f}.yaml").as_ref(), &|_| None) {
            Ok(c) => println!("{f} OK {}", c.warnings),
            Err(p) => println!("{f} {p}"),
        }
    }
}
