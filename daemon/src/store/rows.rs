//! The rows as the store takes and gives them. Times are UTC microseconds, sizes bytes, geometry frame pixels.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::StoreError;
use crate::base::clocks::Clocks;
use crate::base::ids::{CameraId, DetectionId};
use crate::base::plate::Plate;
use crate::base::secret::Secret;
use crate::base::time::UtcMicros;

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

/// Where an object belongs in S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bucket {
    LprImages,
    Recordings,
    Snapshots,
}

impl Bucket {
    pub const ALL: [Self; 3] = [Self::LprImages, Self::Recordings, Self::Snapshots];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::LprImages => "lpr-images",
            Self::Recordings => "recordings",
            Self::Snapshots => "snapshots",
        }
    }
}

impl FromStr for Bucket {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|bucket| bucket.as_str() == text);
        found.ok_or_else(|| StoreError::invalid(format!("bucket `{text}`"), "is none of the buckets of this product"))
    }
}

/// A content-addressed file: `objects/<first two>/<sha256>` on the box, `<box>/<sha256>` in its bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Lower-case hex.
    pub sha256: String,
    pub bytes: u64,
    pub content_type: String,
    pub bucket: Bucket,
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

/// Somebody who reads cameras by RTSP and does nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLoginRow {
    pub id: Uuid,
    pub name: String,
    /// `None`: all of them.
    pub cameras: Option<Vec<CameraId>>,
    /// Sealed; proves the password.
    pub proof: Secret,
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

/// One passage of one vehicle.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectionRow {
    pub id: DetectionId,
    pub camera: CameraId,
    pub plate: Plate,
    /// As the model manifest names them, for example `br-mercosul`.
    pub layout: String,
    /// What the plate's colors say: `private`, `commercial`, `official` and so on, as the model manifest names them.
    /// Nothing where the reader does not tell or is not sure.
    pub category: Option<String>,
    /// Probability of the whole text, 0 to 1.
    pub confidence: f64,
    /// Other texts with their probabilities, best first.
    pub alternatives: Vec<(String, f64)>,
    pub first_seen: UtcMicros,
    pub last_seen: UtcMicros,
    /// The time of the frame that is kept as evidence.
    pub best_at: UtcMicros,
    /// Corners of the plate: top left, top right, bottom right, bottom left.
    pub quad: [[f32; 2]; 4],
    /// x1, y1, x2, y2.
    pub bbox: [f32; 4],
    pub frame_width: u32,
    pub frame_height: u32,
    /// `approaching`, `leaving`, or nothing where the track is too short to tell.
    pub direction: Option<String>,
    /// Frames in which the plate was read.
    pub reads: u32,
    /// Read in one frame only, so nothing was fused.
    pub single: bool,
    pub crop: Option<ObjectRef>,
    pub frame: Option<ObjectRef>,
    pub clip: Option<ObjectRef>,
    /// Why there will be no clip.
    pub clip_unavailable: Option<String>,
    /// Per character: the probabilities behind the text, as the reader gave them.
    pub slots: serde_json::Value,
}

// The alternatives are plates too, so a derived Debug would leak them (T2).
impl fmt::Debug for DetectionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetectionRow")
            .field("id", &self.id)
            .field("camera", &self.camera)
            .field("plate", &self.plate)
            .field("best_at", &self.best_at)
            .finish_non_exhaustive()
    }
}

/// Recorded video around a passage, as one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClip {
    pub object: ObjectRef,
    pub stream: Stream,
    pub start: UtcMicros,
    pub end: UtcMicros,
}

/// What became of the clip of a detection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClipOutcome {
    Stored(StoredClip),
    /// There will be none, and why.
    Unavailable(String),
}

/// How the text of a search is meant. Everywhere the plate, its alternative readings and both Brazilian spellings of
/// each count; case and separators do not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Any part of a reading.
    #[default]
    Part,
    /// The whole reading: `?` is any one character, `*` any number of them.
    Wildcard,
}

/// Newest first. Absent fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectionQuery {
    pub text: Option<String>,
    pub matching: Matching,
    pub camera: Option<CameraId>,
    pub from: Option<UtcMicros>,
    /// Exclusive.
    pub to: Option<UtcMicros>,
    /// Only what is older than this detection: the cursor of the next page.
    pub before: Option<DetectionId>,
    /// At most [`DetectionQuery::MAX_LIMIT`]; 0 means 50.
    pub limit: usize,
}

impl DetectionQuery {
    pub const MAX_LIMIT: usize = 1000;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    pub id: Uuid,
    pub name: String,
    /// PHC string.
    #[serde(skip_serializing, default)]
    pub password_hash: String,
    pub role: String,
    pub created_at: UtcMicros,
    pub disabled: bool,
}

/// A refresh token, known by its hash only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub token_hash: String,
    /// The login that this token and the ones before it come from.
    pub family: Uuid,
    pub user_id: Uuid,
    pub created_at: UtcMicros,
    pub expires_at: UtcMicros,
    /// When it was exchanged for the next one; showing it again is theft.
    pub spent_at: Option<UtcMicros>,
    /// Address and browser, for the list of sessions.
    pub client: String,
}

/// What somebody did, before it has its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: serde_json::Value,
    pub remote: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    pub seq: i64,
    pub at: UtcMicros,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: serde_json::Value,
    pub remote: String,
    pub hash: String,
}

/// In rising order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Severity {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        match text {
            "info" => Ok(Self::Info),
            "warning" => Ok(Self::Warning),
            "critical" => Ok(Self::Critical),
            _ => Err(StoreError::invalid(format!("severity `{text}`"), "use info, warning or critical")),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRow {
    pub id: Uuid,
    pub at: UtcMicros,
    /// For example `watchlist-hit` or `camera-lost`.
    pub kind: String,
    pub severity: Severity,
    pub camera: Option<CameraId>,
    pub detection: Option<DetectionId>,
    /// For people; never a plate.
    pub title: String,
    pub detail: serde_json::Value,
    pub acknowledged_at: Option<UtcMicros>,
    pub acknowledged_by: Option<String>,
}

// The detail of a watchlist hit has plates, so a derived Debug would leak them (T2).
impl fmt::Debug for AlertRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertRow")
            .field("id", &self.id)
            .field("at", &self.at)
            .field("kind", &self.kind)
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

/// A list of vehicles somebody looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchlistRow {
    pub id: Uuid,
    /// Unique on the box, whatever the case of its letters.
    pub name: String,
    pub severity: Severity,
    /// For entries that have none of their own.
    pub reason: String,
    /// A list that is off raises nothing.
    pub enabled: bool,
    pub entries: u64,
    pub created_at: UtcMicros,
    pub created_by: String,
}

/// One vehicle of a list; the plate in either Brazilian spelling means the same vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEntry {
    pub plate: Plate,
    /// Empty: the list's.
    pub reason: String,
    /// Passages before this time raise nothing.
    pub valid_from: Option<UtcMicros>,
    /// Passages from this time on raise nothing.
    pub valid_until: Option<UtcMicros>,
}
