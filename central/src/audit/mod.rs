//! The audit: reads everything back and names what is missing, altered, duplicated or reordered.

mod chain;
mod hours;
mod objects;
mod run;

pub use hours::{Counts, Hour, HourLine};
pub use run::{Scope, audit};

use crate::db::incidents::Incident;
use chrono::{DateTime, Utc};
use gtv_protocol::PublicKey;
use serde::Serialize;
use std::fmt;
use uuid::Uuid;

/// What is wrong with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    Missing,
    Altered,
    Reordered,
    Duplicated,
    /// Stored, but without a typed row.
    Quarantined,
    /// A batch's signature does not fit its record.
    BadSignature,
    /// A batch is signed by a key that was not registered for the box when it came.
    ForeignKey,
    /// Records at the end of a chain that neither a batch's signature nor a root covers.
    Unsigned,
    RowMissing,
    RowAltered,
    /// A typed row that no record tells of.
    RowInvented,
    /// PostgreSQL cannot read the record any more: its typed row cannot be compared.
    RowUnreadable,
    ObjectMissing,
    ObjectAltered,
    /// The stored records do not give the Merkle root that the box signed.
    RootDiffers,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub box_id: Uuid,
    pub epoch: Option<i64>,
    pub seq: Option<u64>,
    /// In which the record was made, where that is known.
    pub hour: Option<Hour>,
    pub fault: Fault,
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = serde_json::to_value(self.fault).ok();
        let fault = fault.as_ref().and_then(serde_json::Value::as_str).unwrap_or("fault");
        write!(f, "{fault}: box {}", self.box_id)?;
        if let (Some(epoch), Some(seq)) = (self.epoch, self.seq) {
            write!(f, " epoch {epoch} record {seq}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// Records at the end of a box's chain that came so lately that their signature may still come; they prove nothing yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsigned {
    pub box_id: Uuid,
    pub epoch: i64,
    pub first: u64,
    pub last: u64,
}

/// A key by which signatures of a box were accepted: to be compared with a copy that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    pub box_id: Uuid,
    pub public_key: PublicKey,
    /// Absent: it is the registered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub boxes: u64,
    pub chains: u64,
    pub records: u64,
    /// Records of a new epoch that tell again, word for word, what an earlier one told.
    pub records_retold: u64,
    /// Signed batch heads that were verified.
    pub signatures: u64,
    pub objects: u64,
    /// Objects that the boxes declared lost when they sent their records.
    pub objects_lost: u64,
    /// Objects that the boxes declared lost and whose upload arrived all the same.
    pub objects_found: u64,
    /// Objects gone after the retention time, as they should be.
    pub objects_expired: u64,
    /// Objects about which S3 gave no answer, or that could not be read to their end; and why, of the first.
    pub objects_unchecked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchecked_because: Option<String>,
    /// Signed Merkle roots that were computed again.
    pub roots: u64,
    /// Records that went when their time was over, and roots that cannot be computed again because of it.
    pub records_expired: u64,
    pub roots_expired: u64,
    pub hours: Vec<HourLine>,
    pub unsigned: Vec<Unsigned>,
    pub keys: Vec<Key>,
    pub findings: Vec<Finding>,
    /// What the service noticed while it ran; each was refused then, so it is history and no finding.
    pub incidents: Vec<Incident>,
}
