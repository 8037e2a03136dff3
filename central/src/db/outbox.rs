//! Domain events that wait for the broker: taken in the order of their batches, deleted when the broker has confirmed
//! them.

use super::commit::Accepted;
use super::{Database, DbError};
use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Transaction};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Deletes what waits too long or is too much, by one service at a time.
const PRUNE_LOCK: i64 = i64::from_be_bytes(*b"gtv-outb");

/// A record that an event is made of.
pub struct Told {
    pub box_id: Uuid,
    pub prefeitura: String,
    pub epoch: i64,
    pub seq: i64,
    pub kind: String,
    pub id: String,
    pub made_at: DateTime<Utc>,
    /// As the box wrote it.
    pub body: Box<RawValue>,
}

/// Batches that this service has taken: nobody else publishes them until it has, or lets go of them by being dropped.
pub struct Taken<'a> {
    tx: Transaction<'a>,
    ids: Vec<i64>,
    pub records: Vec<Told>,
}

/// What waits, and what had to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub records: u64,
    pub oldest_s: u64,
    /// Over the last 30 days.
    pub dropped: u64,
}

/// Notes in a batch's own transaction that it is to be published.
pub async fn note(tx: &Transaction<'_>, accepted: &Accepted<'_>, last_seq: u64) -> Result<(), DbError> {
    let statement = tx
        .prepare_cached(
            "INSERT INTO sync.outbox (box_id, epoch, first_seq, last_seq, records) VALUES ($1, $2, $3, $4, $5)",
        )
        .await?;
    let (first, last) = (accepted.after.seq.cast_signed() + 1, last_seq.cast_signed());
    let records = accepted.records.len() as i64;
    tx.execute(&statement, &[&accepted.box_id, &accepted.after.epoch, &first, &last, &records]).await?;
    Ok(())
}

/// The oldest `batches` that no other service has taken.
pub async fn take(client: &mut Object, batches: i64) -> Result<Taken<'_>, DbError> {
    let tx = client.transaction().await?;
    let statement = tx
        .prepare_cached(
            "SELECT id, box_id, epoch, first_seq, last_seq FROM sync.outbox ORDER BY id LIMIT $1
             FOR UPDATE SKIP LOCKED",
        )
        .await?;
    let mut ids = Vec::new();
    let mut records = Vec::new();
    for row in tx.query(&statement, &[&batches]).await? {
        ids.push(row.try_get("id")?);
        let (box_id, epoch): (Uuid, i64) = (row.try_get("box_id")?, row.try_get("epoch")?);
        let (first, last): (i64, i64) = (row.try_get("first_seq")?, row.try_get("last_seq")?);
        let statement = tx
            .prepare_cached(
                "SELECT p.slug, r.seq, r.kind, r.id, sync.at_us(r.created_at_us) AS made_at, r.body
                 FROM sync.records r JOIN cidades.boxes b ON b.id = r.box_id
                 JOIN cidades.prefeituras p ON p.id = b.prefeitura_id
                 WHERE r.box_id = $1 AND r.epoch = $2 AND r.seq BETWEEN $3 AND $4 AND r.state = 'applied' ORDER BY r.seq",
            )
            .await?;
        for told in tx.query(&statement, &[&box_id, &epoch, &first, &last]).await? {
            // An applied record was JSON when it came; one that was altered since has nothing to tell.
            let Ok(body) = RawValue::from_string(told.try_get("body")?) else { continue };
            records.push(Told {
                box_id,
                prefeitura: told.try_get("slug")?,
                epoch,
                seq: told.try_get("seq")?,
                kind: told.try_get("kind")?,
                id: told.try_get("id")?,
                made_at: told.try_get("made_at")?,
                body,
            });
        }
    }
    Ok(Taken { tx, ids, records })
}

impl Taken<'_> {
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The broker has them all.
    pub async fn published(self) -> Result<(), DbError> {
        let statement = self.tx.prepare_cached("DELETE FROM sync.outbox WHERE id = ANY($1)").await?;
        self.tx.execute(&statement, &[&self.ids]).await?;
        Ok(self.tx.commit().await?)
    }
}

impl Database {
    pub async fn outbox_waiting(&self) -> Result<Waiting, DbError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "SELECT coalesce(sum(records), 0)::bigint AS records,
                        coalesce(extract(epoch FROM now() - min(queued_at)), 0)::bigint AS oldest_s,
                        (SELECT coalesce(sum(d.records), 0)::bigint FROM sync.outbox_dropped d
                         WHERE d.day > current_date - 30) AS dropped
                 FROM sync.outbox",
            )
            .await?;
        let row = client.query_one(&statement, &[]).await?;
        let number = |column: &str| Ok::<u64, DbError>(row.try_get::<_, i64>(column)?.max(0).cast_unsigned());
        Ok(Waiting { records: number("records")?, oldest_s: number("oldest_s")?, dropped: number("dropped")? })
    }

    /// Lets the oldest batches go that are older than `hours` or exceed `records_max` records; returns how many records
    /// nobody will hear of now.
    pub async fn prune_outbox(&self, records_max: u64, hours: u32) -> Result<u64, DbError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        if !tx.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&PRUNE_LOCK]).await?.try_get::<_, bool>(0)? {
            return Ok(0);
        }
        // A batch that is being published is left to its publisher.
        let sql = "WITH waiting AS (
                       SELECT id, queued_at, sum(records) OVER (ORDER BY id DESC) AS newer FROM sync.outbox
                   ), old AS (
                       SELECT o.id FROM sync.outbox o JOIN waiting w USING (id)
                       WHERE w.newer > $1::bigint OR w.queued_at < now() - $2::bigint * interval '1 hour'
                       FOR UPDATE OF o SKIP LOCKED
                   ), gone AS (
                       DELETE FROM sync.outbox o USING old WHERE o.id = old.id RETURNING o.records
                   ) SELECT coalesce(sum(records), 0)::bigint FROM gone";
        let row = tx.query_one(sql, &[&records_max.cast_signed(), &i64::from(hours)]).await?;
        let gone: i64 = row.try_get(0)?;
        if gone > 0 {
            let sql = "INSERT INTO sync.outbox_dropped (day, records) VALUES ((now() AT TIME ZONE 'UTC')::date, $1)
                       ON CONFLICT (day) DO UPDATE SET records = outbox_dropped.records + excluded.records";
            tx.execute(sql, &[&gone]).await?;
        }
        tx.commit().await?;
        Ok(gone.cast_unsigned())
    }
}
