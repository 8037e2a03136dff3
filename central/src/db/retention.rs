//! Rows whose time is over: chains lose their oldest records together with everything that these told, passages of a day
//! of which nothing is kept go as its partition. What the audit needs to tell "expired" from "missing" stays.

use super::days::is_busy;
use super::{Database, DbError};
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::{GenericClient, Object, Transaction};
use tracing::warn;
use uuid::Uuid;

/// One service at a time.
const LOCK: i64 = i64::from_be_bytes(*b"gtv-reta");
/// Records that go in one transaction: some seconds, during which the box's batches wait at most for its rows.
const RECORDS_A_STEP: i64 = 20_000;
/// Who reads passages for longer keeps a day from being dropped until the next time; batches wait behind as long.
const DROP_LIMIT: &str = "SET LOCAL lock_timeout = '2s'";

/// Tables whose rows go with their record. Passages follow it, see `drop_days`. Cameras, roots and hours stay: they are
/// few, and the audit needs the latter.
const TOLD: &[&str] = &[
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
    /// Lets everything go that came before `before`, 00:00 UTC. `None` if another service is at it.
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
    let mut gone = Gone::default();
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
    gone.days = drop_days(client, before).await?;
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

/// Passages whose records went: a day of which no other is left is dropped, elsewhere they are deleted. A day that is not
/// over may keep some for the two days that a clock may be ahead.
async fn drop_days(client: &mut Object, before: NaiveDate) -> Result<u64, DbError> {
    let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'ai.detections'::regclass AND c.relname ~ '^detections_[0-9]{8}$'
                 AND to_date(right(c.relname, 8), 'YYYYMMDD') < $1 ORDER BY 1";
    let mut dropped = 0;
    let mut partitions = vec!["detections_other".to_owned()];
    for row in client.query(sql, &[&before]).await? {
        let partition: String = row.try_get(0)?;
        if is_needed(client, &partition).await? {
            partitions.push(partition);
            continue;
        }
        match drop_day(client, &partition).await {
            Ok(is_gone) => dropped += u64::from(is_gone),
            Err(DbError::Query(error)) if is_busy(&error) => {
                let problem = super::chain_of(&error);
                warn!(partition, problem, "days whose time is over are not dropped now; tried again in an hour");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    for partition in partitions {
        delete_over(client, &partition).await?;
    }
    Ok(dropped)
}

/// Chain by chain, so that the index finds them.
async fn delete_over(client: &Object, partition: &str) -> Result<(), DbError> {
    let chains = format!(
        "SELECT box_id, epoch, seq FROM sync.expired x WHERE EXISTS (
             SELECT FROM ai.{partition} d WHERE d.box_id = x.box_id AND d.epoch = x.epoch AND d.seq <= x.seq LIMIT 1)"
    );
    let delete = format!(
        "DELETE FROM ai.{partition} WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM ai.{partition} WHERE box_id = $1 AND epoch = $2 AND seq <= $3 LIMIT $4))"
    );
    for row in client.query(&chains, &[]).await? {
        let (box_id, epoch, last): (Uuid, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        while client.execute(&delete, &[&box_id, &epoch, &last, &RECORDS_A_STEP]).await? > 0 {}
    }
    Ok(())
}

/// Whether the partition has a passage whose record is kept: one look into its index a chain.
async fn is_needed(client: &impl GenericClient, partition: &str) -> Result<bool, DbError> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM sync.chains c LEFT JOIN sync.expired x USING (box_id, epoch), LATERAL (
             SELECT FROM ai.{partition} d
             WHERE d.box_id = c.box_id AND d.epoch = c.epoch AND d.seq > coalesce(x.seq, 0) LIMIT 1) kept)"
    );
    Ok(client.query_one(&sql, &[]).await?.try_get(0)?)
}

/// Drops a partition, unless a passage came that is kept.
async fn drop_day(client: &mut Object, partition: &str) -> Result<bool, DbError> {
    let tx = client.transaction().await?;
    tx.batch_execute(DROP_LIMIT).await?;
    // From here on no batch writes.
    tx.batch_execute("LOCK TABLE ONLY ai.detections IN ACCESS EXCLUSIVE MODE").await?;
    if is_needed(&tx, partition).await? {
        return Ok(false);
    }
    tx.batch_execute(&format!("DROP TABLE ai.{partition}")).await?;
    tx.commit().await?;
    Ok(true)
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
