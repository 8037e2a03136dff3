//! What the box states about its own records: how many each hour had, and signed Merkle roots over its chain. With them
//! the centre knows of records that have not arrived, and can show later that it holds all of them.

use gtv_protocol::body::{Body, HOUR_US, HourCount, Proof};
use gtv_protocol::hex_bytes::HexBytes;
use gtv_protocol::{auth, limits, merkle};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::outbox::{self, Chain, Lane};
use super::sql::unsigned;
use super::{Store, StoreError, StoreEvent, state};
use crate::base::identity::Identity;
use crate::base::time::UtcMicros;

/// Last record under a root.
pub(super) const PROVEN_SEQ: &str = "sync.proven_seq";
/// Names this database as the one that counts.
const LEDGER: &str = "sync.ledger";
/// A root comes with the hours; a busy box signs one earlier, so that delivered records can be forgotten.
const UNPROVEN_MAX: u64 = limits::PROOF_RECORDS_MAX / 2;
/// Hours that nobody asks about any more.
const FORGET_AFTER_US: i64 = 400 * 24 * HOUR_US;

impl Store {
    /// Queues a proof when an hour is over and has something to tell, or many records are under no root yet. False when
    /// there was nothing to state.
    pub async fn prove(&self, identity: &Identity, now: UtcMicros) -> Result<bool, StoreError> {
        let identity = identity.clone();
        self.write("state what the box has", move |tx| {
            let chain = Chain::load_or_begin(tx, identity.box_id)?;
            let hours = changed_hours(tx, hour_of(now))?;
            let proven = outbox::number(tx, PROVEN_SEQ)?.unwrap_or(0).min(chain.last.seq);
            if hours.is_empty() && chain.last.seq - proven < UNPROVEN_MAX {
                return Ok(false);
            }
            let mut proof = Proof {
                epoch: chain.last.epoch,
                first_seq: proven + 1,
                last_seq: chain.last.seq.min(proven + limits::PROOF_RECORDS_MAX),
                root: HexBytes([0; 32]),
                ledger: ledger(tx)?,
                hours,
                signature: HexBytes([0; 64]),
            };
            proof.root = root(tx, &mut proof)?;
            proof.signature = HexBytes(identity.sign(&auth::proof_payload(identity.box_id.0, &proof)));
            for hour in &proof.hours {
                tx.prepare_cached("UPDATE outbox_hours SET changed = 0 WHERE start_us = ?1")?
                    .execute([hour.start_us])?;
            }
            tx.prepare_cached("DELETE FROM outbox_hours WHERE changed = 0 AND start_us < ?1")?
                .execute([now.0 - FORGET_AFTER_US])?;
            state::set(tx, PROVEN_SEQ, &proof.last_seq.to_string())?;
            let thing = format!("{}/{}-{}/{}", proof.epoch, proof.first_seq, proof.last_seq, now.0);
            outbox::put(tx, Lane::Detections, &Body::Proof(proof), &thing, &[])?;
            tx.publish(StoreEvent::Outbox);
            Ok(true)
        })
        .await
    }
}

/// Root over the records of the span that are still kept; the span shrinks to them.
fn root(c: &Connection, proof: &mut Proof) -> Result<gtv_protocol::Hash, StoreError> {
    let mut statement = c.prepare_cached("SELECT seq, hash FROM outbox WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq")?;
    let mut rows = statement.query(params![proof.first_seq as i64, proof.last_seq as i64])?;
    let mut tree = merkle::Tree::default();
    let mut first = None;
    while let Some(row) = rows.next()? {
        first = first.or(Some(unsigned(row, 0)?));
        tree.push(&outbox::digest(&row.get::<_, String>(1)?)?);
    }
    proof.first_seq = first.unwrap_or(proof.last_seq + 1);
    Ok(tree.root())
}

/// Counts a record in the hour in which it was made.
pub(super) fn count(c: &Connection, made_at: UtcMicros, objects: usize) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO outbox_hours (start_us, records, objects) VALUES (?1, 1, ?2)
         ON CONFLICT (start_us) DO UPDATE SET records = records + 1, objects = objects + excluded.objects, changed = 1",
    )?
    .execute(params![hour_of(made_at), objects as i64])?;
    Ok(())
}

/// Takes back the count of a record whose place another one takes.
pub(super) fn uncount(c: &Connection, made_at: UtcMicros) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE outbox_hours SET records = max(records - 1, evicted), changed = 1 WHERE start_us = ?1")?
        .execute([hour_of(made_at)])?;
    Ok(())
}

/// Counts records that go before they are delivered, given when they were made and how many objects they name: nobody
/// is told of these objects any more. Returns the first and last time at which the records were made.
pub(super) fn count_evicted(c: &Connection, went: &[(UtcMicros, i64)]) -> Result<Option<(i64, i64)>, StoreError> {
    let mut statement = c.prepare_cached(
        "INSERT INTO outbox_hours (start_us, records, evicted) VALUES (?1, 1, 1)
         ON CONFLICT (start_us) DO UPDATE SET evicted = evicted + 1, records = max(records, evicted + 1),
            objects = max(objects - ?2, 0), changed = 1",
    )?;
    for (made_at, objects) in went {
        statement.execute([hour_of(*made_at), *objects])?;
    }
    let times = went.iter().map(|(made_at, _)| made_at.0);
    Ok(times.clone().min().zip(times.max()))
}

fn hour_of(time: UtcMicros) -> i64 {
    time.0.div_euclid(HOUR_US) * HOUR_US
}

/// Hours that are over and of which no proof states the present numbers, oldest first.
fn changed_hours(c: &Connection, current: i64) -> Result<Vec<HourCount>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT start_us, records, objects, evicted FROM outbox_hours WHERE changed = 1 AND start_us < ?1
         ORDER BY start_us LIMIT ?2",
    )?;
    let rows = statement.query_map(params![current, limits::PROOF_HOURS_MAX as i64], |row| {
        Ok(HourCount {
            start_us: row.get(0)?,
            records: unsigned(row, 1)?,
            objects: unsigned(row, 2)?,
            evicted: unsigned(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn ledger(c: &Connection) -> Result<Uuid, StoreError> {
    if let Some(known) = state::get(c, LEDGER)?.and_then(|text| Uuid::try_parse(&text).ok()) {
        return Ok(known);
    }
    let new = Uuid::now_v7();
    state::set(c, LEDGER, &new.to_string())?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use gtv_protocol::body::Camera;
    use gtv_protocol::{Hash, Record};

    use super::*;
    use crate::store::Pick;

    fn camera() -> Body {
        Body::Camera(Camera {
            name: "x".to_owned(),
            enabled: true,
            removed: false,
            manufacturer: None,
            model: None,
            latitude: None,
            longitude: None,
        })
    }

    fn proof_of(record: &Record) -> Proof {
        match Body::parse(&record.kind, &record.body).unwrap() {
            Body::Proof(proof) => proof,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_hour_that_is_over_is_stated_once_with_a_root_that_fits() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let identity = Identity::open_or_create(folder.path()).unwrap();
        let box_id = identity.box_id;
        for name in ["a", "b", "c"] {
            store.enqueue(Lane::Detections, camera(), name).await.unwrap();
        }
        let sent = store.next_batch(box_id, 0, Pick::all(2, 1 << 20)).await.unwrap().records;
        let (now, later) = (UtcMicros::now(), UtcMicros::now().add_micros(HOUR_US));
        assert!(!store.prove(&identity, now).await.unwrap(), "the hour is not over");
        assert!(store.prove(&identity, later).await.unwrap());
        assert!(!store.prove(&identity, later).await.unwrap(), "nothing is new");

        let rest = store.next_batch(box_id, 2, Pick::all(9, 1 << 20)).await.unwrap().records;
        let proof = proof_of(&rest[1]);
        let hashes: Vec<Hash> = sent.iter().map(|record| record.hash).collect();
        assert_eq!((proof.first_seq, proof.last_seq, proof.root), (1, 2, merkle::root(&hashes)));
        assert!(auth::verify_proof(&HexBytes(identity.public_key().to_bytes()), box_id.0, &proof));
        let told: Vec<_> = proof.hours.iter().map(|h| (h.records, h.objects, h.evicted)).collect();
        assert_eq!(told, [(3, 0, 0)], "what was not sent yet counts, the proof itself does not");

        // The next one goes on where this one ended, in a chain of its own after a new epoch.
        store.enqueue(Lane::Detections, camera(), "d").await.unwrap();
        assert!(store.prove(&identity, later).await.unwrap());
        let next = store.next_batch(box_id, 4, Pick::all(9, 1 << 20)).await.unwrap().records;
        let next = proof_of(&next[1]);
        assert_eq!((next.first_seq, next.last_seq, next.hours[0].records), (3, 4, 4));
        assert_eq!(next.ledger, proof.ledger);
        store.begin_epoch(box_id, next.epoch + 1, true).await.unwrap();
        store.enqueue(Lane::Detections, camera(), "e").await.unwrap();
        assert!(store.prove(&identity, later).await.unwrap());
        let again = store.next_batch(box_id, 0, Pick::all(20, 1 << 20)).await.unwrap().records;
        let newest = proof_of(again.iter().rfind(|record| record.kind == "proof").unwrap());
        assert_eq!((newest.epoch, newest.first_seq, newest.last_seq), (next.epoch + 1, 1, 0), "nothing has a number");
        assert_eq!(newest.hours[0].records, 5, "told again is not told twice");
    }

    #[tokio::test]
    async fn what_went_before_it_was_delivered_is_counted_in_its_hour() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let identity = Identity::open_or_create(folder.path()).unwrap();
        store.enqueue(Lane::Detections, camera(), "gate").await.unwrap();
        for (number, crop) in [&b"one"[..], b"two", b"three"].into_iter().enumerate() {
            let mut row = crate::store::tests::passage("ABC1D23", number as i64);
            row.crop =
                Some(store.put_object(crop.into(), "image/jpeg", crate::store::Bucket::LprImages).await.unwrap());
            store.insert_detection(row).await.unwrap();
        }
        assert_eq!(store.bound_outbox(2).await.unwrap(), 2);
        store.prove(&identity, UtcMicros::now().add_micros(HOUR_US)).await.unwrap();
        let records = store.next_batch(identity.box_id, 0, Pick::all(9, 1 << 20)).await.unwrap().records;
        assert_eq!(records[0].kind, "camera", "it would not be told again");
        let proof = proof_of(records.iter().find(|record| record.kind == "proof").unwrap());
        let hour = proof.hours[0];
        assert_eq!((hour.records, hour.evicted), (5, 2), "a camera, three passages and the tombstone");
        assert_eq!(hour.objects, 1, "of the passage that is left");
    }

    #[tokio::test]
    async fn records_are_forgotten_only_under_a_root() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let identity = Identity::open_or_create(folder.path()).unwrap();
        store.enqueue(Lane::Detections, camera(), "a").await.unwrap();
        let batch = store.next_batch(identity.box_id, 0, Pick::all(9, 1 << 20)).await.unwrap();
        store.ack(identity.box_id, batch.records[0].epoch, 1).await.unwrap();
        assert_eq!(store.prune_outbox(0, 9).await.unwrap(), 0);
        store.prove(&identity, UtcMicros::now().add_micros(HOUR_US)).await.unwrap();
        assert_eq!(store.prune_outbox(0, 9).await.unwrap(), 1);
    }
}
