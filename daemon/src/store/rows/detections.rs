//! Passages of vehicles, and the objects that show them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::recordings::Stream;
use crate::base::ids::{CameraId, DetectionId};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;
use crate::store::error::StoreError;

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
