//! At start: makes files and rows agree again after a crash, and closes what was open (R2).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::RecordError;
use crate::store::{SegmentRow, Store, disk_links};

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub closed: usize,
    /// Bytes without a row, cut off: at most the last group of each stream.
    pub truncated_bytes: u64,
    /// Rows whose bytes are missing: the disk lost what it had confirmed.
    pub faults: usize,
    /// Segments of disks that are not there.
    pub waiting: usize,
}

/// Closes every segment that the last run left open.
pub async fn recover(store: &Store) -> Result<Recovered, RecordError> {
    recover_but(store, &[]).await
}

/// Closes every open segment but those in `writing`. A disk that is not there is waited for: its rows stay.
pub async fn recover_but(store: &Store, writing: &[i64]) -> Result<Recovered, RecordError> {
    let mut total = Recovered::default();
    for segment in store.unclosed_segments().await? {
        if writing.contains(&segment.id) {
            continue;
        }
        if !disk_links::is_there(store.dir(), &segment.path) {
            tracing::debug!(segment = segment.path, "its disk is missing; it is closed when the disk is back");
            total.waiting += 1;
            continue;
        }
        let mut found = trimmed(store, &segment).await?;
        total.truncated_bytes += found.cut_bytes;
        let mut kept = segment;
        if found.bytes < kept.bytes {
            total.faults += 1;
            report_fault(&kept, found.bytes);
            store.truncate_segment(kept.id, found.bytes).await?;
            // Rows end at group borders; the file follows them.
            let Some(rest) = store.segment(kept.id).await? else { continue };
            found = trimmed(store, &rest).await?;
            kept = rest;
        }
        if kept.is_empty() {
            forget(store, &kept).await?;
            continue;
        }
        let sha256 = found.sha256;
        store.close_segment(kept.id, &sha256).await?;
        total.closed += 1;
    }
    if total != Recovered::default() {
        tracing::info!(
            closed = total.closed,
            truncated_bytes = total.truncated_bytes,
            faults = total.faults,
            "recordings of the last run recovered"
        );
    }
    Ok(total)
}

/// A segment without any group: killed between its row and its first group, or all of it lost. Its name is free for
/// the next file only when its row is gone.
async fn forget(store: &Store, segment: &SegmentRow) -> Result<(), RecordError> {
    store.delete_segment(segment.id, "nothing of it is left").await?;
    let path = store.dir().join(&segment.path);
    match tokio::fs::remove_file(&path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RecordError::file("remove the empty recording", &path, error))
        }
        _ => Ok(()),
    }
}

fn report_fault(segment: &SegmentRow, bytes: u64) {
    metrics::counter!("gtv_record_faults_total").increment(1);
    tracing::error!(
        segment = segment.path,
        bytes,
        expected_bytes = segment.bytes,
        "a recording is shorter than what the disk had confirmed: check the disk (dmesg, smartctl)"
    );
}

struct Trimmed {
    bytes: u64,
    cut_bytes: u64,
    sha256: String,
}

/// The file, cut to what its row accounts for.
async fn trimmed(store: &Store, segment: &SegmentRow) -> Result<Trimmed, RecordError> {
    let (path, wanted) = (store.dir().join(&segment.path), segment.bytes);
    tokio::task::spawn_blocking(move || trim(&path, wanted)).await.map_err(|_| RecordError::Stopped)?
}

/// Cuts the file to `wanted` bytes if it is longer; an absent file has none.
fn trim(path: &Path, wanted: u64) -> Result<Trimmed, RecordError> {
    let failed = |error| RecordError::file("recover the recording", path, error);
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Trimmed { bytes: 0, cut_bytes: 0, sha256: String::new() });
        }
        Err(error) => return Err(failed(error)),
    };
    let length = file.metadata().map_err(failed)?.len();
    let cut_bytes = length.saturating_sub(wanted);
    if cut_bytes > 0 {
        file.set_len(wanted).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    let bytes = length.min(wanted);
    Ok(Trimmed { bytes, cut_bytes, sha256: digest(file, bytes).map_err(failed)? })
}

fn digest(file: File, bytes: u64) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut reader = file.take(bytes);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// Removes files of one day's folder that no row names: left between the end of a file and the start of its row, or
/// between the end of its row and its removal. `named` are paths relative to the data folder.
pub fn remove_orphans(data_dir: &Path, folder: &str, named: &[String]) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(data_dir.join(folder))? {
        let entry = entry?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        // A young file may be on its way to its row.
        let settled = entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age.as_secs() > 600);
        if settled && !named.contains(&name) {
            fs::remove_file(entry.path())?;
            tracing::warn!(file = name, "removed a recording that no row names");
            removed += 1;
        }
    }
    Ok(removed)
}
