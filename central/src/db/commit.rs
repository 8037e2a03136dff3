//! The transaction of a batch: records, typed rows, objects, signature and position, all or nothing.

use super::boxes::Ousted;
use super::chain::position_of;
use super::detections::Passage;
use super::objects::StoredObject;
use super::outbox;
use super::proofs::{self, Verdict};
use super::standing::{self, Standing};
use super::typed;
use super::{Database, DbError};
use deadpool_postgres::Transaction;
use gtv_protocol::{Batch, Body, Hash, Position, PublicKey, Record, Signature, auth};
use std::collections::BTreeSet;
use std::pin::pin;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, ToSql, Type};
use uuid::Uuid;

/// A record that continues the chain, and its body, or why it gets no typed row.
pub struct Reviewed<'a> {
    pub record: &'a Record,
    pub body: Result<Body, String>,
}

/// The box's signature over the last record of a batch.
pub struct Head {
    pub lost_digest: Hash,
    pub signature: Signature,
    pub public_key: PublicKey,
}

impl Head {
    pub fn of(batch: &Batch, public_key: PublicKey) -> Self {
        Self { lost_digest: auth::lost_digest(&batch.unavailable), signature: batch.signature, public_key }
    }
}

/// What is written in one transaction.
pub struct Accepted<'a> {
    pub box_id: Uuid,
    /// The prefeitura that the rows belong to.
    pub tenant: Uuid,
    /// The key that the session was admitted with.
    pub key: PublicKey,
    /// Position the records continue; the transaction checks that it still is the committed one.
    pub after: Position,
    pub records: Vec<Reviewed<'a>>,
    pub objects: Vec<StoredObject>,
    /// Whether its events are to be published.
    pub events: bool,
    /// Absent if the batch was cut short: its signature is over a record that is not written now.
    pub head: Option<Head>,
}

pub enum Outcome {
    Committed {
        to: Position,
        quarantined: u64,
        retold: u64,
        /// What became of the signed roots among the records.
        proofs: Vec<Verdict>,
    },
    /// Another session of the same box was faster; nothing was written.
    Moved,
    /// The box has begun a newer epoch in another session; nothing was written.
    Superseded,
    /// The box is not any more what the session stands on; nothing was written.
    Ousted(Ousted),
}

impl Accepted<'_> {
    pub(super) fn passages(&self) -> Result<Vec<Passage<'_>>, DbError> {
        self.records
            .iter()
            .filter_map(|reviewed| match &reviewed.body {
                Ok(Body::Detection(body)) => Some(Passage::of(reviewed.record, body)),
                _ => None,
            })
            .collect()
    }
}

impl Database {
    pub async fn commit(&self, accepted: &Accepted<'_>) -> Result<Outcome, DbError> {
        let Some(last) = accepted.records.last() else { return Ok(Outcome::Moved) };
        let to = Position { epoch: accepted.after.epoch, seq: last.record.seq, hash: last.record.hash };
        let passages = accepted.passages()?;
        self.ensure_days(&passages).await?;
        self.note_plates(accepted.tenant, &passages).await?;
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let only_chain = match lock_chain(&tx, accepted).await? {
            Locked::Superseded => return Ok(Outcome::Superseded),
            Locked::Ousted(why) => return Ok(Outcome::Ousted(why)),
            Locked::At { position, .. } if position != accepted.after => return Ok(Outcome::Moved),
            Locked::At { only_chain, .. } => only_chain,
        };
        let standings = write_records(&tx, accepted, only_chain).await?;
        let late = typed::insert(&tx, accepted, &passages, &standings, to).await?;
        let proofs = proofs::verify(&tx, accepted).await?;
        insert_objects(&tx, accepted).await?;
        if let Some(head) = &accepted.head {
            insert_head(&tx, accepted.box_id, to, head).await?;
        }
        if accepted.events {
            outbox::note(&tx, accepted, to.seq).await?;
        }
        let statement = tx
            .prepare_cached(
                "UPDATE sync.chains SET seq = $3, hash = $4, updated_at = now() WHERE box_id = $1 AND epoch = $2",
            )
            .await?;
        let (seq, hash) = (to.seq.cast_signed(), to.hash.as_bytes().as_slice());
        tx.execute(&statement, &[&accepted.box_id, &to.epoch, &seq, &hash]).await?;
        tx.commit().await?;
        let count = |name| standings.iter().filter(|s| s.name() == name).count() as u64;
        Ok(Outcome::Committed { to, quarantined: count("quarantined") + late, retold: count("retold"), proofs })
    }
}

/// A box with one chain hardly ever tells a thing twice: then PostgreSQL finds it out while it writes, instead of looking
/// up each record before.
async fn write_records(
    tx: &Transaction<'_>,
    accepted: &Accepted<'_>,
    only_chain: bool,
) -> Result<Vec<Standing>, DbError> {
    if only_chain {
        let standings = standing::of_batch(accepted, BTreeSet::new());
        tx.batch_execute("SAVEPOINT records").await?;
        match insert_records(tx, accepted, &standings).await {
            Ok(()) => return Ok(standings),
            Err(DbError::Query(e)) if e.code() == Some(&SqlState::UNIQUE_VIOLATION) => {}
            Err(e) => return Err(e),
        }
        tx.batch_execute("ROLLBACK TO SAVEPOINT records").await?;
    }
    let standings = standing::look_up(tx, accepted).await?;
    insert_records(tx, accepted, &standings).await?;
    Ok(standings)
}

enum Locked {
    /// `only_chain`: the box never had another one.
    At {
        position: Position,
        only_chain: bool,
    },
    Superseded,
    Ousted(Ousted),
}

/// Serializes all sessions of a box until the end of the transaction.
async fn lock_chain(tx: &Transaction<'_>, accepted: &Accepted<'_>) -> Result<Locked, DbError> {
    let (box_id, epoch) = (accepted.box_id, accepted.after.epoch);
    let sql = "SELECT prefeitura_id, enabled, public_key FROM cidades.boxes WHERE id = $1 FOR NO KEY UPDATE";
    let lock = tx.prepare_cached(sql).await?;
    if let Some(why) = Ousted::by(&tx.query_one(&lock, &[&box_id]).await?, accepted.tenant, &accepted.key)? {
        return Ok(Locked::Ousted(why));
    }
    let start = Position::start(box_id, epoch);
    let insert = tx
        .prepare_cached(
            "INSERT INTO sync.chains (box_id, epoch, seq, hash) VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING",
        )
        .await?;
    tx.execute(&insert, &[&box_id, &epoch, &start.hash.as_bytes().as_slice()]).await?;
    let select = tx
        .prepare_cached(
            "SELECT epoch, seq, hash, EXISTS (SELECT FROM sync.chains n WHERE n.box_id = $1 AND n.epoch > $2) AS newer,
                    NOT EXISTS (SELECT FROM sync.chains o WHERE o.box_id = $1 AND o.epoch <> $2) AS only_chain
             FROM sync.chains WHERE box_id = $1 AND epoch = $2",
        )
        .await?;
    let row = tx.query_one(&select, &[&box_id, &epoch]).await?;
    if row.try_get("newer")? {
        return Ok(Locked::Superseded);
    }
    Ok(Locked::At { position: position_of(&row)?, only_chain: row.try_get("only_chain")? })
}

const RECORD_COLUMNS: &[Type] = &[
    Type::UUID,
    Type::INT8,
    Type::INT8,
    Type::BYTEA,
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::JSONB,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
];

async fn insert_records(tx: &Transaction<'_>, accepted: &Accepted<'_>, standings: &[Standing]) -> Result<(), DbError> {
    let copy = tx
        .prepare_cached(
            "COPY sync.records (box_id, epoch, seq, prev_hash, hash, kind, id, created_at_us, objects, body, state,
                                reason) FROM STDIN BINARY",
        )
        .await?;
    let mut rows = pin!(BinaryCopyInWriter::new(tx.copy_in(&copy).await?, RECORD_COLUMNS));
    for (Reviewed { record, .. }, standing) in accepted.records.iter().zip(standings) {
        let row: [&(dyn ToSql + Sync); 12] = [
            &accepted.box_id,
            &record.epoch,
            &record.seq.cast_signed(),
            &record.prev_hash.as_bytes().as_slice(),
            &record.hash.as_bytes().as_slice(),
            &record.kind,
            &record.id,
            &record.created_at_us,
            &Json(&record.objects),
            &record.body.get(),
            &standing.name(),
            &standing.reason(),
        ];
        rows.as_mut().write(&row).await?;
    }
    rows.finish().await?;
    Ok(())
}

async fn insert_objects(tx: &Transaction<'_>, accepted: &Accepted<'_>) -> Result<(), DbError> {
    if accepted.objects.is_empty() {
        return Ok(());
    }
    let objects = &accepted.objects;
    let buckets: Vec<&str> = objects.iter().map(|o| o.bucket.as_str()).collect();
    let keys: Vec<&str> = objects.iter().map(|o| o.key.as_str()).collect();
    let hashes: Vec<&[u8]> = objects.iter().map(|o| o.sha256.as_bytes().as_slice()).collect();
    let bytes: Vec<i64> = objects.iter().map(|o| o.bytes.cast_signed()).collect();
    let checked: Vec<&str> = objects.iter().map(|o| o.checked.as_str()).collect();
    let reasons: Vec<Option<&str>> = objects.iter().map(|o| o.reason.as_deref()).collect();
    let statement = tx
        .prepare_cached(
            "INSERT INTO sync.objects (bucket, key, box_id, sha256, bytes, checked, reason)
             SELECT DISTINCT ON (o.bucket, o.key) o.bucket, o.key, $1::uuid, o.sha256, o.bytes, o.checked, o.reason
             FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::text[], $7::text[])
                  AS o (bucket, key, sha256, bytes, checked, reason)
             ON CONFLICT (box_id, bucket, key) DO UPDATE
                SET checked = CASE WHEN objects.checked = 'content' THEN objects.checked ELSE excluded.checked END,
                    reason = CASE WHEN objects.checked = 'content' THEN objects.reason ELSE excluded.reason END,
                    checked_at = CASE WHEN objects.checked = 'content' THEN objects.checked_at ELSE now() END,
                    named_at = now()
                WHERE objects.checked <> 'content' OR objects.named_at < now() - interval '1 day'",
        )
        .await?;
    tx.execute(&statement, &[&accepted.box_id, &buckets, &keys, &hashes, &bytes, &checked, &reasons]).await?;
    Ok(())
}

async fn insert_head(tx: &Transaction<'_>, box_id: Uuid, at: Position, head: &Head) -> Result<(), DbError> {
    let statement = tx
        .prepare_cached(
            "INSERT INTO sync.heads (box_id, epoch, seq, hash, lost_digest, signature, public_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .await?;
    tx.execute(
        &statement,
        &[
            &box_id,
            &at.epoch,
            &at.seq.cast_signed(),
            &at.hash.as_bytes().as_slice(),
            &head.lost_digest.as_bytes().as_slice(),
            &head.signature.as_bytes().as_slice(),
            &head.public_key.as_bytes().as_slice(),
        ],
    )
    .await?;
    Ok(())
}
