//! What the store tells the rest of the program, published after COMMIT and never before.

use std::sync::Arc;

use super::rows::{AlertRow, DetectionRow, ObjectRef, Stream};
use crate::base::ids::{CameraId, DetectionId};
use crate::base::time::UtcMicros;

/// Something that is on disk now. A receiver that lags misses events and must read the rows instead.
#[derive(Clone, Debug)]
pub enum StoreEvent {
    Detection(Arc<DetectionRow>),
    ClipAttached {
        detection: DetectionId,
        clip: Option<ObjectRef>,
    },
    Alert(Arc<AlertRow>),
    SegmentClosed {
        id: i64,
        camera: CameraId,
        stream: Stream,
        start: UtcMicros,
        end: UtcMicros,
    },
    /// Records wait for the centre, or an object for its upload.
    Outbox,
}
