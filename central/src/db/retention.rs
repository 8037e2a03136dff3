//! Rows whose time is over: days of passages are dropped as partitions, chains lose their oldest records together with
//! everything that these told. What the audit needs to tell "expired" from "missing" stays.

use super::{Database, DbError};
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::{Object, Transaction};
use uuid::Uuid;

/// One service at a time.
const LOCK: i64 = i64::from_be_bytes(*b"gtv-reta");
/// Records that go in one transaction: some seconds, during which the box's batches wait at most for its rows.
const RECORDS_A_STEP: i64 = 20_000;

/// Tables whose rows go with their record. Cameras, roots and hours stay: they are few, and the audit needs the latter.
const TOLD: &[&str] = &[
    "ai.detections",
    "ai.alerts",
    "streaming.recordings",
    "streaming.clips",
    "streaming.gaps",
    "streaming.coverage",
    "streaming.tombstones",
    "sync.heads",
];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gone {
    /// Days of passages.
    pub days: u64,
    pub records: u64,
    pub objects: u64,
}

impl Database {
    /// Lets everything go that came before `before`, 00:00 UTC, and passages that were seen before it. `None` if another
    /// service is at it.
    pub async fn expire(&self, before: NaiveDate) -> Result<Option<Gone>, DbError> {
        let mut client = self.client().await?;
        if !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get::<_, bool>(0)? {
            return Ok(None);
        }
        let gone = expire(&mut client, before).await;
        // After an error the connection may be gone, and the lock with it.
        let unlocked = client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
        let gone = gone?;
        unlocked?;
        Ok(Some(gone))
    }
}

async fn expire(client: &mut Object, before: NaiveDate) -> Result<Gone, DbError> {
    let at: DateTime<Utc> = before.and_time(chrono::NaiveTime::MIN).and_utc();
    let mut gone = Gone { days: drop_days(client, before, at).await?, ..Gone::default() };
    for row in client.query("SELECT box_id, epoch FROM sync.chains ORDER BY 1, 2", &[]).await? {
        let (box_id, epoch) = (row.try_get(0)?, row.try_get(1)?);
        loop {
            let tx = client.transaction().await?;
            let records = step(&tx, box_id, epoch, at).await?;
            tx.commit().await?;
            gone.records += records;
            if records == 0 {
                break;
            }
        }
    }
    // When an object is named again is noted to the day.
    let sql = "DELETE FROM sync.objects WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM sync.objects WHERE named_at < $1::timestamptz - interval '1 day' LIMIT $2))";
    loop {
        let objects = client.execute(sql, &[&at, &RECORDS_A_STEP]).await?;
        gone.objects += objects;
        if objects == 0 {
            break;
        }
    }
    client.execute("DELETE FROM ai.plates WHERE last_day < $1", &[&before]).await?;
    client.execute("DELETE FROM sync.incidents WHERE last_at < $1", &[&at]).await?;
    Ok(gone)
}

async fn drop_days(client: &mut Object, before: NaiveDate, at: DateTime<Utc>) -> Result<u64, DbError> {
    let tx = client.transaction().await?;
    // Noted first and in the same transaction: the audit never sees days gone of which it knows nothing.
    tx.execute(
        "INSERT INTO sync.retention (detections_before) VALUES ($1) ON CONFLICT (one) DO UPDATE
            SET detections_before = greatest(retention.detections_before, excluded.detections_before)",
        &[&at],
    )
    .await?;
    let days: i32 = tx.query_one("SELECT ai.drop_days($1)", &[&before]).await?.try_get(0)?;
    tx.execute("DELETE FROM ai.detections_other WHERE first_seen < $1", &[&at]).await?;
    tx.commit().await?;
    Ok(days.max(0).cast_unsigned().into())
}

/// Takes the next records off the beginning of a chain, if they came before `at`; returns how many went.
async fn step(tx: &Transaction<'_>, box_id: Uuid, epoch: i64, at: DateTime<Utc>) -> Result<u64, DbError> {
    let sql = "SELECT max(seq) AS seq FROM (
                   SELECT seq, bool_and(received_at < $3) OVER (ORDER BY seq) AS over FROM (
                       SELECT seq, received_at FROM sync.records WHERE box_id = $1 AND epoch = $2
                       ORDER BY seq LIMIT $4) r) o
               WHERE over";
    let statement = tx.prepare_cached(sql).await?;
    let row = tx.query_one(&statement, &[&box_id, &epoch, &at, &RECORDS_A_STEP]).await?;
    let Some(last) = row.try_get::<_, Option<i64>>("seq")? else { return Ok(0) };
    let chain: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&box_id, &epoch, &last];
    tx.execute(
        "INSERT INTO sync.expired (box_id, epoch, seq, hash)
         SELECT box_id, epoch, seq, hash FROM sync.records WHERE box_id = $1 AND epoch = $2 AND seq = $3
         ON CONFLICT (box_id, epoch) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, expired_at = now()",
        &chain,
    )
    .await?;
    tx.execute(
        "INSERT INTO sync.expired_hours (box_id, hour_us, records, objects)
         SELECT box_id, created_at_us / 3600000000 * 3600000000, count(*), sum(jsonb_array_length(objects))
         FROM sync.records WHERE box_id = $1 AND epoch = $2 AND seq <= $3 AND state <> 'retold' AND kind <> 'proof'
         GROUP BY 1, 2
         ON CONFLICT (box_id, hour_us) DO UPDATE SET records = expired_hours.records + excluded.records,
                                                     objects = expired_hours.objects + excluded.objects",
        &chain,
    )
    .await?;
    for table in TOLD {
        tx.execute(&format!("DELETE FROM {table} WHERE box_id = $1 AND epoch = $2 AND seq <= $3"), &chain).await?;
    }
    Ok(tx.execute("DELETE FROM sync.records WHERE box_id = $1 AND epoch = $2 AND seq <= $3", &chain).await?)
}
