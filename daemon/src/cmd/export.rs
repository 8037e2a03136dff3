//! `gtv-edge export`: a recorded span as MP4, byte for byte as the camera sent it, with a manifest that the box signs.
//! Where the camera changed its settings within the span, each part becomes a file of its own. It is written into the
//! audit log of the box, also beside a running daemon.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::base::atomic_file;
use crate::base::identity::Identity;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::config::{CameraClock, Config};
use crate::evidence::{self, Clock, Plan, Request};
use crate::store::{AuditEntry, Store, Stream, append_audit_beside};

#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// Id of the camera.
    #[arg(long)]
    pub camera: CameraId,
    /// Start, RFC 3339, for example 2026-01-31T12:00:00Z.
    #[arg(long, value_parser = time)]
    pub from: UtcMicros,
    /// End, RFC 3339; at most 24 hours later.
    #[arg(long, value_parser = time)]
    pub to: UtcMicros,
    /// `main` or `sub`.
    #[arg(long, default_value = "main")]
    pub stream: Stream,
    /// What it is for, for example the number of the case; stands in the manifest and in the audit log.
    #[arg(long)]
    pub reason: String,
    /// Who exports; absent: the user of the console.
    #[arg(long)]
    pub by: Option<String>,
    /// What to write: a .zip file with everything in it, or an .mp4 file with its manifest beside it.
    #[arg(long, short)]
    pub out: PathBuf,
}

fn time(text: &str) -> Result<UtcMicros, String> {
    UtcMicros::parse_rfc3339(text).map_err(|e| format!("{e}; write for example 2026-01-31T12:00:00Z"))
}

/// Writes the files and returns their paths.
pub async fn run(config: &Config, args: &ExportArgs) -> anyhow::Result<Vec<PathBuf>> {
    let store = Store::open_read_only(&config.data_dir)?;
    if !config.data_dir.join("keys/box.key").exists() {
        bail!("{}: the key of the box is not there, so nothing can be signed", config.data_dir.join("keys").display());
    }
    let identity = Identity::open_or_create(&config.data_dir)?;
    let by = args.by.clone().unwrap_or_else(console_user);
    let camera_clock = config.camera(&args.camera).is_some_and(|camera| camera.clock == CameraClock::Camera);
    let request = Request {
        camera: args.camera.clone(),
        stream: args.stream,
        from: args.from,
        to: args.to,
        by: by.clone(),
        reason: args.reason.clone(),
        clock: Clock::now(if camera_clock { "camera" } else { "box" }, None),
    };
    let plan = Plan::new(&store, request).await?;
    let audit = |action: &str, detail: serde_json::Value| {
        let entry = AuditEntry {
            actor: by.clone(),
            action: action.to_owned(),
            subject: format!("{} because: {}", plan.subject(), args.reason.trim()),
            detail,
            remote: "console".to_owned(),
        };
        append_audit_beside(&config.data_dir, entry).context("nothing was exported, because it cannot be written down")
    };
    audit("evidence.export", serde_json::json!({ "outcome": "done" }))?;
    let (files, sha256) = write(&plan, &identity, &args.out)?;
    audit("evidence.delivered", serde_json::json!({ "outcome": "done", "sha256": sha256 }))?;
    Ok(files)
}

/// The files and the SHA-256 of each video.
fn write(plan: &Plan, identity: &Identity, out: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<String>)> {
    if out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        let sha256 = create(out, |file| Ok(evidence::bundle(plan, identity, file)?))?;
        return Ok((vec![out.to_owned()], sha256));
    }
    let (mut files, mut digests) = (Vec::new(), Vec::new());
    for (index, part) in plan.parts.iter().enumerate() {
        let path = if plan.parts.len() == 1 { out.to_owned() } else { numbered(out, index + 1) };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (sha256, signed) = create(&path, |file| Ok(evidence::write_file(plan, part, &name, identity, file)?))?;
        let beside = path.with_file_name(evidence::manifest_name(&name));
        atomic_file::write(&beside, &serde_json::to_vec_pretty(&signed)?)
            .with_context(|| format!("write {}", beside.display()))?;
        files.push(path);
        digests.push(sha256);
    }
    Ok((files, digests))
}

/// A new file, durable when this returns; nothing is left of one that could not be finished.
fn create<T>(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let file = File::create_new(path)
        .with_context(|| format!("create {}: choose a name that does not exist yet", path.display()))?;
    let mut out = BufWriter::new(file);
    let filled = fill(&mut out).and_then(|value| {
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(value)
    });
    filled.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// Whoever typed the command, also behind `sudo`.
fn console_user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "console".to_owned())
}

/// `out.mp4` becomes `out-2.mp4`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number}{extension}"))
}
