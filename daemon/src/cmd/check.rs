//! `gtv-edge check`: the configuration and the invariants of the data folder, also of a running box.

use std::io::Write;
use std::path::Path;

use crate::base::ids::BoxId;
use crate::config::units::ByteSize;
use crate::config::{Config, validate};
use crate::store::{self, CheckOptions, Checked, Depth, Finding, FindingSeverity};

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CheckArgs {
    /// Also read every file and compare it with its digest; takes as long as reading the disk at --rate.
    #[arg(long)]
    pub deep: bool,
    /// Read at most this much a second, so that a live box goes on recording; "0 B": as fast as the disk.
    #[arg(long, default_value = "64 MiB", value_name = "SIZE")]
    pub rate: ByteSize,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

impl CheckArgs {
    pub fn options(&self) -> CheckOptions {
        let depth = if self.deep { Depth::Deep } else { Depth::Quick };
        CheckOptions { depth, bytes_per_second: self.rate.0 }
    }
}

/// Everything else goes first: the kernel gives a nice process the processor, and with it the disk, last.
pub fn yield_to_others() {
    if let Err(error) = rustix::process::nice(19) {
        tracing::warn!(%error, "the check runs at normal priority");
    }
}

/// What was verified and everything that is not as it should be.
pub fn run(config: &Config, options: CheckOptions) -> Checked {
    let problems = validate(config).into_iter().map(|problem| Finding {
        severity: FindingSeverity::Error,
        invariant: "config",
        thing: problem.key,
        message: problem.message,
        remedy: "correct the configuration",
    });
    let mut findings: Vec<Finding> = problems.collect();
    let dir = &config.data_dir;
    let of_store = |severity, message: String, remedy| Finding {
        severity,
        invariant: "store",
        thing: dir.display().to_string(),
        message,
        remedy,
    };
    let mut checked = Checked::default();
    if store::exists(dir) {
        match store::check_with(dir, box_id(dir), options) {
            Ok(found) => checked = found,
            Err(error) => findings.push(of_store(FindingSeverity::Error, error.to_string(), "see the message")),
        }
    } else {
        let message = "there is no database yet".to_owned();
        findings.push(of_store(FindingSeverity::Warning, message, "start the daemon, or correct `data_dir`"));
    }
    findings.append(&mut checked.findings);
    Checked { findings, ..checked }
}

/// Prints what was found and returns the exit status: 1 where a finding is an error.
pub fn report(checked: &Checked, json: bool, out: &mut impl Write) -> std::io::Result<u8> {
    let Checked { invariants, findings } = checked;
    let errors = findings.iter().filter(|finding| finding.severity == FindingSeverity::Error).count();
    if json {
        let object = serde_json::json!({ "ok": errors == 0, "invariants": invariants, "findings": findings });
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
        for verified in invariants {
            let state = match (verified.errors, verified.warnings) {
                (0, 0) => "ok".to_owned(),
                (errors, warnings) => format!("{errors} errors, {warnings} warnings"),
            };
            writeln!(out, "{:<8} {}: {} looked at, {state}", verified.invariant, verified.what, verified.looked_at)?;
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
        let options = |depth| CheckOptions { depth, bytes_per_second: 0 };
        let print = |checked: &Checked, json| {
            let mut out = Vec::new();
            let status = report(checked, json, &mut out).unwrap();
            (status, String::from_utf8(out).unwrap())
        };
        let (status, text) = print(&run(&config, options(Depth::Quick)), false);
        assert_eq!(status, 0, "{text}");
        assert!(text.contains("no database yet"), "{text}");

        drop(Store::open(folder.path()).unwrap());
        let checked = run(&config, options(Depth::Deep));
        assert_eq!(checked.findings, []);
        let named: Vec<_> = checked.invariants.iter().map(|verified| verified.invariant).collect();
        for invariant in ["R1", "R2", "R3", "R4", "R5"] {
            assert!(named.contains(&invariant), "{named:?}");
        }
        let (_, text) = print(&checked, false);
        assert!(text.contains("R5") && text.contains("0 looked at, ok"), "{text}");
        std::fs::write(folder.path().join("gtv.db"), [7; 4096]).unwrap();
        let (status, text) = print(&run(&config, options(Depth::Quick)), true);
        assert_eq!(status, 1);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["ok"], false);
        assert_eq!(answer["findings"][0]["severity"], "error");
    }
}
