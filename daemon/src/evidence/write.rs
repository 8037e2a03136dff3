//! Writes one exported file and what was hashed on the way: a group of pictures is in memory at a time.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::error::EvidenceError;
use super::manifest::{FORMAT, FragmentDigest, Head, Manifest, Signed};
use super::plan::{Part, Plan};
use crate::base::identity::Identity;
use crate::base::time::UtcMicros;

/// Writes the video of `part` to `out`; gives its SHA-256 and its signed manifest, in which the file is called `name`.
pub fn write_file(
    plan: &Plan,
    part: &Part,
    name: &str,
    identity: &Identity,
    out: &mut impl Write,
) -> Result<(String, Signed), EvidenceError> {
    let mut sha = Sha256::new();
    sha.update(&part.init);
    out.write_all(&part.init)?;
    let mut fragments = Vec::with_capacity(part.fragments.len());
    let mut open: Option<(&str, File)> = None;
    let mut buffer = Vec::new();
    for row in &part.fragments {
        let path = plan.data_dir.join(&row.path);
        let failed = |source| EvidenceError::file("read the recording", &path, source);
        let file = match open.take() {
            Some((name, file)) if name == row.path => file,
            _ => File::open(&path).map_err(failed)?,
        };
        buffer.resize(usize::try_from(row.bytes).unwrap_or_default(), 0);
        file.read_exact_at(&mut buffer, row.offset).map_err(failed)?;
        sha.update(&buffer);
        out.write_all(&buffer)?;
        fragments.push(FragmentDigest {
            segment: row.path.clone(),
            offset: row.offset,
            bytes: row.bytes,
            start_us: row.start.0,
            duration_us: row.duration_us,
            sha256: hex::encode(Sha256::digest(&buffer)),
        });
        open = Some((&row.path, file));
    }
    let request = &plan.request;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        software: format!("gtv-edge {}", env!("CARGO_PKG_VERSION")),
        box_id: identity.box_id.to_string(),
        camera: request.camera.to_string(),
        stream: request.stream.to_string(),
        asked_from_us: request.from.0,
        asked_to_us: request.to.0,
        start_us: part.start.0,
        end_us: part.end.0,
        exported_at_us: UtcMicros::now().0,
        exported_by: request.by.clone(),
        reason: request.reason.trim().to_owned(),
        clock: Some(request.clock.clone()),
        file: name.to_owned(),
        bytes: part.bytes,
        sha256: hex::encode(sha.finalize()),
        head: Some(Head { bytes: part.init.len() as u64, sha256: hex::encode(Sha256::digest(&part.init)) }),
        fragments,
        segments: part.segments.clone(),
        gaps: part.gaps.clone(),
        detections: part.detections.clone(),
    };
    let signed = Signed::new(&manifest, identity)?;
    Ok((manifest.sha256, signed))
}
