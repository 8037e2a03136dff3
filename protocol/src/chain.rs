//! Pure. Continuity of the chain: what must follow a position, and the name of what is wrong if it does not.

use crate::hex_bytes::Hash;
use crate::record::{Record, chain_hash, genesis};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The end of a chain: number and hash of its last record; `seq` 0 is the empty chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub epoch: i64,
    pub seq: u64,
    pub hash: Hash,
}

impl Position {
    /// The position before the first record of an epoch.
    pub fn start(box_id: Uuid, epoch: i64) -> Self {
        Self { epoch, seq: 0, hash: genesis(box_id, epoch) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    #[error("lost: records {from}..={to} are missing before record {found}")]
    Lost { from: u64, to: u64, found: u64 },
    #[error("reordered: record {found} came where record {expected} belongs")]
    Reordered { expected: u64, found: u64 },
    #[error("duplicated: record {seq} came twice")]
    Duplicated { seq: u64 },
    #[error("altered: record {seq} does not match its own hash")]
    Altered { seq: u64 },
    #[error("forked: record {seq} does not continue the record before it")]
    Forked { seq: u64 },
    #[error("epoch: record {seq} belongs to epoch {found}, this chain to {expected}")]
    Epoch { seq: u64, expected: i64, found: i64 },
}

impl ChainFault {
    /// Stable name for metrics, incidents and tests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Reordered { .. } => "reordered",
            Self::Duplicated { .. } => "duplicated",
            Self::Altered { .. } => "altered",
            Self::Forked { .. } => "forked",
            Self::Epoch { .. } => "epoch",
        }
    }

    /// The number that should have come at the point where the chain stops being good.
    pub fn seq(&self) -> u64 {
        match *self {
            Self::Lost { from, .. } => from,
            Self::Reordered { expected, .. } => expected,
            Self::Duplicated { seq } | Self::Altered { seq } | Self::Forked { seq } | Self::Epoch { seq, .. } => seq,
        }
    }
}

/// Follows `records` from `after`. Returns how many of them, and up to which position, are good, and the first fault.
pub fn follow(box_id: Uuid, after: Position, records: &[Record]) -> (usize, Position, Option<ChainFault>) {
    let mut at = after;
    for (index, record) in records.iter().enumerate() {
        match next(box_id, at, record, &records[index..]) {
            Ok(position) => at = position,
            Err(fault) => return (index, at, Some(fault)),
        }
    }
    (records.len(), at, None)
}

fn next(box_id: Uuid, at: Position, record: &Record, rest: &[Record]) -> Result<Position, ChainFault> {
    let (seq, expected) = (record.seq, at.seq.saturating_add(1));
    if record.epoch != at.epoch {
        return Err(ChainFault::Epoch { seq, expected: at.epoch, found: record.epoch });
    }
    if seq == at.seq {
        return Err(ChainFault::Duplicated { seq });
    }
    if seq != expected {
        // Present later in the same batch, or already behind us: the order is wrong. Nowhere: it is lost.
        let out_of_order = seq < expected || rest.iter().any(|r| r.seq == expected);
        return Err(if out_of_order {
            ChainFault::Reordered { expected, found: seq }
        } else {
            ChainFault::Lost { from: expected, to: seq - 1, found: seq }
        });
    }
    if chain_hash(box_id, record) != record.hash {
        return Err(ChainFault::Altered { seq });
    }
    if record.prev_hash != at.hash {
        return Err(ChainFault::Forked { seq });
    }
    Ok(Position { epoch: at.epoch, seq, hash: record.hash })
}
