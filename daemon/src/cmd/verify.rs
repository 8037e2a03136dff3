//! `gtv-edge verify`: is this exported file what the box recorded and signed, and if not, what was altered?

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::evidence::{self, Report};

#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// The exported .zip file, or an .mp4 file whose manifest lies beside it.
    pub file: PathBuf,
    /// Public key of the box (64 hexadecimal digits), as the centre has it. Without it the key in the manifest is
    /// taken, which proves that nothing was altered but not which box signed.
    #[arg(long)]
    pub key: Option<String>,
    /// The findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Exit code 0 when nothing was altered.
pub fn run(args: &VerifyArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let reports = evidence::verify(&args.file, args.key.as_deref())?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&reports)?)?;
    } else {
        for report in &reports {
            write!(out, "{}", text(report))?;
        }
    }
    let intact = reports.iter().all(|report| report.findings.is_empty());
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// In words, for a person.
fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    if report.findings.is_empty() {
        lines.push(format!("{}: intact", report.file));
    } else {
        lines.push(format!("{}: ALTERED", report.file));
        lines.extend(report.findings.iter().map(|finding| format!("  {finding}")));
    }
    if let Some(manifest) = &report.manifest {
        lines.push(format!(
            "  camera {} ({}) on box {}, {} fragments, {} gaps, {} plates, {} bytes",
            manifest.camera,
            manifest.stream,
            manifest.box_id,
            manifest.fragments.len(),
            manifest.gaps.len(),
            manifest.detections.len(),
            manifest.bytes
        ));
        if !manifest.exported_by.is_empty() {
            lines.push(format!("  exported by {} because: {}", manifest.exported_by, manifest.reason));
        }
    }
    lines.push(if report.key_is_trusted {
        "  signed by the given key".to_owned()
    } else {
        format!("  key {}: compare it with the key of this box at the centre", report.public_key)
    });
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::export::{self, ExportArgs};
    use crate::base::identity::Identity;
    use crate::base::time::UtcMicros;
    use crate::config::Config;
    use crate::evidence::{Finding, Report, verify};
    use crate::store::{AuditQuery, InitRow, NewFragment, NewSegment, Store, Stream};

    /// Two segments whose camera changed its settings between them.
    async fn record(dir: &Path) {
        let store = Store::open(dir).unwrap();
        Identity::open_or_create(dir).unwrap();
        std::fs::create_dir_all(dir.join("recordings")).unwrap();
        for (index, init) in ["one", "two"].into_iter().enumerate() {
            let row = InitRow {
                id: init.to_owned(),
                data: init.as_bytes().to_vec(),
                mime: "video/mp4".to_owned(),
                codec: "h264".to_owned(),
                width: 64,
                height: 48,
            };
            store.put_init(&row).await.unwrap();
            let path = format!("recordings/{init}.mp4");
            std::fs::write(dir.join(&path), format!("{init}AAAABBBB")).unwrap();
            let start = UtcMicros(index as i64 * 2_000_000);
            let new = NewSegment {
                camera: "gate".parse().unwrap(),
                stream: Stream::Main,
                path,
                init_id: init.to_owned(),
                start,
                head_bytes: 3,
                clocks: None,
            };
            let segment_id = store.open_segment(new).await.unwrap();
            let piece = |n: i64| NewFragment {
                segment_id,
                offset: 3 + 4 * n as u64,
                bytes: 4,
                start: start.add_micros(n * 1_000_000),
                duration_us: 1_000_000,
                frames: 25,
                key: true,
            };
            store.commit_fragments(vec![piece(0), piece(1)]).await.unwrap();
        }
    }

    fn args(folder: &Path, out: &str) -> ExportArgs {
        ExportArgs {
            camera: "gate".parse().unwrap(),
            from: UtcMicros(1_000_000),
            to: UtcMicros(9_000_000),
            stream: Stream::Main,
            reason: "case 7".to_owned(),
            by: Some("ana".to_owned()),
            out: folder.join(out),
        }
    }

    fn config(folder: &Path) -> Config {
        Config { data_dir: folder.to_owned(), ..Config::default() }
    }

    fn found(path: &Path, key: Option<&str>) -> Report {
        let mut reports = verify(path, key).unwrap();
        reports.pop().unwrap()
    }

    #[tokio::test]
    async fn an_export_verifies_and_an_altered_one_says_what_was_altered() {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path()).await;
        let (config, args) = (config(folder.path()), args(folder.path(), "out.mp4"));
        let files = export::run(&config, &args).await.unwrap();
        assert_eq!(files, [folder.path().join("out-1.mp4"), folder.path().join("out-2.mp4")]);
        assert_eq!(std::fs::read(&files[0]).unwrap(), b"oneBBBB");
        let good = found(&files[1], None);
        assert!(good.findings.is_empty() && !good.key_is_trusted, "{:?}", good.findings);
        let manifest = good.manifest.unwrap();
        assert_eq!((manifest.start_us, manifest.end_us), (2_000_000, 4_000_000));
        assert_eq!((manifest.exported_by.as_str(), manifest.reason.as_str()), ("ana", "case 7"));
        assert_eq!(manifest.segments.len(), 1);
        let key = good.public_key;
        assert!(found(&files[1], Some(&key)).key_is_trusted);
        let wrong = found(&files[1], Some(&"00".repeat(32)));
        assert_eq!(wrong.findings, [Finding::WrongKey { signed_by: key.clone() }]);

        let altered = |data: &[u8]| {
            std::fs::write(&files[1], data).unwrap();
            found(&files[1], Some(&key)).findings
        };
        let second = |number: usize| Finding::FragmentsAltered {
            first: number,
            last: number,
            from_byte: 4 * number as u64 - 1,
            to_byte: 4 * number as u64 + 3,
            start_us: 1_000_000 * (number as i64 + 1),
            end_us: 1_000_000 * (number as i64 + 2),
        };
        assert_eq!(altered(b"twoAAAABBxB"), [second(2)]);
        assert_eq!(altered(b"twxAAAABBBB"), [Finding::HeadAltered { from_byte: 0, to_byte: 3 }]);
        assert_eq!(altered(b"twoAAAABBBBC"), [Finding::Inserted { bytes: 1, at_byte: 11 }]);
        assert_eq!(altered(b"twoAAAAxxBBBB"), [Finding::Inserted { bytes: 2, at_byte: 7 }]);
        assert_eq!(altered(b"twoAAAA"), [Finding::CutOff { bytes: 7, signed_bytes: 11 }, second(2)]);
        assert_eq!(altered(b"twoBBBB"), [Finding::CutOff { bytes: 7, signed_bytes: 11 }, second(1)]);
        assert!(altered(b"twoAAAABBBB").is_empty());

        let beside = folder.path().join("out-2.mp4.manifest.json");
        let text = std::fs::read_to_string(&beside).unwrap();
        std::fs::write(&beside, text.replace("case 7", "case 8")).unwrap();
        assert_eq!(found(&files[1], Some(&key)).findings, [Finding::FieldAltered { field: "reason".to_owned() }]);
        std::fs::write(&beside, text.replace(&key, &"11".repeat(32))).unwrap();
        assert_eq!(found(&files[1], Some(&key)).findings, [Finding::PublicKeyAltered]);
        assert_eq!(found(&files[1], None).findings, [Finding::SignatureInvalid]);

        let again = export::run(&config, &args).await.unwrap_err();
        assert!(format!("{again:#}").contains("does not exist yet"));
        let nameless = ExportArgs { reason: "  ".to_owned(), ..args.clone() };
        assert!(format!("{:#}", export::run(&config, &nameless).await.unwrap_err()).contains("reason"));
    }

    #[tokio::test]
    async fn an_export_beside_the_running_daemon_is_one_zip_and_in_the_audit_log() {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path()).await;
        let store = Store::open(folder.path()).unwrap();
        let files = export::run(&config(folder.path()), &args(folder.path(), "out.zip")).await.unwrap();
        let reports = verify(&files[0], None).unwrap();
        assert_eq!(reports.len(), 2);
        assert!(reports.iter().all(|report| report.findings.is_empty()), "{reports:?}");
        let log = store.audit(AuditQuery::default()).await.unwrap();
        let actions: Vec<_> = log.iter().map(|row| (row.actor.as_str(), row.action.as_str())).collect();
        assert_eq!(actions, [("ana", "evidence.delivered"), ("ana", "evidence.export")]);
        assert!(log[1].subject.contains("case 7"), "{}", log[1].subject);

        let mut zip = std::fs::read(&files[0]).unwrap();
        let at = zip.windows(4).position(|window| window == b"BBBB").unwrap();
        zip[at] = b'x';
        std::fs::write(&files[0], &zip).unwrap();
        let reports = verify(&files[0], None).unwrap();
        assert_eq!(reports.iter().map(|report| report.findings.len()).collect::<Vec<_>>(), [1, 0]);
        assert!(matches!(reports[0].findings[0], Finding::FragmentsAltered { first: 1, last: 1, .. }));
    }
}
