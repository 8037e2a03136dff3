//! Carries out what `retain` decides, and sweeps away files that no row names.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::RecordError;
use super::retain::{self, Candidate, Limits, Usage};
use super::{Shared, recover};
use crate::base::ids::CameraId;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::store::{SegmentRow, Store, Stream};

const EVERY: Duration = Duration::from_secs(10);
/// Segments looked at in one go; a pass repeats until nothing is left to do.
const PAGE: usize = 200;
const DAY_US: i64 = 86_400_000_000;

/// Runs until cancelled: every ten seconds, and at once when the disk is full.
pub async fn run(shared: Arc<Shared>, token: CancellationToken) {
    if let Err(error) = sweep(&shared.store).await {
        tracing::warn!(%error, "files without rows could not be swept away");
    }
    while !token.is_cancelled() {
        if let Err(error) = pass(&shared).await {
            tracing::error!(%error, "old recordings could not be deleted");
        }
        tokio::select! {
            () = token.cancelled() => {}
            () = shared.evict_now.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Deletes what is too old, then what the space is needed for.
pub async fn pass(shared: &Shared) -> Result<(), RecordError> {
    let config = shared.record_config();
    let limits = Limits {
        max_age_us: config.max_age.micros(),
        max_bytes: config.max_bytes.0,
        min_free_bytes: config.min_free.0,
    };
    let store = &shared.store;
    loop {
        let old = store.segments_before(retain::age_limit(&limits, UtcMicros::now()), PAGE).await?;
        if old.is_empty() {
            break;
        }
        for segment in &old {
            evict(store, segment.id, "age").await?;
        }
    }
    loop {
        let recorded_bytes = store.recording_totals().await?.iter().map(|total| total.bytes).sum();
        let usage = Usage { recorded_bytes, free_bytes: free_bytes(store.dir())? };
        metrics::gauge!("gtv_recorded_bytes").set(recorded_bytes as f64);
        metrics::gauge!("gtv_disk_free_bytes").set(usage.free_bytes as f64);
        let excess = retain::excess(&limits, &usage);
        if excess == 0 {
            return Ok(());
        }
        let candidates: Vec<Candidate> = store.segments_oldest(PAGE).await?.iter().map(candidate).collect();
        let chosen = retain::to_free(&candidates, excess);
        if chosen.is_empty() {
            // The recordings are not what fills the disk.
            return Ok(());
        }
        for segment in chosen {
            evict(store, segment.id, "space").await?;
        }
    }
}

fn candidate(row: &SegmentRow) -> Candidate {
    Candidate { id: row.id, end: row.end, bytes: row.bytes }
}

/// Row first: a file without a row is swept away, a row without a file would be a fault.
async fn evict(store: &Store, id: i64, reason: &'static str) -> Result<(), RecordError> {
    let Some(segment) = store.delete_segment(id, reason).await? else { return Ok(()) };
    let path = store.dir().join(&segment.path);
    match tokio::fs::remove_file(&path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(RecordError::file("delete the recording", &path, error));
        }
        _ => {}
    }
    if let Some(folder) = path.parent() {
        // Only succeeds when it was the last file of the day.
        let _ = tokio::fs::remove_dir(folder).await;
    }
    metrics::counter!("gtv_record_evicted_segments_total", "reason" => reason).increment(1);
    metrics::counter!("gtv_record_evicted_bytes_total", "reason" => reason).increment(segment.bytes);
    tracing::debug!(segment = segment.path, reason, "recording deleted");
    Ok(())
}

fn free_bytes(dir: &Path) -> Result<u64, RecordError> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| RecordError::file("look at the disk of", dir, error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Removes files that no row names.
async fn sweep(store: &Store) -> Result<(), RecordError> {
    let root = store.dir().join("recordings");
    let folders = tokio::task::spawn_blocking(move || day_folders(&root)).await.map_err(|_| RecordError::Stopped)?;
    for (camera, stream, day) in folders {
        let folder = format!("recordings/{camera}/{stream}/{day}");
        let Some(named) = named_of_day(store, &camera, &stream, &day).await? else { continue };
        let dir = store.dir().to_owned();
        let swept = tokio::task::spawn_blocking(move || recover::remove_orphans(&dir, &folder, &named)).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "a folder of recordings could not be read");
        }
    }
    Ok(())
}

/// `None` where the folder is none of ours.
async fn named_of_day(
    store: &Store,
    camera: &str,
    stream: &str,
    day: &str,
) -> Result<Option<Vec<String>>, RecordError> {
    let start = UtcMicros::parse_rfc3339(&format!("{day}T00:00:00Z"));
    let (Ok(camera), Ok(stream), Ok(start)) = (camera.parse::<CameraId>(), stream.parse::<Stream>(), start) else {
        return Ok(None);
    };
    let rows = store.segments_between(&camera, stream, start, start.add_micros(DAY_US)).await?;
    // Segments without a committed group have no length yet, so no time lies in them.
    let open = store.unclosed_segments().await?;
    Ok(Some(rows.into_iter().chain(open).map(|row| row.path).collect()))
}

fn day_folders(root: &Path) -> Vec<(String, String, String)> {
    let names = |path: &Path| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    };
    let mut found = Vec::new();
    for camera in names(root) {
        for stream in names(&root.join(&camera)) {
            for day in names(&root.join(&camera).join(&stream)) {
                found.push((camera.clone(), stream.clone(), day));
            }
        }
    }
    found
}
