//! Cuts the clip of each passage out of the recording, without encoding: from the key frame before the pre-roll to
//! the end of the group that holds the post-roll.

use std::sync::Arc;
use std::time::Duration;

use super::playback::Playback;
use super::{RecordError, Shared, store_stream};
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::media::StreamKind;
use crate::store::{Bucket, ClipOutcome, DetectionRow, StoredClip};

const EVERY: Duration = Duration::from_secs(1);
/// Passages handled in one pass, oldest first.
const PAGE: usize = 64;
/// How long the recording may lag behind before a clip is made of what there is.
const PATIENCE_US: i64 = 20_000_000;
/// A vehicle that stays in the picture gets a clip around its best frame, not of the whole stay.
const LONGEST_US: i64 = 60_000_000;

pub async fn run(shared: Arc<Shared>, token: CancellationToken) {
    while !token.is_cancelled() {
        if let Err(error) = pass(&shared).await {
            tracing::error!(%error, "clips could not be made; they are tried again");
        }
        tokio::select! {
            () = token.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn pass(shared: &Shared) -> Result<(), RecordError> {
    let post_us = shared.clip_config().post_roll.micros();
    let now = UtcMicros::now();
    for row in shared.store.awaiting_clip(now.add_micros(-post_us), PAGE).await? {
        if let Some(outcome) = make(shared, &row, now).await? {
            if let ClipOutcome::Unavailable(reason) = &outcome {
                tracing::warn!(detection = %row.id, camera = %row.camera, reason, "no clip");
                metrics::counter!("gtv_clips_unavailable_total").increment(1);
            } else {
                metrics::counter!("gtv_clips_total").increment(1);
            }
            shared.store.attach_clip(row.id, outcome).await?;
        }
    }
    Ok(())
}

/// `None`: the recording is not there yet.
async fn make(shared: &Shared, row: &DetectionRow, now: UtcMicros) -> Result<Option<ClipOutcome>, RecordError> {
    let config = shared.clip_config();
    let half = LONGEST_US / 2;
    let from = row.first_seen.add_micros(-config.pre_roll.micros()).max(row.best_at.add_micros(-half));
    let to = row.last_seen.add_micros(config.post_roll.micros()).min(row.best_at.add_micros(half));
    let waited = now.since(to) > PATIENCE_US;
    let mut best = None;
    // The main stream where it is recorded.
    for kind in [StreamKind::Main, StreamKind::Sub] {
        let key = super::Key { camera: row.camera.clone(), stream: kind };
        let Some(end) = shared.last_end(&key) else { continue };
        if end < to && !waited {
            return Ok(None);
        }
        best =
            Playback::open(&shared.store, &row.camera, store_stream(kind), from, to).await?.map(|found| (kind, found));
        if best.is_some() {
            break;
        }
    }
    let Some((kind, playback)) = best else {
        let reason = "this time was not recorded".to_owned();
        return Ok(waited.then_some(ClipOutcome::Unavailable(reason)));
    };
    // Evicted last, and not while it is being read.
    shared.store.mark_evidence(&row.camera, playback.start, playback.end).await?;
    let (start, end) = (playback.start, playback.end);
    let parts = match Arc::new(playback).read_all().await {
        Ok(parts) => parts,
        // The clip is lost, the passage is not.
        Err(error @ (RecordError::File { .. } | RecordError::Damaged { .. })) => {
            return Ok(Some(ClipOutcome::Unavailable(error.to_string())));
        }
        Err(error) => return Err(error),
    };
    let object = shared.store.put_object_parts(parts, "video/mp4", Bucket::Recordings).await?;
    Ok(Some(ClipOutcome::Stored(StoredClip { object, stream: store_stream(kind), start, end })))
}
