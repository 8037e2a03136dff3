//! README.md and the example environment know every setting, and no other.

use std::collections::BTreeSet;
use std::process::Command;

fn variables(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("GTV_SYNC_")).map(str::to_owned).collect()
}

#[test]
fn every_setting_is_documented_and_every_documented_setting_exists() {
    let mut real = BTreeSet::new();
    for command in ["serve", "audit"] {
        let output = Command::new(env!("CARGO_BIN_EXE_gtv-sync")).args([command, "--help"]).output().unwrap();
        real.extend(variables(&String::from_utf8(output.stdout).unwrap()));
    }
    assert_eq!(variables(include_str!("../README.md")), real);
    let example = variables(include_str!("../deploy/gtv-sync.env.example"));
    assert!(example.is_subset(&real), "{:?}", example.difference(&real).collect::<Vec<_>>());
}
