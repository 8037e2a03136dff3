//! Bodies of records: what a box tells about cameras, plates, clips, gaps, evictions, alerts and itself.
//! Unknown fields are ignored, so a newer box may add some; times are microseconds since 1970, UTC.

use crate::hex_bytes::{Hash, Signature};
use crate::limits;
pub use crate::status::BoxStatus;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use uuid::Uuid;

/// Text of a licence plate: personal data, therefore redacted in `Debug` and without `Display`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlateText(pub String);

impl PlateText {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PlateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(2).collect();
        write!(f, "{shown}{}", "*".repeat(self.0.chars().count().saturating_sub(2)))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    pub name: String,
    pub enabled: bool,
    /// True when the camera left the configuration; its rows stay.
    #[serde(default)]
    pub removed: bool,
    #[serde(default)]
    pub manufacturer: Option<String>,
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub latitude: Option<f64>,
    #[serde(default)]
    pub longitude: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    pub text: PlateText,
    pub p: f64,
}

/// One passage of one vehicle. The record's id is the detection's UUID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    pub camera: String,
    pub plate: PlateText,
    /// Layout name of the reader model, `br-mercosul` and so on.
    pub layout: String,
    /// `private`, `commercial`, `official` and so on; nothing from older boxes and unsure readings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    pub confidence: f64,
    #[serde(default)]
    pub alternatives: Vec<Alternative>,
    pub first_seen_us: i64,
    pub last_seen_us: i64,
    pub best_at_us: i64,
    /// Corners top-left, top-right, bottom-right, bottom-left in pixels of the best frame.
    pub quad: [[f32; 2]; 4],
    /// x1, y1, x2, y2 in pixels of the best frame.
    pub bbox: [f32; 4],
    pub frame_width: u32,
    pub frame_height: u32,
    #[serde(default)]
    pub direction: Option<String>,
    /// Frames that were read.
    pub reads: u32,
    /// True when only one frame was read, so nothing could be fused.
    #[serde(default)]
    pub single: bool,
    /// Per-character probabilities of the fused reading, any JSON.
    #[serde(default)]
    pub slots: Option<serde_json::Value>,
    /// SHA-256 of the plate's crop, one of the record's objects.
    #[serde(default)]
    pub crop: Option<Hash>,
    /// SHA-256 of the full frame, one of the record's objects.
    #[serde(default)]
    pub frame: Option<Hash>,
}

/// Video around a passage, or the reason there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    #[serde(default)]
    pub detection: Option<Uuid>,
    pub camera: String,
    pub stream: String,
    pub start_us: i64,
    pub end_us: i64,
    /// SHA-256 of the clip, one of the record's objects; absent with `unavailable`.
    #[serde(default)]
    pub object: Option<Hash>,
    #[serde(default)]
    pub mime: Option<String>,
    #[serde(default)]
    pub unavailable: Option<String>,
}

/// A span that should have been recorded and was not (invariant R4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub camera: String,
    pub stream: String,
    pub start_us: i64,
    pub end_us: i64,
    pub reason: String,
}

/// What should have been recorded of one hour of a stream, and what was. A centre that does not know this kind yet keeps
/// the record aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    pub camera: String,
    pub stream: String,
    pub start_us: i64,
    pub end_us: i64,
    pub expected_us: u64,
    pub stored_us: u64,
}

/// Unsynced material that was evicted (invariant R5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tombstone {
    /// What was evicted: `segment`, `clip`, `object`.
    pub what: String,
    #[serde(default)]
    pub camera: Option<String>,
    #[serde(default)]
    pub stream: Option<String>,
    #[serde(default)]
    pub start_us: Option<i64>,
    #[serde(default)]
    pub end_us: Option<i64>,
    #[serde(default)]
    pub bytes: u64,
    #[serde(default)]
    pub sha256: Option<Hash>,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub rule: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    #[serde(default)]
    pub camera: Option<String>,
    #[serde(default)]
    pub detection: Option<Uuid>,
    #[serde(default)]
    pub plate: Option<PlateText>,
    pub message: String,
    /// Why, where there is more to say than `message` does: of a listed vehicle what the list says, of a lost camera what
    /// it answered. Nothing from older boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub raised_at_us: i64,
}

/// A closed segment that the box holds; `object` is set when it was also uploaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    pub camera: String,
    pub stream: String,
    pub start_us: i64,
    pub end_us: i64,
    pub bytes: u64,
    pub frames: u64,
    pub sha256: Hash,
    #[serde(default)]
    pub mime: Option<String>,
    #[serde(default)]
    pub object: Option<Hash>,
}

/// What the box says it has: a signed Merkle root over a part of its chain, and how much there was to tell in each hour.
/// With it the center knows of records that it has not seen yet, and the box cannot deny those it has told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The chain that the root is over; not the one of this record if an epoch began in between.
    pub epoch: i64,
    /// First and last record under the root, both included; `first_seq` is one more than `last_seq` if there is none.
    pub first_seq: u64,
    pub last_seq: u64,
    /// `merkle::root` over the hashes of these records.
    pub root: Hash,
    /// Names the database that counts; a box that lost its database begins to count anew.
    pub ledger: Uuid,
    /// Hours that are over and of which more is known than before.
    pub hours: Vec<HourCount>,
    /// Over `auth::proof_payload`.
    pub signature: Signature,
}

/// What the box had to tell in one hour, by the time at which a record was made. Proofs themselves do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourCount {
    /// Begin of the hour, microseconds since 1970, UTC.
    pub start_us: i64,
    pub records: u64,
    /// Objects that these records name, but for those of evicted ones.
    pub objects: u64,
    /// Of the records, those that had to go before they could be delivered; each has a tombstone.
    pub evicted: u64,
}

/// Microseconds of an hour.
pub const HOUR_US: i64 = 3_600_000_000;

macro_rules! kinds {
    ($($variant:ident $name:literal),+ $(,)?) => {
        /// Kinds of records this version knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($variant),+ }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Kind::$variant => $name),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Kind::$variant),)+ _ => None }
            }
        }

        /// A body of a known kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Body { $($variant($variant)),+ }

        impl Body {
            pub fn kind(&self) -> Kind {
                match self { $(Body::$variant(_) => Kind::$variant),+ }
            }

            /// The JSON text that enters the record and its hash.
            pub fn to_raw(&self) -> Result<Box<RawValue>, BodyError> {
                match self { $(Body::$variant(body) => serde_json::value::to_raw_value(body)),+ }
                    .map_err(|e| BodyError::Malformed(e.to_string()))
            }

            /// Reads and checks a body. An unknown kind is an error the caller can keep aside, not a failure.
            pub fn parse(kind: &str, raw: &RawValue) -> Result<Self, BodyError> {
                let kind = Kind::parse(kind).ok_or_else(|| BodyError::UnknownKind(kind.to_owned()))?;
                let malformed = |e: serde_json::Error| BodyError::Malformed(e.to_string());
                let body = match kind {
                    $(Kind::$variant => Body::$variant(serde_json::from_str(raw.get()).map_err(malformed)?)),+
                };
                body.validate()?;
                Ok(body)
            }
        }
    };
}

kinds! {
    Camera "camera",
    Detection "detection",
    Clip "clip",
    Gap "gap",
    Coverage "coverage",
    Tombstone "tombstone",
    Alert "alert",
    Recording "recording",
    BoxStatus "box_status",
    Proof "proof",
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("kind {0:?} is not known to this version; upgrade the receiving side")]
    UnknownKind(String),
    #[error("not readable: {0}")]
    Malformed(String),
    #[error("{field} {problem}")]
    Invalid { field: &'static str, problem: String },
}

impl Body {
    /// Checks lengths, times and numbers.
    pub fn validate(&self) -> Result<(), BodyError> {
        match self {
            Body::Camera(b) => {
                text("name", &b.name)?;
                optional("manufacturer", b.manufacturer.as_deref())?;
                optional("model", b.model.as_deref())?;
                finite("latitude", b.latitude.unwrap_or(0.0), -90.0, 90.0)?;
                finite("longitude", b.longitude.unwrap_or(0.0), -180.0, 180.0)
            }
            Body::Detection(b) => {
                id("camera", &b.camera)?;
                id("plate", b.plate.as_str())?;
                id("layout", &b.layout)?;
                optional("category", b.category.as_deref())?;
                finite("confidence", b.confidence, 0.0, 1.0)?;
                span("first_seen_us..last_seen_us", b.first_seen_us, b.last_seen_us)?;
                time("best_at_us", b.best_at_us)?;
                optional("direction", b.direction.as_deref())?;
                if b.alternatives.len() > limits::ALTERNATIVES_MAX {
                    let problem = format!("has {} entries, at most {}", b.alternatives.len(), limits::ALTERNATIVES_MAX);
                    return Err(BodyError::Invalid { field: "alternatives", problem });
                }
                for alternative in &b.alternatives {
                    id("alternatives.text", alternative.text.as_str())?;
                    finite("alternatives.p", alternative.p, 0.0, 1.0)?;
                }
                let corners = b.quad.iter().flatten().chain(&b.bbox);
                corners.copied().try_for_each(|v| finite("quad or bbox", f64::from(v), -1e6, 1e6))
            }
            Body::Clip(b) => {
                id("camera", &b.camera)?;
                id("stream", &b.stream)?;
                span("start_us..end_us", b.start_us, b.end_us)?;
                optional("mime", b.mime.as_deref())?;
                optional("unavailable", b.unavailable.as_deref())?;
                if b.object.is_some() == b.unavailable.is_some() {
                    let problem = "and unavailable: exactly one of the two must be present".to_owned();
                    return Err(BodyError::Invalid { field: "object", problem });
                }
                Ok(())
            }
            Body::Gap(b) => {
                id("camera", &b.camera)?;
                id("stream", &b.stream)?;
                span("start_us..end_us", b.start_us, b.end_us)?;
                text("reason", &b.reason)
            }
            Body::Coverage(b) => {
                id("camera", &b.camera)?;
                id("stream", &b.stream)?;
                span("start_us..end_us", b.start_us, b.end_us)?;
                count("expected_us", b.expected_us)?;
                count("stored_us", b.stored_us)
            }
            Body::Tombstone(b) => {
                id("what", &b.what)?;
                optional("camera", b.camera.as_deref())?;
                optional("stream", b.stream.as_deref())?;
                time("start_us", b.start_us.unwrap_or(0))?;
                time("end_us", b.end_us.unwrap_or(0))?;
                count("bytes", b.bytes)?;
                text("reason", &b.reason)
            }
            Body::Alert(b) => {
                id("rule", &b.rule)?;
                id("severity", &b.severity)?;
                optional("camera", b.camera.as_deref())?;
                optional("plate", b.plate.as_ref().map(PlateText::as_str))?;
                text("message", &b.message)?;
                optional("reason", b.reason.as_deref())?;
                time("raised_at_us", b.raised_at_us)
            }
            Body::Recording(b) => {
                id("camera", &b.camera)?;
                id("stream", &b.stream)?;
                span("start_us..end_us", b.start_us, b.end_us)?;
                optional("mime", b.mime.as_deref())?;
                count("bytes", b.bytes)?;
                count("frames", b.frames)
            }
            Body::Proof(b) => proof(b),
            Body::BoxStatus(b) => b.validate(),
        }
    }
}

fn proof(b: &Proof) -> Result<(), BodyError> {
    let invalid = |field, problem: String| Err(BodyError::Invalid { field, problem });
    let records = b.last_seq.wrapping_sub(b.first_seq).wrapping_add(1);
    if b.first_seq == 0 || records > limits::PROOF_RECORDS_MAX || b.last_seq > i64::MAX as u64 {
        let problem = format!("{}..={} is no span of at most {}", b.first_seq, b.last_seq, limits::PROOF_RECORDS_MAX);
        return invalid("first_seq..last_seq", problem);
    }
    if b.epoch <= 0 {
        return invalid("epoch", "is not positive".to_owned());
    }
    if b.hours.len() > limits::PROOF_HOURS_MAX {
        return invalid("hours", format!("has {} entries, at most {}", b.hours.len(), limits::PROOF_HOURS_MAX));
    }
    for hour in &b.hours {
        time("hours.start_us", hour.start_us)?;
        if hour.start_us % HOUR_US != 0 || hour.evicted > hour.records {
            return invalid("hours", format!("{} is no begin of an hour, or more went than there was", hour.start_us));
        }
        [hour.records, hour.objects].into_iter().try_for_each(|n| count("hours", n))?;
    }
    Ok(())
}

pub(crate) fn bounded(field: &'static str, value: &str, max: usize) -> Result<(), BodyError> {
    if value.is_empty() || value.len() > max {
        let problem = format!("has {} bytes, must have 1 to {max}", value.len());
        return Err(BodyError::Invalid { field, problem });
    }
    // NUL cannot be stored as text by PostgreSQL; other control characters forge log lines.
    if value.chars().any(char::is_control) {
        return Err(BodyError::Invalid { field, problem: "contains control characters".to_owned() });
    }
    Ok(())
}

pub(crate) fn id(field: &'static str, value: &str) -> Result<(), BodyError> {
    bounded(field, value, limits::ID_BYTES_MAX)
}

pub(crate) fn text(field: &'static str, value: &str) -> Result<(), BodyError> {
    bounded(field, value, limits::TEXT_BYTES_MAX)
}

pub(crate) fn optional(field: &'static str, value: Option<&str>) -> Result<(), BodyError> {
    value.map_or(Ok(()), |v| text(field, v))
}

pub(crate) fn time(field: &'static str, us: i64) -> Result<(), BodyError> {
    if (0..=limits::TIME_US_MAX).contains(&us) {
        return Ok(());
    }
    Err(BodyError::Invalid { field, problem: format!("{us} is outside 1970..2200") })
}

fn span(field: &'static str, start_us: i64, end_us: i64) -> Result<(), BodyError> {
    time(field, start_us)?;
    time(field, end_us)?;
    if end_us < start_us {
        return Err(BodyError::Invalid { field, problem: format!("ends {} us before it starts", start_us - end_us) });
    }
    Ok(())
}

pub(crate) fn finite(field: &'static str, value: f64, min: f64, max: f64) -> Result<(), BodyError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(BodyError::Invalid { field, problem: format!("{value} is outside {min}..={max}") })
}

pub(crate) fn count(field: &'static str, value: u64) -> Result<(), BodyError> {
    if i64::try_from(value).is_ok() {
        return Ok(());
    }
    Err(BodyError::Invalid { field, problem: format!("{value} does not fit 63 bits") })
}
