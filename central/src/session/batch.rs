//! One batch: what was seen before is compared, what is new is checked, written and acknowledged.

use super::checks::check_objects;
use super::review::review;
use super::turn::Turn;
use super::{Center, Session, database_down, now_us, ousted, unavailable};
use crate::db::commit::{Accepted, Head, Outcome, Reviewed};
use crate::db::objects::StoredObject;
use crate::db::proofs::Verdict;
use crate::live;
use crate::metrics;
use ::metrics::{counter, histogram};
use gtv_protocol::record::chain_hash;
use gtv_protocol::{
    Ack, Batch, ChainFault, Message, Position, Record, Refusal, RefusalCode, Reject, RejectCode, auth, chain,
};
use std::collections::BTreeMap;
use std::time::Instant;
use tracing::{debug, warn};

/// How often a batch starts over because another session of the same box was faster.
const ATTEMPTS_MAX: usize = 5;

/// Where and why a batch is cut short.
pub struct Cut {
    pub seq: u64,
    pub code: RejectCode,
    pub message: String,
    pub objects: Vec<gtv_protocol::Hash>,
    /// True for what deserves a place among the incidents.
    pub incident: bool,
}

pub async fn process(
    center: &Center,
    session: &mut Session,
    turn: &mut Turn<'_>,
    batch: Batch,
) -> Result<Vec<Message>, Refusal> {
    let first = batch.records.first().map_or(0, |record| record.seq);
    if session.hold.is_some_and(|hold| first > hold) {
        counter!(metrics::BATCHES, "outcome" => "skipped").increment(1);
        return Ok(Vec::new());
    }
    session.hold = None;
    let (key, box_id) = (session.key, session.box_id);
    if !auth::verify_batch(&key, box_id, &batch) {
        note(center, session, first, "bad_signature", "a batch is not signed by the box's key").await?;
        return Err(Refusal {
            code: RefusalCode::BadSignature,
            message: format!("the batch at record {first} is not signed by this box's key"),
            retry_after_s: None,
            newest: None,
        });
    }
    for _ in 0..ATTEMPTS_MAX {
        let position = match session.position {
            Some(position) => position,
            None => center.db.position(box_id, session.epoch).await.map_err(|e| database_down(&e))?,
        };
        if let Some(replies) = attempt(center, session, turn, &batch, position).await? {
            return Ok(replies);
        }
        session.position = None;
    }
    Err(unavailable("several sessions of this box are sending at once".to_owned()))
}

/// `None` if the committed position moved meanwhile.
async fn attempt(
    center: &Center,
    session: &mut Session,
    turn: &mut Turn<'_>,
    batch: &Batch,
    position: Position,
) -> Result<Option<Vec<Message>>, Refusal> {
    let records = &batch.records;
    let repeated = repeated_prefix(records, position);
    let mut cut = compare_repeated(center, session, &records[..repeated]).await?;
    // Nothing of a batch that contradicts what is committed is acknowledged.
    let consistent = cut.is_none();
    let mut accepted = 0;
    if consistent {
        let (good, _, fault) = chain::follow(session.box_id, position, &records[repeated..]);
        (accepted, cut) = (good, fault.map(chain_cut));
    }
    let mut new = &records[repeated..repeated + accepted];

    let (objects, object_cut) = check_objects(center, session.box_id, turn, batch, new).await?;
    if let Some((index, object_cut)) = object_cut {
        new = &new[..index];
        cut = Some(object_cut);
    }
    counter!(metrics::RECORDS_REPEATED).increment(repeated as u64);

    let mut committed = position;
    if !new.is_empty() {
        let head = (cut.is_none()).then(|| Head::of(batch, session.key));
        match commit(center, session, position, new, objects, head).await? {
            Some(to) => committed = to,
            None => return Ok(None),
        }
    }
    session.position = Some(committed);
    let mut replies = Vec::new();
    if consistent && repeated > 0 || !new.is_empty() {
        replies.push(Message::Ack(Ack { epoch: committed.epoch, seq: committed.seq }));
    }
    let outcome = match (&cut, new.is_empty()) {
        (Some(_), _) => "rejected",
        (None, true) => "repeated",
        (None, false) => "committed",
    };
    counter!(metrics::BATCHES, "outcome" => outcome).increment(1);
    if let Some(cut) = cut {
        replies.push(reject(center, session, committed, cut).await?);
    }
    Ok(Some(replies))
}

/// How many records at the beginning are consecutive and already committed.
fn repeated_prefix(records: &[Record], position: Position) -> usize {
    let mut expected = None;
    records
        .iter()
        .take_while(|record| {
            let next = expected.is_none_or(|seq| record.seq == seq);
            expected = Some(record.seq.saturating_add(1));
            next && record.epoch == position.epoch && record.seq <= position.seq
        })
        .count()
}

/// A record that comes again must be the one that was committed under its number.
async fn compare_repeated(center: &Center, session: &Session, repeated: &[Record]) -> Result<Option<Cut>, Refusal> {
    let (Some(first), Some(last)) = (repeated.first(), repeated.last()) else { return Ok(None) };
    let stored =
        center.db.hashes(session.box_id, session.epoch, first.seq, last.seq).await.map_err(|e| database_down(&e))?;
    let altered = repeated.iter().find(|record| {
        stored.get(&record.seq) != Some(&record.hash) || chain_hash(session.box_id, record) != record.hash
    });
    Ok(altered.map(|record| Cut {
        seq: record.seq,
        code: RejectCode::Altered,
        message: format!("altered: another record was committed as {}; begin a new epoch", record.seq),
        objects: Vec::new(),
        incident: true,
    }))
}

fn chain_cut(fault: ChainFault) -> Cut {
    let code = match fault {
        ChainFault::Lost { .. } => RejectCode::Lost,
        ChainFault::Reordered { .. } => RejectCode::Reordered,
        ChainFault::Duplicated { .. } => RejectCode::Duplicated,
        ChainFault::Altered { .. } => RejectCode::Altered,
        ChainFault::Forked { .. } => RejectCode::Forked,
        ChainFault::Epoch { .. } => RejectCode::Epoch,
    };
    Cut { seq: fault.seq(), code, message: fault.to_string(), objects: Vec::new(), incident: true }
}

/// `None` if the committed position moved meanwhile.
async fn commit(
    center: &Center,
    session: &Session,
    after: Position,
    new: &[Record],
    objects: Vec<StoredObject>,
    head: Option<Head>,
) -> Result<Option<Position>, Refusal> {
    let records =
        new.iter().map(|record| Reviewed { body: review(session.box_id, &session.key, record), record }).collect();
    let events = center.events.is_some();
    let (box_id, tenant, key) = (session.box_id, session.tenant, session.key);
    let accepted = Accepted { box_id, tenant, key, after, records, objects, events, head };
    let started = Instant::now();
    let outcome = center.db.commit(&accepted).await.map_err(|e| database_down(&e))?;
    histogram!(metrics::COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
    match outcome {
        Outcome::Committed { to, quarantined, retold, proofs } => {
            let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
            for record in new {
                let kind = gtv_protocol::Kind::parse(&record.kind).map_or("other", gtv_protocol::Kind::as_str);
                *kinds.entry(kind).or_default() += 1;
            }
            for (kind, records) in kinds {
                counter!(metrics::RECORDS, "kind" => kind, "prefeitura" => session.prefeitura.clone())
                    .increment(records);
            }
            counter!(metrics::RECORDS_RETOLD).increment(retold);
            if quarantined > 0 {
                counter!(metrics::RECORDS_QUARANTINED).increment(quarantined);
                warn!(quarantined, from = after.seq + 1, to = to.seq, "records quarantined; see gtv-sync audit");
            }
            for proof in proofs {
                counter!(metrics::PROOFS, "outcome" => proof.outcome()).increment(1);
                if let Verdict::Differs { seq, detail } = &proof {
                    warn!(seq, detail, "the stored records do not give the root that the box signed");
                    note(center, session, *seq, "root_differs", detail).await?;
                }
            }
            if let Some(events) = &center.events {
                events.wake();
            }
            if let Some(presence) = &session.presence {
                let records = accepted.records.iter();
                let told = records.filter_map(|r| Some((r.record.created_at_us, r.body.as_ref().ok()?)));
                presence.streams(live::activities(told, now_us()));
            }
            debug!(records = new.len(), seq = to.seq, "committed");
            Ok(Some(to))
        }
        Outcome::Moved => Ok(None),
        Outcome::Ousted(why) => Err(ousted(why)),
        Outcome::Superseded => Err(Refusal {
            code: RefusalCode::EpochBehind,
            message: "the box began a newer epoch in another session".to_owned(),
            retry_after_s: Some(1),
            newest: center.db.newest_position(session.box_id).await.map_err(|e| database_down(&e))?,
        }),
    }
}

async fn reject(center: &Center, session: &mut Session, committed: Position, cut: Cut) -> Result<Message, Refusal> {
    counter!(metrics::REJECTS, "code" => cut.code.as_str()).increment(1);
    warn!(code = cut.code.as_str(), seq = cut.seq, reason = cut.message, "batch cut short");
    if cut.incident {
        note(center, session, cut.seq, cut.code.as_str(), &cut.message).await?;
    }
    session.hold = Some(cut.seq.max(committed.seq + 1));
    Ok(Message::Reject(Reject {
        epoch: session.epoch,
        seq: cut.seq,
        code: cut.code,
        message: cut.message,
        objects: cut.objects,
    }))
}

async fn note(center: &Center, session: &Session, seq: u64, name: &'static str, detail: &str) -> Result<(), Refusal> {
    counter!(metrics::INCIDENTS, "incident" => name).increment(1);
    center.db.note_incident(session.box_id, session.epoch, seq, name, detail).await.map_err(|e| database_down(&e))
}
