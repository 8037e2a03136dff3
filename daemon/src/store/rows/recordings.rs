//! Recordings: segment files, their fragments, gaps, the coverage ledger and locks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::alerts::Severity;
use crate::base::clocks::Clocks;
use crate::base::ids::{CameraId, DetectionId};
use crate::base::time::UtcMicros;
use crate::store::error::StoreError;

/// Which of a camera's streams was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Main,
    Sub,
}

impl Stream {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stream {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        match text {
            "main" => Ok(Self::Main),
            "sub" => Ok(Self::Sub),
            _ => Err(StoreError::invalid(format!("stream `{text}`"), "use `main` or `sub`")),
        }
    }
}

/// What a decoder needs before the first fragment of a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct InitRow {
    /// SHA-256 of `data`, lower-case hex.
    pub id: String,
    pub data: Vec<u8>,
    /// With codecs, as Media Source Extensions take it.
    pub mime: String,
    pub codec: String,
    pub width: u32,
    pub height: u32,
}

impl fmt::Debug for InitRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitRow").field("id", &self.id).field("mime", &self.mime).finish_non_exhaustive()
    }
}

/// A segment file that is about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSegment {
    pub camera: CameraId,
    pub stream: Stream,
    /// Relative to the data folder.
    pub path: String,
    pub init_id: String,
    pub start: UtcMicros,
    /// Bytes at the head of the file before the first fragment (the initialization segment).
    pub head_bytes: u64,
    /// Of the first frame.
    pub clocks: Option<Clocks>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentRow {
    pub id: i64,
    pub camera: CameraId,
    pub stream: Stream,
    /// Relative to the data folder.
    pub path: String,
    pub init_id: String,
    pub start: UtcMicros,
    pub end: UtcMicros,
    /// What the rows account for; an open file may be longer by a tail that is not committed yet.
    pub bytes: u64,
    pub frames: u64,
    pub closed: bool,
    pub sha256: Option<String>,
    pub evidence: bool,
    pub synced: bool,
    /// Of the first frame; absent in files of earlier versions.
    pub clocks: Option<Clocks>,
}

impl SegmentRow {
    /// No group of it has a row.
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }
}

/// A fragment that is on disk (fdatasync done) and wants its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFragment {
    pub segment_id: i64,
    pub offset: u64,
    pub bytes: u64,
    pub start: UtcMicros,
    pub duration_us: i64,
    pub frames: u32,
    pub key: bool,
}

/// A fragment and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FragmentAt {
    pub segment_id: i64,
    /// Relative to the data folder.
    pub path: String,
    pub offset: u64,
    pub bytes: u64,
    pub start: UtcMicros,
    pub duration_us: i64,
    pub init_id: String,
    pub key: bool,
    pub frames: u32,
}

/// A stretch of recorded time of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    pub stream: Stream,
    pub start: UtcMicros,
    pub end: UtcMicros,
}

/// A stretch of time that should have been recorded and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GapRow {
    pub camera: CameraId,
    pub stream: Stream,
    pub start: UtcMicros,
    pub end: UtcMicros,
    pub reason: String,
}

/// What a timeline shows of one camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineRow {
    pub stream: Stream,
    /// Recorded stretches, sorted and apart from each other.
    pub spans: Vec<(UtcMicros, UtcMicros)>,
    pub gaps: Vec<TimelineGap>,
    pub detections: Vec<Mark>,
    pub alerts: Vec<Mark>,
}

/// One gap, or several that are too close to tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineGap {
    pub start: UtcMicros,
    pub end: UtcMicros,
    /// Less than from start to end where there are several.
    pub missing_us: i64,
    pub count: u32,
    /// Of the longest.
    pub reason: String,
}

/// One or more passages, or alerts, at about the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of a passage, or the first of several; of the newest of several alerts.
    pub at: UtcMicros,
    pub count: u32,
    /// The passage at `at`, if it is about one.
    pub detection: Option<DetectionId>,
    /// Of alerts: the highest among them.
    pub severity: Option<Severity>,
}

/// From the first moment up to, not including, the second.
pub type Interval = (UtcMicros, UtcMicros);

/// One hour of one stream in the coverage ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageRow {
    pub camera: CameraId,
    pub stream: Stream,
    /// Its start.
    pub hour: UtcMicros,
    pub expected_us: i64,
    /// Ever stored; what was deleted since is still counted.
    pub stored_us: i64,
    pub evicted_us: i64,
    /// Of what was ever stored.
    pub bytes: i64,
    pub closed: bool,
}

impl CoverageRow {
    /// Stored of what was expected, at most 1; 1 where nothing was expected.
    pub fn ratio(&self) -> f64 {
        if self.expected_us <= 0 { 1.0 } else { (self.stored_us as f64 / self.expected_us as f64).clamp(0.0, 1.0) }
    }
}

/// A stream whose recording is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerStream {
    pub camera: CameraId,
    pub stream: Stream,
    /// Since when without a break.
    pub since: UtcMicros,
    /// Up to when its expectation is in the ledger.
    pub until: UtcMicros,
}

/// How the ledger of a stream moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    pub stream: LedgerStream,
    /// What should have been recorded and is not in the ledger yet.
    pub spans: Vec<Interval>,
}

/// A span of a camera, both streams, that is kept until somebody lifts the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockRow {
    pub id: Uuid,
    pub camera: CameraId,
    pub start: UtcMicros,
    pub end: UtcMicros,
    pub reason: String,
    pub created_at: UtcMicros,
    pub created_by: String,
}

/// How much is recorded, of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordingTotals {
    pub camera: CameraId,
    pub stream: Stream,
    pub segments: u64,
    pub bytes: u64,
    pub frames: u64,
    pub oldest: Option<UtcMicros>,
    pub newest: Option<UtcMicros>,
}
