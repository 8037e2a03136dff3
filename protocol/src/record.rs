//! The record: envelope, object references, and the hash that chains it to its predecessor.
//!
//! Canonical bytes (all integers big-endian; `str` = u32 length, then UTF-8):
//!
//! ```text
//! "gtv-record-v1\0" | prev_hash 32 | box id 16 | epoch i64 | seq u64 | created_at_us i64 | kind str | id str
//!   | object count u32 | per object: bucket str, key str, sha256 32, bytes u64, content_type str | body str
//! ```
//!
//! The body enters as the exact JSON text the box wrote, never a re-serialization of it.
//! A chain begins with `genesis(box, epoch)`, so records cannot be moved between boxes or epochs.

use crate::body::{Body, BodyError};
use crate::hex_bytes::Hash;
use crate::limits;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

/// An object in S3 that a record names. Content addressed: `key` is `object_key(box, sha256)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Logical bucket: `recordings`, `snapshots`, `lpr-images` or `exports`; each side adds its own prefix.
    pub bucket: String,
    pub key: String,
    pub sha256: Hash,
    pub bytes: u64,
    pub content_type: String,
}

impl ObjectRef {
    pub fn new(box_id: Uuid, bucket: &str, sha256: Hash, bytes: u64, content_type: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: object_key(box_id, &sha256),
            sha256,
            bytes,
            content_type: content_type.to_owned(),
        }
    }
}

/// Prefix of all keys of one box, the same in each bucket: `boxes/<box id>/`.
pub fn object_prefix(box_id: Uuid) -> String {
    format!("boxes/{box_id}/")
}

/// Key of an object: `boxes/<box id>/<first two digits>/<sha256>`.
pub fn object_key(box_id: Uuid, sha256: &Hash) -> String {
    let digits = sha256.to_string();
    format!("{}{}/{digits}", object_prefix(box_id), &digits[..2])
}

/// One link of the chain. The body stays the text the box wrote, so that hashing never depends on re-serialization.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    pub epoch: i64,
    pub seq: u64,
    pub prev_hash: Hash,
    pub hash: Hash,
    /// One of `Kind`, or the kind of a newer version.
    pub kind: String,
    /// Identity of the thing described; a camera keeps its id over many records, a detection has one record.
    pub id: String,
    /// Microseconds since 1970, UTC.
    pub created_at_us: i64,
    #[serde(default)]
    pub objects: Vec<ObjectRef>,
    pub body: Box<RawValue>,
}

/// A record that has no number yet.
#[derive(Clone)]
pub struct Draft {
    pub kind: String,
    pub id: String,
    pub created_at_us: i64,
    pub objects: Vec<ObjectRef>,
    pub body: Box<RawValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("record {id:?}: {field} is {found} and may be at most {max}; shorten it at its source")]
    TooLarge { id: String, field: &'static str, found: u64, max: u64 },
    #[error("record {id:?}: {field} {problem}; correct it at its source")]
    Invalid { id: String, field: &'static str, problem: String },
    #[error("record {id:?}: body: {source}")]
    Body { id: String, source: BodyError },
}

impl Draft {
    /// Serializes and checks a record before it is queued, so that what is queued can always be sent.
    pub fn new(body: &Body, id: &str, created_at_us: i64, objects: Vec<ObjectRef>) -> Result<Self, RecordError> {
        let in_body = |source| RecordError::Body { id: id.to_owned(), source };
        body.validate().map_err(in_body)?;
        let raw = body.to_raw().map_err(in_body)?;
        let draft =
            Self { kind: body.kind().as_str().to_owned(), id: id.to_owned(), created_at_us, objects, body: raw };
        check_envelope(&draft.kind, &draft.id, draft.created_at_us, &draft.objects, draft.body.get())?;
        Ok(draft)
    }

    /// Restores a draft from its stored parts.
    pub fn from_parts(
        kind: String,
        id: String,
        created_at_us: i64,
        objects: Vec<ObjectRef>,
        body: String,
    ) -> Result<Self, RecordError> {
        check_envelope(&kind, &id, created_at_us, &objects, &body)?;
        let body = RawValue::from_string(body)
            .map_err(|e| RecordError::Body { id: id.clone(), source: BodyError::Malformed(e.to_string()) })?;
        Ok(Self { kind, id, created_at_us, objects, body })
    }

    /// Gives the draft its number and place in the chain.
    pub fn seal(self, box_id: Uuid, epoch: i64, seq: u64, prev_hash: Hash) -> Record {
        let mut record = Record {
            epoch,
            seq,
            prev_hash,
            hash: prev_hash,
            kind: self.kind,
            id: self.id,
            created_at_us: self.created_at_us,
            objects: self.objects,
            body: self.body,
        };
        record.hash = chain_hash(box_id, &record);
        record
    }
}

impl Record {
    /// Checks the bounds of the envelope; the body is checked by `Body::parse`.
    pub fn validate(&self) -> Result<(), RecordError> {
        let number =
            |field, problem: &str| RecordError::Invalid { id: clip(&self.id), field, problem: problem.to_owned() };
        if self.seq == 0 || self.seq > i64::MAX as u64 {
            return Err(number("seq", "is outside 1..=9223372036854775807"));
        }
        if self.epoch <= 0 {
            return Err(number("epoch", "is not positive"));
        }
        check_envelope(&self.kind, &self.id, self.created_at_us, &self.objects, self.body.get())
    }

    /// Bytes this record takes in a batch, roughly and never too low by more than a few bytes.
    pub fn wire_bytes(&self) -> usize {
        let objects: usize =
            self.objects.iter().map(|o| o.bucket.len() + o.key.len() + o.content_type.len() + 160).sum();
        320 + self.kind.len() + self.id.len() + objects + self.body.get().len()
    }
}

fn check_envelope(
    kind: &str,
    id: &str,
    created_at_us: i64,
    objects: &[ObjectRef],
    body: &str,
) -> Result<(), RecordError> {
    let text = |field: &'static str, value: &str, max: usize| {
        if value.len() > max {
            return Err(RecordError::TooLarge { id: clip(id), field, found: value.len() as u64, max: max as u64 });
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            let problem = "is empty or contains control characters".to_owned();
            return Err(RecordError::Invalid { id: clip(id), field, problem });
        }
        Ok(())
    };
    text("id", id, limits::RECORD_ID_BYTES_MAX)?;
    text("kind", kind, limits::ID_BYTES_MAX)?;
    if !(0..=limits::TIME_US_MAX).contains(&created_at_us) {
        let problem = format!("{created_at_us} is outside 1970..2200");
        return Err(RecordError::Invalid { id: id.to_owned(), field: "created_at_us", problem });
    }
    let bound = |field, found: u64, max: u64| {
        if found > max {
            return Err(RecordError::TooLarge { id: id.to_owned(), field, found, max });
        }
        Ok(())
    };
    bound("body", body.len() as u64, limits::BODY_BYTES_MAX as u64)?;
    bound("objects", objects.len() as u64, limits::OBJECTS_PER_RECORD_MAX as u64)?;
    for object in objects {
        text("object bucket", &object.bucket, limits::ID_BYTES_MAX)?;
        text("object key", &object.key, limits::KEY_BYTES_MAX)?;
        text("object content_type", &object.content_type, limits::TEXT_BYTES_MAX)?;
        bound("object bytes", object.bytes, limits::OBJECT_BYTES_MAX)?;
    }
    Ok(())
}

/// A length-bounded copy for messages about ids that may themselves be too long.
fn clip(text: &str) -> String {
    text.chars().take(limits::RECORD_ID_BYTES_MAX).collect()
}

/// What the first record of a chain has as its `prev_hash`.
pub fn genesis(box_id: Uuid, epoch: i64) -> Hash {
    let mut sha = Sha256::new();
    sha.update(b"gtv-chain-v1\0");
    sha.update(box_id.as_bytes());
    sha.update(epoch.to_be_bytes());
    crate::hex_bytes::HexBytes(sha.finalize().into())
}

/// SHA-256 over the canonical bytes (see the head of this file).
pub fn chain_hash(box_id: Uuid, record: &Record) -> Hash {
    let mut sha = Sha256::new();
    let text = |sha: &mut Sha256, value: &str| {
        sha.update((value.len() as u32).to_be_bytes());
        sha.update(value.as_bytes());
    };
    sha.update(b"gtv-record-v1\0");
    sha.update(record.prev_hash.as_bytes());
    sha.update(box_id.as_bytes());
    sha.update(record.epoch.to_be_bytes());
    sha.update(record.seq.to_be_bytes());
    sha.update(record.created_at_us.to_be_bytes());
    text(&mut sha, &record.kind);
    text(&mut sha, &record.id);
    sha.update((record.objects.len() as u32).to_be_bytes());
    for object in &record.objects {
        text(&mut sha, &object.bucket);
        text(&mut sha, &object.key);
        sha.update(object.sha256.as_bytes());
        sha.update(object.bytes.to_be_bytes());
        text(&mut sha, &object.content_type);
    }
    text(&mut sha, record.body.get());
    crate::hex_bytes::HexBytes(sha.finalize().into())
}

/// The body is left out: it may hold a plate.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("epoch", &self.epoch)
            .field("seq", &self.seq)
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("hash", &self.hash)
            .field("objects", &self.objects.len())
            .field("body_bytes", &self.body.get().len())
            .finish_non_exhaustive()
    }
}

/// The body is left out: it may hold a plate.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("objects", &self.objects.len())
            .field("body_bytes", &self.body.get().len())
            .finish_non_exhaustive()
    }
}
