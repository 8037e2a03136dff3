//! The rule that sends all recordings of some cameras to the centre: each recording is queued once it is closed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::error::SyncError;
use crate::base::ids::CameraId;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::store::{Store, StoreEvent};

/// Looked at once more, so that nothing depends on an event being seen.
const LOOK: Duration = Duration::from_secs(300);
/// How far back a look goes at least; a new rule takes the last day with it.
const BACK_US: i64 = 86_400_000_000;
/// A file that was open at the last look may have begun that long before.
const OPEN_US: i64 = 2 * 3_600_000_000;
/// Key of the state: up to when each camera of the rule was looked at, so that what was closed while delivery was off, or
/// only when the box started again, is not forgotten.
const LOOKED: &str = "sync.recordings_looked";

pub(super) fn spawn(cameras: watch::Receiver<Vec<CameraId>>, store: &Store, tasks: &Tasks) {
    let store = store.clone();
    tasks.spawn("sync-recordings", OnExit::Restart, move |token| {
        let (mut cameras, store) = (cameras.clone(), store.clone());
        async move {
            let mut events = store.events();
            loop {
                let whole = cameras.borrow_and_update().clone();
                look(&store, &whole, UtcMicros::now()).await?;
                let again = Instant::now() + LOOK;
                loop {
                    tokio::select! {
                        event = events.recv() => match event {
                            Ok(StoreEvent::SegmentClosed { camera, start, end, .. }) if whole.contains(&camera) => {
                                store.follow_recordings(&camera, start, end).await?;
                            }
                            Ok(_) => {}
                            Err(broadcast::error::RecvError::Lagged(_)) => break,
                            Err(broadcast::error::RecvError::Closed) => return Ok(()),
                        },
                        () = tokio::time::sleep_until(again) => break,
                        changed = cameras.changed() => if changed.is_err() { return Ok(()) } else { break },
                        () = token.cancelled() => return Ok(()),
                    }
                }
            }
        }
    });
}

/// Queues what was closed since the last look and what is not queued of the last day.
async fn look(store: &Store, cameras: &[CameraId], now: UtcMicros) -> Result<(), SyncError> {
    let text = store.state(LOOKED).await?.unwrap_or_default();
    // One that cannot be read means the last day only.
    let mut looked: BTreeMap<CameraId, UtcMicros> = serde_json::from_str(&text).unwrap_or_default();
    let before = looked.clone();
    looked.retain(|camera, _| cameras.contains(camera));
    for camera in cameras {
        let day = now.add_micros(-BACK_US);
        let last = looked.get(camera).copied();
        let from = last.map_or(day, |last| last.add_micros(-OPEN_US).min(day));
        store.follow_recordings(camera, from, now).await?;
        // A clock that was set back must not make it forget where it was.
        looked.insert(camera.clone(), last.map_or(now, |last| last.max(now)));
    }
    if looked != before {
        store.set_state(LOOKED, serde_json::to_string(&looked).ok()).await?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::base::ids::BoxId;
    use crate::store::{InitRow, Lane, NewFragment, NewSegment, Stream};

    /// A closed recording of ten seconds.
    pub(in crate::sync) async fn record(store: &Store, camera: &CameraId, start: UtcMicros, bytes: u64) {
        let init = InitRow {
            id: "i".repeat(64),
            data: vec![1],
            mime: "video/mp4".to_owned(),
            codec: "h264".to_owned(),
            width: 64,
            height: 48,
        };
        store.put_init(&init).await.unwrap();
        let new = NewSegment {
            camera: camera.clone(),
            stream: Stream::Main,
            path: format!("recordings/{camera}-{start}.mp4"),
            init_id: init.id,
            start,
            head_bytes: 1,
            clocks: None,
        };
        let segment_id = store.open_segment(new).await.unwrap();
        let fragment = NewFragment {
            segment_id,
            offset: 1,
            bytes: bytes - 1,
            start,
            duration_us: 10_000_000,
            frames: 250,
            key: true,
        };
        store.commit_fragments(vec![fragment]).await.unwrap();
        store.close_segment(segment_id, &hex::encode(Sha256::digest(format!("{camera} {start}")))).await.unwrap();
    }

    async fn waiting(store: &Store) -> u64 {
        store.outbox_status(BoxId::default()).await.unwrap().waiting[Lane::Recordings as usize]
    }

    #[tokio::test]
    async fn a_look_goes_back_to_the_last_one_however_long_the_box_was_off() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (gate, yard): (CameraId, CameraId) = ("gate".parse().unwrap(), "yard".parse().unwrap());
        let hours = |n: i64| UtcMicros(1_800_000_000_000_000 + n * 3_600_000_000);
        look(&store, std::slice::from_ref(&gate), hours(0)).await.unwrap();
        // Open when the power went, and closed when it came back three days later.
        for camera in [&gate, &yard] {
            record(&store, camera, hours(-40), 1000).await;
            record(&store, camera, hours(0).add_micros(-1_800_000_000), 1000).await;
        }
        let both = [gate.clone(), yard.clone()];
        look(&store, std::slice::from_ref(&gate), hours(-50)).await.unwrap();
        assert_eq!(waiting(&store).await, 0, "a clock that is wrong at the start");
        look(&store, &both, hours(72)).await.unwrap();
        assert_eq!(waiting(&store).await, 1, "of the camera whose rule is older");
        record(&store, &yard, hours(71), 1000).await;
        look(&store, &both, hours(73)).await.unwrap();
        assert_eq!(waiting(&store).await, 2);
    }

    #[tokio::test]
    async fn a_closed_recording_is_queued_without_a_look_at_all_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (gate, yard): (CameraId, CameraId) = ("gate".parse().unwrap(), "yard".parse().unwrap());
        let (rule, cameras) = watch::channel(vec![gate.clone(), yard.clone()]);
        let tasks = Tasks::new();
        spawn(cameras, &store, &tasks);
        let looked = async || store.state(LOOKED).await.unwrap();
        let until = async |wanted: u64, before: Option<String>| {
            let reached = async {
                while waiting(&store).await != wanted || looked().await == before {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            assert!(tokio::time::timeout(Duration::from_secs(60), reached).await.is_ok(), "{wanted} recordings");
        };
        until(0, None).await;
        let first = looked().await;
        let start = UtcMicros::now().add_micros(-3_600_000_000);
        for n in 0..9 {
            record(&store, &gate, start.add_micros(60_000_000 * n), 1000).await;
        }
        until(9, None).await;
        assert_eq!(looked().await, first);
        rule.send(vec![yard]).unwrap();
        until(9, first).await;
        assert!(tasks.shutdown(Duration::from_secs(20)).await);
    }
}
