//! The objects that a batch names: are they in the object store as claimed? (invariant S1)

use super::batch::Cut;
use super::review::misplaced;
use super::turn::Turn;
use super::{Center, database_down};
use crate::db::objects::{Checked, StoredObject};
use crate::metrics;
use crate::objects::check::{Depth, ObjectFault};
use ::metrics::{counter, histogram};
use futures_util::{FutureExt, StreamExt, stream};
use gtv_protocol::{Batch, Hash, ObjectRef, Record, Refusal, RejectCode};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

/// Objects of a batch checked at a time.
const CHECKS_AT_A_TIME: usize = 16;
/// What is not checked by then is left to another batch, so that four of them are acknowledged within the 120 s that a
/// box waits. The first record has all the time it takes: otherwise nothing would ever move.
const CHECKS_WITHIN: Duration = Duration::from_secs(25);

type Results<'a> = BTreeMap<(&'a str, &'a str), Result<Checked, ObjectFault>>;
type CheckedObjects = (Vec<StoredObject>, Option<(usize, Cut)>);

/// Whether the object store may have to be asked.
pub fn needed(batch: &Batch) -> bool {
    batch.records.iter().any(|record| !record.objects.is_empty())
}

/// Checks the objects that `new` names, in the order of the records. Returns those of the records before the first fault,
/// and that fault with the index of its record.
pub async fn check_objects(
    center: &Center,
    box_id: Uuid,
    turn: &mut Turn<'_>,
    batch: &Batch,
    new: &[Record],
) -> Result<CheckedObjects, Refusal> {
    // A misplaced object is not ours to look for: its record is quarantined by the review.
    let wanted: Vec<(usize, &ObjectRef)> = new
        .iter()
        .enumerate()
        .flat_map(|(index, record)| record.objects.iter().map(move |object| (index, object)))
        .filter(|(_, object)| misplaced(box_id, object).is_none())
        .collect();
    if wanted.is_empty() {
        return Ok((Vec::new(), None));
    }
    let named: Vec<_> = wanted.iter().map(|(_, object)| (object.bucket.as_str(), object.key.as_str())).collect();
    let known = center.db.known_objects(box_id, &named).await.map_err(|e| database_down(&e))?;
    turn.rest();
    let results = ask_store(center, &wanted, &known).await;
    turn.work().await?;

    let lost: BTreeMap<_, _> = batch.unavailable.iter().map(|u| (u.sha256, u.reason.as_str())).collect();
    let mut objects = Vec::new();
    let mut fault_at: Option<(usize, Vec<(Hash, ObjectFault)>)> = None;
    for (index, object) in wanted {
        if fault_at.as_ref().is_some_and(|(at, _)| *at < index) {
            break;
        }
        match results.get(&(object.bucket.as_str(), object.key.as_str())) {
            Some(Ok(checked)) => {
                counter!(metrics::OBJECTS, "how" => checked.as_str()).increment(1);
                objects.push((index, StoredObject::of(object, *checked, None)));
            }
            Some(Err(fault)) if fault.is_about_object() && lost.contains_key(&object.sha256) => {
                let reason = lost.get(&object.sha256).map(|reason| (*reason).to_owned());
                warn!(key = object.key, reason, "the box has lost an object");
                counter!(metrics::OBJECTS, "how" => "lost").increment(1);
                objects.push((index, StoredObject::of(object, Checked::Lost, reason)));
            }
            fault => {
                let fault = fault.and_then(|result| result.as_ref().err()).cloned();
                let fault = fault.unwrap_or_else(|| not_asked(object));
                fault_at.get_or_insert((index, Vec::new())).1.push((object.sha256, fault));
            }
        }
    }
    let Some((at, faults)) = fault_at else {
        return Ok((objects.into_iter().map(|(_, object)| object).collect(), None));
    };
    let kept = objects.into_iter().filter(|(index, _)| *index < at).map(|(_, object)| object).collect();
    Ok((kept, Some((at, object_cut(new[at].seq, &faults)))))
}

/// What the store says of each object, as far as it says anything: once it fails, only the objects of earlier records are
/// waited for.
async fn ask_store<'a>(
    center: &Center,
    wanted: &[(usize, &'a ObjectRef)],
    known: &BTreeSet<(String, String)>,
) -> Results<'a> {
    let mut results = Results::new();
    if !center.store.lets_through(Instant::now()) {
        return results;
    }
    // One request an object, though many records may name it.
    let mut seen = BTreeSet::new();
    let mut checks = Vec::new();
    for (index, object) in wanted {
        let (bucket, key, sha256, bytes) = (object.bucket.as_str(), object.key.as_str(), object.sha256, object.bytes);
        if !seen.insert((bucket, key)) {
            continue;
        }
        let is_known = known.contains(&(bucket.to_owned(), key.to_owned()));
        let bytes_max = center.object_read_bytes;
        let depth = if is_known { Depth::Size } else { Depth::Content { bytes_max } };
        let check = async move {
            let started = Instant::now();
            let result = center.objects.check(bucket, key, &sha256, bytes, depth).await;
            histogram!(metrics::OBJECT_SECONDS).record(started.elapsed().as_secs_f64());
            // Known means read back before: a look at its size does not make it less than that.
            let result = result.map(|checked| if is_known { Checked::Content } else { checked });
            (*index, (bucket, key), result)
        };
        checks.push(check.boxed());
    }
    let mut answers = stream::iter(checks).buffer_unordered(CHECKS_AT_A_TIME);
    let started = Instant::now();
    let first = wanted.first().map_or(0, |(index, _)| *index);
    let mut down_at: Option<usize> = None;
    loop {
        let known_before = |record: usize| {
            let mut before = wanted.iter().take_while(|(index, _)| *index < record);
            before.all(|(_, object)| results.contains_key(&(object.bucket.as_str(), object.key.as_str())))
        };
        if down_at.is_some_and(known_before) {
            return results;
        }
        let answer = if known_before(first + 1) {
            timeout(CHECKS_WITHIN.saturating_sub(started.elapsed()), answers.next()).await.unwrap_or(None)
        } else {
            answers.next().await
        };
        let Some((index, object, result)) = answer else { return results };
        match &result {
            Err(ObjectFault::Down { silent, .. }) => {
                down_at = Some(down_at.map_or(index, |at| at.min(index)));
                if *silent {
                    center.store.silent(Instant::now());
                }
            }
            _ => center.store.answered(),
        }
        results.insert(object, result);
    }
}

fn not_asked(object: &ObjectRef) -> ObjectFault {
    let (bucket, key) = (object.bucket.clone(), object.key.clone());
    let problem = "the object store does not answer, or not soon enough".to_owned();
    ObjectFault::Down { bucket, key, problem, silent: false }
}

fn object_cut(seq: u64, faults: &[(Hash, ObjectFault)]) -> Cut {
    let down = faults.iter().find(|(_, fault)| !fault.is_about_object());
    let worst = down.or(faults.first()).map(|(_, fault)| fault);
    let code = match worst {
        Some(ObjectFault::Missing { .. }) => RejectCode::ObjectMissing,
        Some(ObjectFault::Mismatch { .. }) => RejectCode::ObjectMismatch,
        Some(ObjectFault::Down { .. }) | None => RejectCode::ObjectStoreDown,
    };
    let message = worst.map(ToString::to_string).unwrap_or_default();
    let objects = if down.is_some() { Vec::new() } else { faults.iter().map(|(hash, _)| *hash).collect() };
    Cut { seq, code, message, objects, incident: code != RejectCode::ObjectStoreDown }
}
