//! Body of `box_status`: how a box and its cameras are now, and what began and ended since it told last.

use crate::body::{BodyError, bounded, count, finite, id, optional, text, time};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the box is. Fields without which older boxes tell are optional; `streams` is absent from a box that says nothing of
/// its cameras.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BoxStatus {
    pub software: String,
    pub uptime_s: u64,
    pub cameras: u32,
    pub cameras_streaming: u32,
    pub recorded_bytes: u64,
    pub disk_free_bytes: u64,
    pub pending_records: u64,
    /// Drops by reason since start.
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    /// `recording`, `disk_full`, `slow` or `failing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorder: Option<String>,
    /// What is wrong with recordings or disks and what to do; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Pictures and video that wait for their upload, and the most that may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool_max_bytes: Option<u64>,
    /// Whether the box's clock follows a time server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_synchronized: Option<bool>,
    /// Of the processor, degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
    /// Every configured camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<CameraStreams>>,
    /// What began and ended since the box told last, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StreamChange>,
    /// Older changes for which there was no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changes_dropped: u64,
}

/// One camera and its streams.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CameraStreams {
    pub camera: String,
    /// `streaming`, `connecting`, `stalled`, `unreachable`, `unauthorised` or `disabled`; of two streams the worse one's.
    pub state: String,
    pub since_us: i64,
    /// Whether it is recorded now, as its configuration says.
    pub recording: bool,
    /// What is wrong, and its stable name; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Present while the stream delivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<StreamMeasures>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<StreamMeasures>,
}

/// A stream as measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamMeasures {
    /// `h264`, `h265` or `mjpeg`.
    pub codec: String,
    pub width: u32,
    pub height: u32,
    /// Frames a second.
    pub fps: f64,
    pub bitrate_bps: u64,
}

/// A stream began or ended to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamChange {
    pub camera: String,
    /// `main` or `sub`.
    pub stream: String,
    /// True: it delivers since then. False: it did until then.
    pub streaming: bool,
    pub at_us: i64,
    /// Of an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl BoxStatus {
    /// Leaves out what matters least until the status fits into a record: old changes, reasons, measurements.
    pub fn fit(&mut self) {
        if let Some(streams) = &mut self.streams {
            streams.truncate(limits::STATUS_CAMERAS_MAX);
        }
        self.drop_changes(limits::STATUS_CHANGES_MAX);
        let steps: [fn(&mut Self); 4] = [
            |status| status.drop_changes(limits::STATUS_CHANGES_MAX / 4),
            |status| status.each_camera(|camera| camera.reason = None),
            |status| status.each_camera(|camera| camera.sub = None),
            |status| status.each_camera(|camera| camera.main = None),
        ];
        for step in steps {
            if serde_json::to_vec(self).is_ok_and(|body| body.len() <= limits::BODY_BYTES_MAX) {
                return;
            }
            step(self);
        }
    }

    /// Keeps the newest changes.
    fn drop_changes(&mut self, keep: usize) {
        let excess = self.changes.len().saturating_sub(keep);
        self.changes.drain(..excess);
        self.changes_dropped = self.changes_dropped.saturating_add(excess as u64);
    }

    fn each_camera(&mut self, change: impl Fn(&mut CameraStreams)) {
        self.streams.iter_mut().flatten().for_each(change);
    }

    pub(crate) fn validate(&self) -> Result<(), BodyError> {
        text("software", &self.software)?;
        self.drops.keys().try_for_each(|reason| text("drops", reason))?;
        let numbers = [self.uptime_s, self.recorded_bytes, self.disk_free_bytes, self.pending_records];
        let more = [self.disk_total_bytes, self.spool_bytes, self.spool_max_bytes, Some(self.changes_dropped)];
        let drops = self.drops.values().copied();
        numbers.into_iter().chain(more.into_iter().flatten()).chain(drops).try_for_each(|n| count("counter", n))?;
        optional("recorder", self.recorder.as_deref())?;
        optional("problem", self.problem.as_deref())?;
        finite("temperature_c", self.temperature_c.unwrap_or(0.0), -273.0, 1000.0)?;
        let streams = self.streams.as_deref().unwrap_or_default();
        let entries = |field, found: usize, max: usize| {
            let problem = format!("has {found} entries, at most {max}");
            if found > max { Err(BodyError::Invalid { field, problem }) } else { Ok(()) }
        };
        entries("streams", streams.len(), limits::STATUS_CAMERAS_MAX)?;
        entries("changes", self.changes.len(), limits::STATUS_CHANGES_MAX)?;
        for camera in streams {
            id("streams.camera", &camera.camera)?;
            id("streams.state", &camera.state)?;
            time("streams.since_us", camera.since_us)?;
            optional("streams.reason", camera.reason.as_deref())?;
            optional("streams.code", camera.code.as_deref())?;
            for measures in [&camera.main, &camera.sub].into_iter().flatten() {
                id("streams.codec", &measures.codec)?;
                finite("streams.fps", measures.fps, 0.0, 1e6)?;
                count("streams.bitrate_bps", measures.bitrate_bps)?;
            }
        }
        for change in &self.changes {
            id("changes.camera", &change.camera)?;
            id("changes.stream", &change.stream)?;
            time("changes.at_us", change.at_us)?;
            optional("changes.reason", change.reason.as_deref())?;
        }
        Ok(())
    }
}

/// The beginning of a text as it may stand in a record: without control characters, at most `max` bytes; `None` if
/// nothing is left.
pub fn short(value: &str, max: usize) -> Option<String> {
    let mut text: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    let text = text.trim();
    bounded("text", text, limits::TEXT_BYTES_MAX).ok().map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Draft};

    fn measures() -> StreamMeasures {
        StreamMeasures { codec: "h265".to_owned(), width: 3840, height: 2160, fps: 29.9, bitrate_bps: 12_345_000 }
    }

    fn full() -> BoxStatus {
        let camera = |n: usize| CameraStreams {
            camera: format!("{n:0>64}"),
            state: "unreachable".to_owned(),
            since_us: 1_790_000_000_000_000,
            reason: short(&"\"não responde\" ".repeat(40), 120),
            main: Some(measures()),
            sub: Some(measures()),
            ..CameraStreams::default()
        };
        let change = |n: i64| StreamChange {
            camera: "gate".to_owned(),
            stream: "main".to_owned(),
            streaming: n % 2 == 0,
            at_us: n,
            reason: Some("x".repeat(80)),
        };
        BoxStatus {
            software: "gtv-edge 1".to_owned(),
            streams: Some((0..300).map(camera).collect()),
            changes: (0..1000).map(change).collect(),
            ..BoxStatus::default()
        }
    }

    #[test]
    fn whatever_a_box_has_to_tell_fits_into_a_record() {
        let mut status = full();
        assert!(Body::BoxStatus(status.clone()).validate().is_err(), "too many cameras");
        status.fit();
        Draft::new(&Body::BoxStatus(status.clone()), "status", 1, Vec::new()).unwrap();
        assert_eq!(status.streams.as_ref().unwrap().len(), limits::STATUS_CAMERAS_MAX);
        assert_eq!(status.changes.last().unwrap().at_us, 999, "the newest stay");
        assert_eq!(status.changes.len() as u64 + status.changes_dropped, 1000);
        let mut small = BoxStatus { streams: Some(full().streams.unwrap()[..16].to_vec()), ..full() };
        small.changes.truncate(8);
        let before = small.clone();
        small.fit();
        assert_eq!(small, before, "nothing has to go");
    }

    #[test]
    fn an_older_box_says_less_and_a_newer_one_more() {
        let old = r#"{"software":"gtv-edge 0.1.0","uptime_s":1,"cameras":2,"cameras_streaming":1,"recorded_bytes":3,
                      "disk_free_bytes":4,"pending_records":5}"#;
        let status: BoxStatus = serde_json::from_str(old).unwrap();
        assert_eq!((status.streams.as_ref(), status.changes.len()), (None, 0));
        let text = serde_json::to_string(&status).unwrap();
        assert!(!text.contains("streams") && !text.contains("changes"), "{text}");
        let newer = old.replace("\"uptime_s\"", "\"moon_phase\":0.5,\"uptime_s\"");
        assert_eq!(serde_json::from_str::<BoxStatus>(&newer).unwrap(), status);
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        assert_eq!(short("  ação\n", 4).as_deref(), Some("a"));
        assert_eq!(short("câmera", 3).as_deref(), Some("câ"));
        assert_eq!(short(" \n\t", 9), None);
    }
}
