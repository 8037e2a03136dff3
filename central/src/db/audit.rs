//! Queries of the audit about chains, records, roots and objects; `rows` asks about typed rows.

use super::chain::position_of;
use super::{Database, DbError, hash_column, proofs};
use chrono::{DateTime, Utc};
use gtv_protocol::body::Proof;
use gtv_protocol::hex_bytes::HexBytes;
use gtv_protocol::{Hash, Position, PublicKey, Record, Signature};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use uuid::Uuid;

pub struct StoredChain {
    pub committed: Position,
    /// The box began no other one since.
    pub newest: bool,
    /// The last record that went when its time was over; the empty chain if none did.
    pub expired: Position,
    /// Last record under a signature of the box, that of a batch or of a root.
    pub last_signed: Option<u64>,
}

pub struct StoredRecord {
    pub seq: u64,
    pub created_at_us: i64,
    pub prev_hash: Hash,
    pub hash: Hash,
    /// Or why the row cannot be a record any more.
    pub record: Result<Record, String>,
    pub quarantined: Option<String>,
    pub received_at: DateTime<Utc>,
    /// Since then.
    pub age_days: f64,
}

pub struct StoredHead {
    pub hash: Hash,
    pub lost_digest: Hash,
    pub signature: Signature,
    pub public_key: PublicKey,
}

/// A record about a thing that was told before.
pub struct Retold {
    pub epoch: i64,
    pub seq: u64,
    pub kind: String,
    pub id: String,
    /// (epoch, seq) of the record that has the typed row.
    pub first: Option<(i64, u64)>,
    /// Both say the same.
    pub same: bool,
    /// The first may have gone: it was made so long ago.
    pub old: bool,
}

impl Database {
    /// Epochs of a box's chains, oldest first.
    pub async fn epochs(&self, box_id: Uuid) -> Result<Vec<i64>, DbError> {
        let client = self.client().await?;
        let rows = client.query("SELECT epoch FROM sync.chains WHERE box_id = $1 ORDER BY 1", &[&box_id]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    pub async fn chain(&self, box_id: Uuid, epoch: i64) -> Result<StoredChain, DbError> {
        let client = self.client().await?;
        let row = client
            .query_one(
                // A root over an older chain may be over numbers that the box gave and never sent under them.
                "SELECT c.epoch, c.seq, c.hash, x.seq AS expired_seq, x.hash AS expired_hash,
                        NOT EXISTS (SELECT FROM sync.chains n WHERE n.box_id = c.box_id AND n.epoch > c.epoch) AS newest,
                        greatest(
                        (SELECT max(h.seq) FROM sync.heads h WHERE (h.box_id, h.epoch) = (c.box_id, c.epoch)),
                        (SELECT max(r.last_seq) FROM sync.roots r
                         WHERE (r.box_id, r.epoch, r.of_epoch) = (c.box_id, c.epoch, c.epoch))) AS last_signed
                 FROM sync.chains c LEFT JOIN sync.expired x ON (x.box_id, x.epoch) = (c.box_id, c.epoch)
                 WHERE c.box_id = $1 AND c.epoch = $2",
                &[&box_id, &epoch],
            )
            .await?;
        let expired = match row.try_get::<_, Option<i64>>("expired_seq")? {
            Some(seq) => Position { epoch, seq: seq.cast_unsigned(), hash: hash_column(&row, "expired_hash")? },
            None => Position::start(box_id, epoch),
        };
        Ok(StoredChain {
            committed: position_of(&row)?,
            newest: row.try_get("newest")?,
            expired,
            last_signed: row.try_get::<_, Option<i64>>("last_signed")?.map(i64::cast_unsigned),
        })
    }

    pub async fn records_page(
        &self,
        box_id: Uuid,
        epoch: i64,
        after: u64,
        limit: i64,
    ) -> Result<Vec<StoredRecord>, DbError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "SELECT epoch, seq, prev_hash, hash, kind, id, created_at_us, objects, body, state, reason,
                        received_at, (extract(epoch FROM now() - received_at) / 86400)::float8 AS age_days
                 FROM sync.records WHERE box_id = $1 AND epoch = $2 AND seq > $3 ORDER BY seq LIMIT $4",
            )
            .await?;
        let rows = client.query(&statement, &[&box_id, &epoch, &after.cast_signed(), &limit]).await?;
        rows.iter().map(stored_record).collect()
    }

    /// Signed heads with `after < seq <= last`.
    pub async fn heads(
        &self,
        box_id: Uuid,
        epoch: i64,
        after: u64,
        last: u64,
    ) -> Result<BTreeMap<u64, StoredHead>, DbError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "SELECT seq, hash, lost_digest, signature, public_key FROM sync.heads
                 WHERE box_id = $1 AND epoch = $2 AND seq > $3 AND seq <= $4",
            )
            .await?;
        let bounds = (after.cast_signed(), last.cast_signed());
        let rows = client.query(&statement, &[&box_id, &epoch, &bounds.0, &bounds.1]).await?;
        rows.iter()
            .map(|row| {
                let signature: &[u8] = row.try_get("signature")?;
                let head = StoredHead {
                    hash: hash_column(row, "hash")?,
                    lost_digest: hash_column(row, "lost_digest")?,
                    // One of another length is not a signature of anything.
                    signature: HexBytes(signature.try_into().unwrap_or([0; 64])),
                    public_key: hash_column(row, "public_key")?,
                };
                Ok((row.try_get::<_, i64>("seq")?.cast_unsigned(), head))
            })
            .collect()
    }

    pub async fn seq_of_hash(&self, box_id: Uuid, epoch: i64, hash: &Hash) -> Result<Option<u64>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT seq FROM sync.records WHERE box_id = $1 AND epoch = $2 AND hash = $3 LIMIT 1";
        let row = client.query_opt(sql, &[&box_id, &epoch, &hash.as_bytes().as_slice()]).await?;
        row.map(|row| Ok(row.try_get::<_, i64>(0)?.cast_unsigned())).transpose()
    }

    /// Records marked as retold, with the record that told the thing first: its (epoch, seq), and whether it says the
    /// same.
    pub async fn retold(&self, box_id: Uuid) -> Result<Vec<Retold>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT r.epoch, r.seq, r.kind, r.id, a.epoch AS first_epoch, a.seq AS first_seq,
                          a.body IS NOT DISTINCT FROM r.body AS same,
                          EXISTS (SELECT FROM sync.expired_hours h WHERE h.box_id = r.box_id
                                  AND h.hour_us = r.created_at_us / 3600000000 * 3600000000) AS old
                   FROM sync.records r LEFT JOIN sync.records a
                        ON (a.box_id, a.kind, a.id) = (r.box_id, r.kind, r.id) AND a.state = 'applied'
                   WHERE r.box_id = $1 AND r.state = 'retold' ORDER BY r.epoch, r.seq";
        let rows = client.query(sql, &[&box_id]).await?;
        rows.iter()
            .map(|row| {
                let first: (Option<i64>, Option<i64>) = (row.try_get("first_epoch")?, row.try_get("first_seq")?);
                Ok(Retold {
                    epoch: row.try_get("epoch")?,
                    seq: row.try_get::<_, i64>("seq")?.cast_unsigned(),
                    kind: row.try_get("kind")?,
                    id: row.try_get("id")?,
                    first: first.0.zip(first.1.map(i64::cast_unsigned)),
                    same: row.try_get("same")?,
                    old: row.try_get("old")?,
                })
            })
            .collect()
    }

    /// Objects that an applied record names and `sync.objects` does not have.
    pub async fn unlisted_objects(&self, box_id: Uuid) -> Result<Vec<(i64, u64, String)>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT r.epoch, r.seq, o->>'key' AS key
                   FROM sync.records r CROSS JOIN LATERAL jsonb_array_elements(r.objects) o
                   LEFT JOIN sync.objects s ON s.box_id = r.box_id AND s.bucket = o->>'bucket' AND s.key = o->>'key'
                   WHERE r.box_id = $1 AND r.state = 'applied' AND s.key IS NULL ORDER BY 1, 2";
        let rows = client.query(sql, &[&box_id]).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("epoch")?, row.try_get::<_, i64>("seq")?.cast_unsigned(), row.try_get("key")?)))
            .collect()
    }
}

impl Database {
    /// The roots that the box signed, each with the hashes that are stored for the records under it; one by one,
    /// because a root may be over many. `after` is the (epoch, seq) of the last one.
    pub async fn next_root(&self, box_id: Uuid, after: (i64, u64)) -> Result<Option<StoredRoot>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT epoch, seq, body, received_at FROM sync.records JOIN sync.roots USING (box_id, epoch, seq)
                   WHERE box_id = $1 AND (epoch, seq) > ($2, $3) ORDER BY epoch, seq LIMIT 1";
        let Some(row) = client.query_opt(sql, &[&box_id, &after.0, &after.1.cast_signed()]).await? else {
            return Ok(None);
        };
        let proof: Option<Proof> = serde_json::from_str(row.try_get("body")?).ok();
        let expired = match &proof {
            Some(proof) => proof.first_seq <= proofs::expired(&client, box_id, proof.epoch).await?,
            None => false,
        };
        let hashes = match &proof {
            Some(_) if expired => BTreeMap::new(),
            Some(proof) => self.hashes(box_id, proof.epoch, proof.first_seq, proof.last_seq).await?,
            None => BTreeMap::new(),
        };
        let (epoch, seq) = (row.try_get("epoch")?, row.try_get::<_, i64>("seq")?.cast_unsigned());
        let received_at = row.try_get("received_at")?;
        Ok(Some(StoredRoot { epoch, seq, received_at, proof, hashes: hashes.into_values().collect(), expired }))
    }

    /// When the first record was made that names each of these objects, by key.
    pub async fn made_of_objects(&self, box_id: Uuid, keys: &[String]) -> Result<BTreeMap<String, i64>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT o->>'key', min(r.created_at_us) FROM sync.records r, jsonb_array_elements(r.objects) o
                   WHERE r.box_id = $1 AND o->>'key' = ANY($2) GROUP BY 1";
        let rows = client.query(sql, &[&box_id, &keys]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

/// A root as it is stored; no proof if its record was altered, which the walk of the chain names.
pub struct StoredRoot {
    pub epoch: i64,
    pub seq: u64,
    pub received_at: DateTime<Utc>,
    pub proof: Option<Proof>,
    pub hashes: Vec<Hash>,
    /// Records under it went when their time was over: it cannot be computed again.
    pub expired: bool,
}

fn stored_record(row: &Row) -> Result<StoredRecord, DbError> {
    let seq = row.try_get::<_, i64>("seq")?.cast_unsigned();
    let (prev_hash, hash) = (hash_column(row, "prev_hash")?, hash_column(row, "hash")?);
    let (created_at_us, record) = (row.try_get("created_at_us")?, record_of(row)?);
    let reason: Option<String> = row.try_get("reason")?;
    let quarantined = (row.try_get::<_, &str>("state")? == "quarantined").then(|| reason.unwrap_or_default());
    let (received_at, age_days) = (row.try_get("received_at")?, row.try_get("age_days")?);
    Ok(StoredRecord { seq, created_at_us, prev_hash, hash, record, quarantined, received_at, age_days })
}

/// The record as the box wrote it, or why the row cannot be one any more.
pub(super) fn record_of(row: &Row) -> Result<Result<Record, String>, DbError> {
    let (seq, epoch) = (row.try_get::<_, i64>("seq")?.cast_unsigned(), row.try_get("epoch")?);
    let (prev_hash, hash) = (hash_column(row, "prev_hash")?, hash_column(row, "hash")?);
    let (kind, id, created_at_us) = (row.try_get("kind")?, row.try_get("id")?, row.try_get("created_at_us")?);
    let objects = serde_json::from_value(row.try_get("objects")?).map_err(|e| format!("its objects: {e}"));
    let body = RawValue::from_string(row.try_get("body")?).map_err(|e| format!("its body: {e}"));
    Ok(objects
        .and_then(|objects| Ok(Record { epoch, seq, prev_hash, hash, kind, id, created_at_us, objects, body: body? })))
}
