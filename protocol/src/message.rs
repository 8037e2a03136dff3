//! The messages of a session, version 1.

use crate::chain::Position;
use crate::hex_bytes::{Hash, Nonce, PublicKey, Signature};
use crate::record::Record;
use crate::{VERSION_MAX, VERSION_MIN, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// Everything that travels. `Batch` has its own compressed frame, the rest is JSON (`codec`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Message {
    Hello(Hello),
    Challenge(Challenge),
    Proof(Proof),
    Welcome(Box<Welcome>),
    #[serde(skip)]
    Batch(Batch),
    Ack(Ack),
    Reject(Reject),
    /// The session cannot begin or go on; the center closes after it.
    Refusal(Refusal),
    /// The box asks for fresh object credentials; answered with `Access`.
    RenewAccess,
    Access(Option<ObjectAccess>),
    /// The box asks for signed requests with which it uploads one object; only where the Welcome says `signs_uploads`.
    SignUpload(SignUpload),
    SignedUpload(SignedUpload),
    /// All parts of an object are up, or it is given up.
    FinishUpload(FinishUpload),
    FinishedUpload(FinishedUpload),
    Ping {
        id: u64,
    },
    Pong {
        id: u64,
    },
}

/// Message versions one side speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    pub min: u16,
    pub max: u16,
}

impl VersionRange {
    /// What this build speaks.
    pub fn ours() -> Self {
        Self { min: VERSION_MIN, max: VERSION_MAX }
    }

    /// Newest version both speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    pub versions: VersionRange,
    pub box_id: Uuid,
    pub public_key: PublicKey,
    /// Name, tenant slug and site from the box's configuration; the center's registration wins.
    pub name: String,
    pub prefeitura: String,
    #[serde(default)]
    pub site: String,
    /// Program and version, for the fleet overview.
    pub software: String,
    pub epoch: i64,
    /// Last number given out in `epoch`; 0 if none.
    pub last_seq: u64,
    /// One-time enrolment code where the box has one configured; the center looks at it only while it does not know the box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrol_code: Option<String>,
}

impl Hello {
    /// Bounds of the texts, checked on arrival.
    pub fn validate(&self) -> Result<(), String> {
        let texts = [
            ("name", self.name.as_str(), 1, limits::TEXT_BYTES_MAX),
            ("prefeitura", &self.prefeitura, 1, limits::ID_BYTES_MAX),
            ("site", &self.site, 0, limits::TEXT_BYTES_MAX),
            ("software", &self.software, 1, limits::TEXT_BYTES_MAX),
            ("enrol_code", self.enrol_code.as_deref().unwrap_or(""), 0, limits::ID_BYTES_MAX),
        ];
        for (field, value, min, max) in texts {
            if value.len() < min || value.len() > max || value.chars().any(char::is_control) {
                return Err(format!("{field} must have {min} to {max} bytes without control characters"));
            }
        }
        let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !self.prefeitura.chars().all(slug) {
            return Err("prefeitura must be a slug of a-z, 0-9 and '-'".to_owned());
        }
        if self.epoch <= 0 || i64::try_from(self.last_seq).is_err() {
            return Err("epoch must be positive and last_seq fit 63 bits".to_owned());
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Challenge {
    pub nonce: Nonce,
    /// Microseconds since 1970, UTC: a box without a clock can see how far off it is.
    pub server_time_us: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proof {
    /// Over `auth::challenge_payload`.
    pub signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLimits {
    pub frame_bytes: u64,
    pub batch_raw_bytes: u64,
    pub batch_records: u32,
    pub batches_in_flight: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            frame_bytes: limits::FRAME_BYTES_MAX as u64,
            batch_raw_bytes: limits::BATCH_RAW_BYTES_MAX as u64,
            batch_records: limits::BATCH_RECORDS_MAX as u32,
            batches_in_flight: limits::BATCHES_IN_FLIGHT_MAX as u32,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u16,
    /// Names this session in the logs of both sides.
    pub session: Uuid,
    /// Last committed position of the newest chain of this box; send from there on. `None`: nothing stored yet.
    /// If the box has another hash at this seq, or no such record, its database is older than the center: it must
    /// begin a new epoch, greater than this one.
    pub resume_after: Option<Position>,
    pub limits: SessionLimits,
    /// Where and how to upload; `None`: the box uses the credentials of its own configuration.
    pub access: Option<ObjectAccess>,
    /// The center signs each upload (`SignUpload`) instead of handing out credentials.
    #[serde(default)]
    pub signs_uploads: bool,
}

/// Upload credentials, meant for this box only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectAccess {
    pub endpoint: String,
    pub region: String,
    pub allow_http: bool,
    /// Logical name -> real bucket.
    pub buckets: BTreeMap<String, String>,
    pub credentials: ObjectCredentials,
    /// Keys must begin with it (`record::object_prefix`).
    pub key_prefix: String,
    /// Ask again (`RenewAccess`) before this time; microseconds since 1970, UTC.
    pub expires_us: i64,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCredentials {
    pub access_key: String,
    pub secret_key: String,
    #[serde(default)]
    pub session_token: Option<String>,
}

impl fmt::Debug for ObjectCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectCredentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// One object, or some parts of a large one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignUpload {
    /// Chosen by the box; the answer has the same.
    pub id: u64,
    /// Logical name.
    pub bucket: String,
    pub sha256: Hash,
    pub bytes: u64,
    pub content_type: String,
    /// For an object that goes in parts: the first one, from 0, and how many. 0 parts: the object goes in one request.
    #[serde(default)]
    pub first_part: u32,
    #[serde(default)]
    pub parts: u32,
    /// The upload that these parts belong to; absent: begin one.
    #[serde(default)]
    pub upload: Option<String>,
}

impl SignUpload {
    /// Bounds, checked on arrival.
    pub fn validate(&self) -> Result<(), String> {
        let texts = [("bucket", self.bucket.as_str()), ("content_type", &self.content_type)];
        for (field, value) in texts.into_iter().chain(self.upload.as_deref().map(|upload| ("upload", upload))) {
            if value.is_empty() || value.len() > limits::TEXT_BYTES_MAX || value.chars().any(char::is_control) {
                return Err(format!("{field} must have 1 to {} bytes", limits::TEXT_BYTES_MAX));
            }
        }
        if self.bytes > limits::OBJECT_BYTES_MAX {
            return Err(format!("an object has at most {} bytes", limits::OBJECT_BYTES_MAX));
        }
        if self.parts > limits::SIGNED_PARTS_MAX || self.first_part > limits::UPLOAD_PARTS_MAX {
            return Err(format!("at most {} parts at a time", limits::SIGNED_PARTS_MAX));
        }
        Ok(())
    }
}

/// A PUT that needs no credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRequest {
    pub url: String,
    /// To be sent exactly so.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("SignedRequest").field("place", &place).finish_non_exhaustive()
    }
}

/// Answers `SignUpload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedUpload {
    pub id: u64,
    /// One a part, or one for the whole object; empty with `error`.
    pub requests: Vec<SignedRequest>,
    #[serde(default)]
    pub upload: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishUpload {
    pub id: u64,
    pub bucket: String,
    pub sha256: Hash,
    pub upload: String,
    /// The ETag of each part, in order; empty: the upload is given up.
    pub parts: Vec<String>,
}

impl FinishUpload {
    /// Bounds, checked on arrival.
    pub fn validate(&self) -> Result<(), String> {
        let texts = [&self.bucket, &self.upload];
        if texts.into_iter().chain(&self.parts).any(|text| text.is_empty() || text.len() > limits::TEXT_BYTES_MAX) {
            return Err(format!("texts must have 1 to {} bytes", limits::TEXT_BYTES_MAX));
        }
        if self.parts.len() > limits::UPLOAD_PARTS_MAX as usize {
            return Err(format!("an upload has at most {} parts", limits::UPLOAD_PARTS_MAX));
        }
        Ok(())
    }
}

/// Answers `FinishUpload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedUpload {
    pub id: u64,
    #[serde(default)]
    pub error: Option<String>,
    /// With `error`: the object store does not know this upload or one of its parts (any more); begin another one.
    #[serde(default)]
    pub gone: bool,
}

/// Consecutive records of one chain. The signature covers the last record's hash, and through the chain all before
/// it, plus the list of lost objects (`auth::batch_payload`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch {
    pub records: Vec<Record>,
    /// Objects named by these records that the box has lost for good (evicted, broken disk): the center stores the
    /// records all the same and marks these objects as lost, instead of refusing the chain forever.
    #[serde(default)]
    pub unavailable: Vec<UnavailableObject>,
    pub signature: Signature,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnavailableObject {
    pub sha256: Hash,
    pub reason: String,
}

/// All records up to and including this position are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub epoch: i64,
    pub seq: u64,
}

/// `(epoch, seq)` was not committed, nor anything after it; what came before it was, and was acknowledged.
/// Batches already on the way that begin after `seq` are ignored: send again from `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    pub epoch: i64,
    pub seq: u64,
    pub code: RejectCode,
    pub message: String,
    /// The objects to upload again (`ObjectMissing`, `ObjectMismatch`).
    #[serde(default)]
    pub objects: Vec<Hash>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// Upload the named objects, or declare them unavailable, then send again.
    ObjectMissing,
    /// The stored object has another size or checksum: upload again.
    ObjectMismatch,
    /// The object store does not answer: send again later.
    ObjectStoreDown,
    /// Records are missing before this one: send from `seq`.
    Lost,
    Reordered,
    Duplicated,
    /// The record does not match its hash, or another record was committed under its number.
    Altered,
    /// The record does not continue the committed chain: begin a new epoch.
    Forked,
    /// The record belongs to another epoch than the session's Hello.
    Epoch,
    /// A newer center may add codes: treat like `ObjectStoreDown`, send again later.
    #[serde(other)]
    Unknown,
}

impl RejectCode {
    /// True if sending the same records again can succeed (after uploading what `objects` names).
    pub fn retry(self) -> bool {
        !matches!(self, Self::Altered | Self::Forked)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ObjectMissing => "object_missing",
            Self::ObjectMismatch => "object_mismatch",
            Self::ObjectStoreDown => "object_store_down",
            Self::Lost => "lost",
            Self::Reordered => "reordered",
            Self::Duplicated => "duplicated",
            Self::Altered => "altered",
            Self::Forked => "forked",
            Self::Epoch => "epoch",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: RefusalCode,
    pub message: String,
    /// Wait at least this long before dialing again.
    #[serde(default)]
    pub retry_after_s: Option<u32>,
    /// With `EpochBehind`: the newest chain of this box; begin an epoch greater than its epoch.
    #[serde(default)]
    pub newest: Option<Position>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No common message version.
    Version,
    /// The box is not registered and has no valid enrolment code.
    NotEnrolled,
    /// The box was disabled at the center.
    Disabled,
    /// The key or a signature is not the registered box's.
    BadSignature,
    /// The center already holds a newer epoch of this box.
    EpochBehind,
    /// A message broke the protocol.
    BadMessage,
    /// Database or service not able to take records now: try later.
    Unavailable,
    ShuttingDown,
    #[serde(other)]
    Unknown,
}

impl RefusalCode {
    /// True if dialing again without a person's help can succeed.
    pub fn retry(self) -> bool {
        matches!(self, Self::Unavailable | Self::ShuttingDown | Self::EpochBehind | Self::Unknown)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::NotEnrolled => "not_enrolled",
            Self::Disabled => "disabled",
            Self::BadSignature => "bad_signature",
            Self::EpochBehind => "epoch_behind",
            Self::BadMessage => "bad_message",
            Self::Unavailable => "unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::Unknown => "unknown",
        }
    }
}
