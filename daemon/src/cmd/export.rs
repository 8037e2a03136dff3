//! `gtv-edge export`: a recorded span as MP4, byte for byte as the camera sent it, with a manifest that the box signs.
//! Where the camera changed its settings within the span, each part becomes a file of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::evidence::{self, FORMAT, FragmentDigest, Gap, Manifest, Plate, Signed};
use crate::base::atomic_file;
use crate::base::identity::Identity;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::config::Config;
use crate::store::{DetectionQuery, FragmentAt, Store, Stream};

#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// Id of the camera.
    #[arg(long)]
    pub camera: CameraId,
    /// Start, RFC 3339, for example 2026-01-31T12:00:00Z.
    #[arg(long, value_parser = time)]
    pub from: UtcMicros,
    /// End, RFC 3339.
    #[arg(long, value_parser = time)]
    pub to: UtcMicros,
    /// `main` or `sub`.
    #[arg(long, default_value = "main")]
    pub stream: Stream,
    /// The MP4 file to write; its manifest goes beside it.
    #[arg(long, short)]
    pub out: PathBuf,
}

fn time(text: &str) -> Result<UtcMicros, String> {
    UtcMicros::parse_rfc3339(text).map_err(|e| format!("{e}; write for example 2026-01-31T12:00:00Z"))
}

/// Writes the files and returns their paths.
pub async fn run(config: &Config, args: &ExportArgs) -> anyhow::Result<Vec<PathBuf>> {
    if args.to <= args.from {
        bail!("--to must be after --from");
    }
    let store = Store::open_read_only(&config.data_dir)?;
    if !config.data_dir.join("keys/box.key").exists() {
        bail!("{}: the key of the box is not there, so nothing can be signed", config.data_dir.join("keys").display());
    }
    let identity = Identity::open_or_create(&config.data_dir)?;
    let fragments = store.fragments_between(&args.camera, args.stream, args.from, args.to).await?;
    if fragments.is_empty() {
        bail!("nothing of camera {} ({}) is recorded from {} to {}", args.camera, args.stream, args.from, args.to);
    }
    let parts: Vec<&[FragmentAt]> = fragments.chunk_by(|a, b| a.init_id == b.init_id).collect();
    let mut written = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let path = if parts.len() == 1 { args.out.clone() } else { numbered(&args.out, index + 1) };
        export(&store, &identity, args, part, &path).await?;
        written.push(path);
    }
    Ok(written)
}

async fn export(
    store: &Store,
    identity: &Identity,
    args: &ExportArgs,
    part: &[FragmentAt],
    path: &Path,
) -> anyhow::Result<()> {
    let (Some(first), Some(last)) = (part.first(), part.last()) else { bail!("nothing to export") };
    let (start, end) = (first.start, last.start.add_micros(last.duration_us));
    let init = store.init(&first.init_id).await?.context("the decoder settings of this recording are gone")?;
    let (target, data_dir, pieces) = (path.to_owned(), store.dir().to_owned(), part.to_vec());
    let (bytes, sha256, fragments) =
        tokio::task::spawn_blocking(move || write(&target, &data_dir, &init.data, &pieces)).await??;
    let gaps = store.gaps(&args.camera, args.stream, start, end).await?;
    let mut query = DetectionQuery {
        camera: Some(args.camera.clone()),
        from: Some(start),
        to: Some(end),
        limit: DetectionQuery::MAX_LIMIT,
        ..DetectionQuery::default()
    };
    let mut detections = Vec::new();
    loop {
        let page = store.detections(query.clone()).await?;
        let Some(oldest) = page.last() else { break };
        query.before = Some(oldest.id);
        detections.extend(page.into_iter().map(|row| Plate {
            id: row.id.to_string(),
            plate: row.plate.as_str().to_owned(),
            confidence: row.confidence,
            best_at_us: row.best_at.0,
            crop_sha256: row.crop.map(|crop| crop.sha256),
        }));
    }
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        software: format!("gtv-edge {}", env!("CARGO_PKG_VERSION")),
        box_id: identity.box_id.to_string(),
        camera: args.camera.to_string(),
        stream: args.stream.to_string(),
        asked_from_us: args.from.0,
        asked_to_us: args.to.0,
        start_us: start.0,
        end_us: end.0,
        exported_at_us: UtcMicros::now().0,
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes,
        sha256,
        fragments,
        gaps: gaps
            .into_iter()
            .map(|gap| Gap { start_us: gap.start.0, end_us: gap.end.0, reason: gap.reason })
            .collect(),
        detections,
    };
    let signed = serde_json::to_vec_pretty(&Signed::new(&manifest, identity)?)?;
    let beside = evidence::manifest_path(path);
    atomic_file::write(&beside, &signed).with_context(|| format!("write {}", beside.display()))
}

type Written = (u64, String, Vec<FragmentDigest>);

fn write(target: &Path, data_dir: &Path, init: &[u8], pieces: &[FragmentAt]) -> anyhow::Result<Written> {
    use std::os::unix::fs::FileExt;

    let mut out = std::fs::File::create_new(target)
        .with_context(|| format!("create {}: choose a name that does not exist yet", target.display()))?;
    let mut sha = Sha256::new();
    let mut bytes = init.len() as u64;
    let mut digests = Vec::with_capacity(pieces.len());
    sha.update(init);
    out.write_all(init)?;
    for piece in pieces {
        let path = data_dir.join(&piece.path);
        let file = std::fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
        let mut buffer = vec![0; usize::try_from(piece.bytes)?];
        file.read_exact_at(&mut buffer, piece.offset)
            .with_context(|| format!("read {} at {}: run `gtv-edge check`", path.display(), piece.offset))?;
        sha.update(&buffer);
        out.write_all(&buffer).with_context(|| format!("write {}", target.display()))?;
        bytes += piece.bytes;
        digests.push(FragmentDigest {
            segment: piece.path.clone(),
            offset: piece.offset,
            bytes: piece.bytes,
            start_us: piece.start.0,
            duration_us: piece.duration_us,
            sha256: hex::encode(Sha256::digest(&buffer)),
        });
    }
    out.sync_all()?;
    Ok((bytes, hex::encode(sha.finalize()), digests))
}

/// `out.mp4` becomes `out-2.mp4`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number}{extension}"))
}
