//! What is to be recorded of each camera, as the configuration says, and how much of a span that is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::config::{CameraConfig, RecordMode, Schedule, StreamRecord};
use crate::store::{Interval, Stream};

/// How one stream is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamPlan {
    pub how: StreamRecord,
    schedule: Arc<Schedule>,
}

impl StreamPlan {
    pub fn new(how: StreamRecord) -> Self {
        let schedule = Arc::new(how.schedule());
        Self { how, schedule }
    }

    /// Recorded without being asked for by anything that happens in the picture.
    pub fn is_timed(&self) -> bool {
        matches!(self.how.mode, RecordMode::Continuous | RecordMode::Schedule)
    }

    /// Whether the weekly times leave nothing out.
    pub fn is_always(&self) -> bool {
        self.is_timed() && self.schedule.is_always()
    }

    /// Whether the weekly times allow this moment.
    pub fn allows(&self, time: UtcMicros) -> bool {
        self.schedule.allows(time)
    }

    /// What of `[from, to)` has to be recorded, as far as time alone says so.
    pub fn expected(&self, from: UtcMicros, to: UtcMicros) -> Vec<Interval> {
        if self.is_timed() { self.schedule.spans(from, to) } else { Vec::new() }
    }
}

/// The plans of all enabled cameras.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plans {
    streams: BTreeMap<(CameraId, Stream), StreamPlan>,
    /// Bytes a camera may keep.
    limits: BTreeMap<CameraId, u64>,
}

impl Plans {
    pub fn of_cameras(cameras: &[CameraConfig]) -> Self {
        let mut plans = Self::default();
        for camera in cameras {
            if camera.max_bytes.0 > 0 {
                plans.limits.insert(camera.id.clone(), camera.max_bytes.0);
            }
            for stream in [Stream::Main, Stream::Sub] {
                if let Some(how) = camera.records(stream == Stream::Sub).filter(|_| camera.enabled) {
                    plans.streams.insert((camera.id.clone(), stream), StreamPlan::new(how.clone()));
                }
            }
        }
        plans
    }

    pub fn of(&self, camera: &CameraId, stream: Stream) -> Option<&StreamPlan> {
        self.streams.get(&(camera.clone(), stream))
    }

    pub fn streams(&self) -> impl Iterator<Item = (&CameraId, Stream, &StreamPlan)> {
        self.streams.iter().map(|((camera, stream), plan)| (camera, *stream, plan))
    }

    pub fn limits(&self) -> impl Iterator<Item = (&CameraId, u64)> {
        self.limits.iter().map(|(camera, bytes)| (camera, *bytes))
    }
}
