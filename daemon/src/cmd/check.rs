//! `gtv-edge check`: the configuration and the invariants of the data folder, also of a running box.

use std::io::Write;
use std::path::Path;

use crate::base::ids::BoxId;
use crate::config::{Config, validate};
use crate::store::{self, Depth, Finding, FindingSeverity};

#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// Also read every file and compare it with its digest; takes as long as reading the disk.
    #[arg(long)]
    pub deep: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Everything that is not as it should be.
pub fn run(config: &Config, depth: Depth) -> Vec<Finding> {
    let mut findings: Vec<Finding> = validate(config)
        .into_iter()
        .map(|problem| Finding {
            severity: FindingSeverity::Error,
            invariant: "config",
            thing: problem.key,
            message: problem.message,
            remedy: "correct the configuration",
        })
        .collect();
    if !store::exists(&config.data_dir) {
        findings.push(Finding {
            severity: FindingSeverity::Warning,
            invariant: "store",
            thing: config.data_dir.display().to_string(),
            message: "there is no database yet".to_owned(),
            remedy: "start the daemon, or correct `data_dir`",
        });
        return findings;
    }
    match store::check(&config.data_dir, box_id(&config.data_dir), depth) {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding {
            severity: FindingSeverity::Error,
            invariant: "store",
            thing: config.data_dir.display().to_string(),
            message: error.to_string(),
            remedy: "see the message",
        }),
    }
    findings
}

/// Prints the findings and returns the exit status: 1 where one is an error.
pub fn report(findings: &[Finding], json: bool, out: &mut impl Write) -> std::io::Result<u8> {
    let errors = findings.iter().filter(|finding| finding.severity == FindingSeverity::Error).count();
    if json {
        let object = serde_json::json!({ "ok": errors == 0, "findings": findings });
        writeln!(out, "{object}")?;
    } else {
        for finding in findings {
            let severity = match finding.severity {
                FindingSeverity::Error => "error",
                FindingSeverity::Warning => "warning",
            };
            let Finding { invariant, thing, message, remedy, .. } = finding;
            writeln!(out, "{severity} {invariant} {thing}: {message}; {remedy}")?;
        }
        writeln!(out, "{} errors, {} warnings", errors, findings.len() - errors)?;
    }
    Ok(u8::from(errors > 0))
}

/// The id of the box, without making one where there is none.
fn box_id(data_dir: &Path) -> Option<BoxId> {
    std::fs::read_to_string(data_dir.join("keys/box.id")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_good_store_passes_and_a_damaged_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        let print = |findings: &[Finding], json| {
            let mut out = Vec::new();
            let status = report(findings, json, &mut out).unwrap();
            (status, String::from_utf8(out).unwrap())
        };
        let (status, text) = print(&run(&config, Depth::Quick), false);
        assert_eq!(status, 0, "{text}");
        assert!(text.contains("no database yet"), "{text}");

        drop(Store::open(folder.path()).unwrap());
        assert_eq!(run(&config, Depth::Deep), []);
        std::fs::write(folder.path().join("gtv.db"), [7; 4096]).unwrap();
        let (status, text) = print(&run(&config, Depth::Quick), true);
        assert_eq!(status, 1);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["ok"], false);
        assert_eq!(answer["findings"][0]["severity"], "error");
    }
}
