//! Carries out what `retain` decides, and sweeps away files that no row names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::disks::{DiskState, DiskStatus};
use super::error::RecordError;
use super::retain::{self, Candidate, Limits, Usage};
use super::storage::StorageStatus;
use super::{Shared, recover};
use crate::base::ids::CameraId;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::config::units::ByteSize;
use crate::store::{HOUR_US, RecordingTotals, SegmentRow, Store, Stream};

const EVERY: Duration = Duration::from_secs(10);
/// Longer than a disk takes to spin up.
const LOOK: Duration = Duration::from_secs(20);
/// Segments looked at in one go; a pass repeats until nothing is left to do.
const PAGE: usize = 200;
const DAY_US: i64 = 86_400_000_000;

/// Runs until cancelled: every ten seconds, and at once when the disk is full.
pub async fn run(shared: Arc<Shared>, token: CancellationToken) {
    let mut swept: BTreeSet<String> = BTreeSet::new();
    while !token.is_cancelled() {
        look(&shared).await;
        for disk in shared.disks.statuses().into_iter().filter(|disk| disk.state != DiskState::Missing) {
            // Once a disk, also one that comes later.
            if swept.insert(disk.id.clone())
                && let Err(error) = sweep(&shared.store, &disk.prefix()).await
            {
                tracing::warn!(%error, "files without rows could not be swept away");
            }
        }
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

/// A disk that does not answer must not hold up anybody else.
async fn look(shared: &Arc<Shared>) {
    let looking = shared.clone();
    let paths = shared.record_config().paths;
    let looked = tokio::task::spawn_blocking(move || looking.disks.refresh(&paths));
    if tokio::time::timeout(LOOK, looked).await.is_err() {
        tracing::error!("a disk does not answer: see `dmesg`");
    }
}

/// Deletes what is too old, then what the space is needed for.
async fn pass(shared: &Shared) -> Result<(), RecordError> {
    let config = shared.record_config();
    let limits = Limits {
        max_age_us: config.max_age.micros(),
        max_bytes: config.max_bytes.0,
        min_free_bytes: config.min_free.0,
    };
    let store = &shared.store;
    let now = UtcMicros::now();
    loop {
        let old = store.segments_before(retain::age_limit(&limits, now), PAGE).await?;
        if old.is_empty() {
            break;
        }
        for segment in &old {
            evict(store, segment.id, "age").await?;
        }
    }
    let mut lacking = 0;
    let plans = shared.plans();
    for (camera, limit) in plans.limits() {
        lacking += free(shared, Scope { camera: Some(camera.clone()), prefix: None }, "camera_limit", |totals| {
            let kept: u64 = totals.iter().filter(|total| &total.camera == camera).map(|total| total.bytes).sum();
            Ok(kept.saturating_sub(limit))
        })
        .await?;
    }
    if limits.max_bytes > 0 {
        lacking +=
            free(shared, Scope::default(), "space", |totals| Ok(sum(totals).saturating_sub(limits.max_bytes))).await?;
    }
    for disk in shared.disks.statuses().into_iter().filter(|disk| disk.state != DiskState::Missing) {
        let root = store.dir().join(disk.prefix());
        let scope = Scope { camera: None, prefix: Some(disk.prefix()) };
        lacking += free(shared, scope, "space", |_| {
            let usage = Usage { recorded_bytes: 0, free_bytes: free_bytes(&root)? };
            Ok(retain::excess(&Limits { max_bytes: 0, ..limits }, &usage))
        })
        .await?;
    }
    publish(shared, &limits, lacking, now).await
}

/// Which segments may go.
#[derive(Clone, Debug, Default)]
struct Scope {
    camera: Option<CameraId>,
    /// What their paths begin with.
    prefix: Option<String>,
}

/// Deletes until `excess` is nothing; returns what is left of it when there is nothing more to delete.
async fn free(
    shared: &Shared,
    scope: Scope,
    reason: &'static str,
    excess: impl Fn(&[RecordingTotals]) -> Result<u64, RecordError>,
) -> Result<u64, RecordError> {
    let store = &shared.store;
    loop {
        let excess = excess(&store.recording_totals().await?)?;
        if excess == 0 {
            return Ok(0);
        }
        let rows = store.segments_oldest(scope.camera.clone(), scope.prefix.clone(), PAGE).await?;
        let candidates: Vec<Candidate> = rows.iter().map(candidate).collect();
        let chosen = retain::to_free(&candidates, excess);
        if chosen.is_empty() {
            return Ok(excess);
        }
        for segment in chosen {
            evict(store, segment.id, reason).await?;
        }
    }
}

async fn publish(shared: &Shared, limits: &Limits, lacking: u64, now: UtcMicros) -> Result<(), RecordError> {
    let store = &shared.store;
    let recorded_bytes = sum(&store.recording_totals().await?);
    let locked_bytes = store.locked_bytes().await?;
    let disks: Vec<DiskStatus> =
        shared.disks.statuses().into_iter().filter(|disk| disk.state != DiskState::Missing).collect();
    let usage = Usage {
        recorded_bytes,
        free_bytes: disks.iter().map(|disk| disk.free_bytes.saturating_sub(limits.min_free_bytes)).sum(),
    };
    let rows = store.coverage_since(now.add_micros(-25 * HOUR_US)).await?;
    let hours: Vec<_> = rows.iter().map(|row| (row.hour, row.bytes.max(0) as u64)).collect();
    // Each disk keeps its floor.
    let forecast = retain::forecast(&Limits { min_free_bytes: 0, ..*limits }, &usage, &hours, now);
    let stuck = match (lacking, locked_bytes) {
        (0, _) => String::new(),
        (_, 0) => format!(
            "{} more would have to go, but no closed recording is left: something else fills the disk; free space on it",
            ByteSize(lacking).rounded()
        ),
        _ => format!(
            "{} more would have to go, but evidence locks hold {}: lift locks that are not needed, or add a disk",
            ByteSize(lacking).rounded(),
            ByteSize(locked_bytes).rounded()
        ),
    };
    let status = StorageStatus { recorded_bytes, locked_bytes, disks: shared.disks.statuses(), forecast, stuck };
    status.show();
    shared.storage.send_replace(status);
    Ok(())
}

fn sum(totals: &[RecordingTotals]) -> u64 {
    totals.iter().map(|total| total.bytes).sum()
}

fn candidate(row: &SegmentRow) -> Candidate {
    Candidate { id: row.id, end: row.end, bytes: row.bytes }
}

/// Row first: a file without a row is swept away, a row without a file would be a fault.
async fn evict(store: &Store, id: i64, reason: &'static str) -> Result<(), RecordError> {
    let Some(segment) = store.evict_segment(id, reason).await? else { return Ok(()) };
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

/// Removes files of one disk that no row names.
async fn sweep(store: &Store, prefix: &str) -> Result<(), RecordError> {
    let root = store.dir().join(format!("{prefix}recordings"));
    let folders = tokio::task::spawn_blocking(move || day_folders(&root)).await.map_err(|_| RecordError::Stopped)?;
    for (camera, stream, day) in folders {
        let folder = format!("{prefix}recordings/{camera}/{stream}/{day}");
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
