//! Pure. Walks one stored chain, record by record, in the order of its numbers.

use super::hours::{Gap, Hour};
use super::{Fault, Finding, Unsigned};
use crate::db::audit::{StoredHead, StoredRecord};
use crate::db::keys::BoxKeys;
use gtv_protocol::record::chain_hash;
use gtv_protocol::{Position, auth, limits};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A batch that is cut short is committed without its signature, and the next one covers it. Until then so many records
/// at the end of a chain, and so long, are no fault.
const UNSIGNED_MAX: u64 = limits::BATCH_RECORDS_MAX as u64;
const UNSIGNED_DAYS_MAX: f64 = 1.0;

pub struct ChainWalk<'a> {
    box_id: Uuid,
    keys: &'a BoxKeys,
    at: Position,
    pub signatures: u64,
    pub findings: Vec<Finding>,
    /// Numbers that are gone.
    pub gaps: Vec<Gap>,
    /// When the last record was made.
    made_us: Option<i64>,
    /// Last record under a signature that holds, which proves all before it.
    covered: u64,
    /// Days since the first of the records after `covered` came.
    unsigned_days: f64,
    /// Records whose `prev_hash` is not the hash before them: (number, that hash), to be looked up.
    pub strays: Vec<(u64, gtv_protocol::Hash)>,
}

impl<'a> ChainWalk<'a> {
    /// Begins after `at`: the empty chain, or the last record that went when its time was over. `rooted` is the last
    /// record under a root that was verified.
    pub fn new(box_id: Uuid, keys: &'a BoxKeys, at: Position, rooted: u64) -> Self {
        Self {
            box_id,
            keys,
            at,
            signatures: 0,
            findings: Vec::new(),
            gaps: Vec::new(),
            made_us: None,
            covered: rooted.max(at.seq),
            unsigned_days: 0.0,
            strays: Vec::new(),
        }
    }

    pub fn step(&mut self, stored: &StoredRecord, heads: &BTreeMap<u64, StoredHead>) {
        let expected = self.at.seq + 1;
        if stored.seq > expected {
            self.missing(expected, stored.seq - 1, Some(stored.created_at_us));
            // Nothing is known of the hash in between.
            self.at.hash = stored.prev_hash;
        }
        if stored.prev_hash != self.at.hash {
            self.strays.push((stored.seq, stored.prev_hash));
        }
        self.made_us = Some(stored.created_at_us);
        match &stored.record {
            Ok(record) if chain_hash(self.box_id, record) == stored.hash => {}
            Ok(_) => self.find(stored.seq, Fault::Altered, "the record does not match its hash"),
            Err(problem) => self.find(stored.seq, Fault::Altered, problem),
        }
        if let Some(reason) = &stored.quarantined {
            self.find(stored.seq, Fault::Quarantined, reason);
        }
        if heads.get(&stored.seq).is_some_and(|head| self.check_head(stored, head)) {
            self.covered = self.covered.max(stored.seq);
        }
        if stored.seq <= self.covered {
            self.unsigned_days = 0.0;
        } else {
            self.unsigned_days = self.unsigned_days.max(stored.age_days);
        }
        self.at = Position { epoch: self.at.epoch, seq: stored.seq, hash: stored.hash };
    }

    /// Whether the box signed this record.
    fn check_head(&mut self, stored: &StoredRecord, head: &StoredHead) -> bool {
        self.signatures += 1;
        let (seq, epoch) = (stored.seq, self.at.epoch);
        let payload = auth::batch_payload(self.box_id, epoch, seq, &head.hash, &head.lost_digest);
        if !auth::verify(&head.public_key, &payload, &head.signature) {
            self.find(seq, Fault::BadSignature, "the signature of the batch does not fit");
        } else if !self.keys.at(stored.received_at).any(|key| *key == head.public_key) {
            self.find(seq, Fault::ForeignKey, "the batch is signed by a key that was not the box's when it came");
        } else if head.hash != stored.hash {
            self.find(seq, Fault::Altered, "the box signed another hash for this record, or for one before it");
        } else {
            return true;
        }
        false
    }

    /// Compares the end of the walk with what the service had committed and the box had signed, by batch or by root.
    /// `goes_on`: it is the box's newest chain. Returns the records at the end that are under no signature yet.
    pub fn finish(&mut self, committed: Position, last_signed: Option<u64>, goes_on: bool) -> Option<Unsigned> {
        let promised = committed.seq.max(last_signed.unwrap_or(0));
        if promised > self.at.seq {
            self.missing(self.at.seq + 1, promised, None);
        } else if committed.seq < self.at.seq || committed.hash != self.at.hash {
            let detail = format!("sync.chains says {} is the last record, with another hash or number", committed.seq);
            self.find(self.at.seq, Fault::Altered, &detail);
        }
        if self.at.seq <= self.covered {
            return None;
        }
        let (first, last) = (self.covered + 1, self.at.seq);
        if goes_on && last - self.covered <= UNSIGNED_MAX && self.unsigned_days < UNSIGNED_DAYS_MAX {
            return Some(Unsigned { box_id: self.box_id, epoch: self.at.epoch, first, last });
        }
        // Of no hour: no question for some hours may hide it.
        self.made_us = None;
        let detail = format!("no signature of the box covers records {first}..={last}: they may have been rewritten");
        self.find(first, Fault::Unsigned, &detail);
        None
    }

    /// `found`: where a stray's predecessor really is, by number of the stray.
    pub fn explain_strays(&mut self, found: &BTreeMap<u64, u64>) {
        self.made_us = None;
        for (seq, _) in std::mem::take(&mut self.strays) {
            match found.get(&seq) {
                Some(before) => {
                    let detail = format!("it follows record {before}, not record {}", seq - 1);
                    self.find(seq, Fault::Reordered, &detail);
                }
                None => self.find(
                    seq.saturating_sub(1),
                    Fault::Altered,
                    &format!("record {seq} continues another record than the one stored before it"),
                ),
            }
        }
    }

    fn missing(&mut self, first: u64, last: u64, after_us: Option<i64>) {
        self.gaps.push(Gap { records: last - first + 1, before_us: self.made_us, after_us });
        let detail = if first == last { "it is gone".to_owned() } else { format!("records {first}..={last} are gone") };
        self.find(first, Fault::Missing, &detail);
    }

    fn find(&mut self, seq: u64, fault: Fault, detail: &str) {
        let finding = Finding {
            box_id: self.box_id,
            epoch: Some(self.at.epoch),
            seq: Some(seq),
            hour: self.made_us.map(Hour::of),
            fault,
            detail: detail.to_owned(),
        };
        self.findings.push(finding);
    }
}
