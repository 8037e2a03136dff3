//! The rule that sends all recordings of some cameras to the centre: each recording is queued once it is closed.

use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::base::ids::CameraId;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::store::{Store, StoreEvent};

/// Looked at once more, so that nothing depends on an event being seen.
const LOOK: Duration = Duration::from_secs(300);
/// How far back: what was closed while delivery was off is not forgotten, and a new rule takes the last day with it.
const BACK_US: i64 = 86_400_000_000;

pub(super) fn spawn(cameras: watch::Receiver<Vec<CameraId>>, store: &Store, tasks: &Tasks) {
    let store = store.clone();
    tasks.spawn("sync-recordings", OnExit::Restart, move |token| {
        let (mut cameras, store) = (cameras.clone(), store.clone());
        async move {
            let mut events = store.events();
            loop {
                let whole = cameras.borrow_and_update().clone();
                let now = UtcMicros::now();
                for camera in &whole {
                    store.follow_recordings(camera, now.add_micros(-BACK_US), now).await?;
                }
                let closed = async {
                    loop {
                        match events.recv().await {
                            Ok(StoreEvent::SegmentClosed { camera, .. }) if whole.contains(&camera) => return true,
                            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                            Err(broadcast::error::RecvError::Closed) => return false,
                        }
                    }
                };
                tokio::select! {
                    goes_on = closed => if !goes_on { return Ok(()) },
                    () = tokio::time::sleep(LOOK) => {}
                    changed = cameras.changed() => if changed.is_err() { return Ok(()) },
                    () = token.cancelled() => return Ok(()),
                }
            }
        }
    });
}
