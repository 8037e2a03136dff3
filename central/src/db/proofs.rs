//! Signed Merkle roots: compared with the stored records when they come, and counts of the hours for the audit.

use super::commit::Accepted;
use super::{Database, DbError, hash_column};
use deadpool_postgres::{GenericClient, Object, Transaction};
use gtv_protocol::body::Proof;
use gtv_protocol::{Body, Hash, merkle};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A month of a busy box has millions of records.
const HOURS_TIMEOUT: &str = "30s";

/// What a root that the box signed says about the records here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Exactly the box's records are stored.
    Verified {
        seq: u64,
    },
    Differs {
        seq: u64,
        detail: String,
    },
    /// It is over a chain that ended before all of it came here, or over records that went since because their time was
    /// over: nothing can be said.
    Unknown {
        seq: u64,
    },
}

impl Verdict {
    /// Label of the metric.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Verified { .. } => "verified",
            Self::Differs { .. } => "differs",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// Compares the roots among `accepted` with the records stored so far, those of the same batch included.
pub async fn verify(tx: &Transaction<'_>, accepted: &Accepted<'_>) -> Result<Vec<Verdict>, DbError> {
    let mut verdicts = Vec::new();
    for reviewed in &accepted.records {
        let Ok(Body::Proof(proof)) = &reviewed.body else { continue };
        let sql =
            "SELECT hash FROM sync.records WHERE box_id = $1 AND epoch = $2 AND seq BETWEEN $3 AND $4 ORDER BY seq";
        let statement = tx.prepare_cached(sql).await?;
        let (first, last) = (proof.first_seq.cast_signed(), proof.last_seq.cast_signed());
        let rows = tx.query(&statement, &[&accepted.box_id, &proof.epoch, &first, &last]).await?;
        let hashes: Vec<Hash> = rows.iter().map(|row| hash_column(row, "hash")).collect::<Result<_, _>>()?;
        let seq = reviewed.record.seq;
        let mut verdict = judge(seq, reviewed.record.epoch, proof, &hashes);
        if matches!(verdict, Verdict::Differs { .. })
            && proof.first_seq <= expired(tx, accepted.box_id, proof.epoch).await?
        {
            verdict = Verdict::Unknown { seq };
        }
        let verified = match verdict {
            Verdict::Verified { .. } => Some(true),
            Verdict::Differs { .. } => Some(false),
            Verdict::Unknown { .. } => None,
        };
        let sql = "UPDATE sync.roots SET verified = $4 WHERE box_id = $1 AND epoch = $2 AND seq = $3";
        let statement = tx.prepare_cached(sql).await?;
        tx.execute(&statement, &[&accepted.box_id, &reviewed.record.epoch, &seq.cast_signed(), &verified]).await?;
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

/// Last record of a chain that went because its time was over, or 0.
pub async fn expired(client: &impl GenericClient, box_id: Uuid, epoch: i64) -> Result<u64, DbError> {
    let sql = "SELECT seq FROM sync.expired WHERE box_id = $1 AND epoch = $2";
    let row = client.query_opt(sql, &[&box_id, &epoch]).await?;
    row.map_or(Ok(0), |row| Ok(row.try_get::<_, i64>(0)?.cast_unsigned()))
}

/// `hashes` are those stored of the records under the root; the proof came as record `seq` of `epoch`.
pub fn judge(seq: u64, epoch: i64, proof: &Proof, hashes: &[Hash]) -> Verdict {
    let expected = (proof.last_seq + 1).saturating_sub(proof.first_seq);
    // Of a chain that ended, some numbers may never have been sent; their records came again in the next one.
    if proof.epoch != epoch && (hashes.len() as u64) < expected {
        return Verdict::Unknown { seq };
    }
    if hashes.len() as u64 != expected {
        let detail = format!("{} of the {expected} records under the root are here", hashes.len());
        return Verdict::Differs { seq, detail };
    }
    let root = merkle::root(hashes);
    if root == proof.root {
        Verdict::Verified { seq }
    } else {
        let (first, last) = (proof.first_seq, proof.last_seq);
        Verdict::Differs { seq, detail: format!("records {first}..={last} give {root}, the box signed {}", proof.root) }
    }
}

/// One hour of a box as its own counts and the stored records tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourRow {
    /// What the box says it had to tell; absent until it has said so.
    pub stated: Option<Stated>,
    pub held_records: u64,
    /// Objects that the held records name and the box did not declare lost.
    pub held_objects: u64,
    /// Objects that the box declared lost.
    pub lost_objects: u64,
    /// Records and objects that were here and went when their time was over.
    pub expired_records: u64,
    pub expired_objects: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stated {
    pub records: u64,
    pub objects: u64,
    pub evicted: u64,
}

impl Database {
    /// Hours (microseconds since 1970 at their begin) of a box from `from_us` to before `to_us`, however long it takes.
    pub async fn hours(&self, box_id: Uuid, from_us: i64, to_us: i64) -> Result<BTreeMap<i64, HourRow>, DbError> {
        hours(self.client().await?, "0", box_id, from_us, to_us).await
    }

    /// The same for the read API.
    pub async fn hours_asked(&self, box_id: Uuid, from_us: i64, to_us: i64) -> Result<BTreeMap<i64, HourRow>, DbError> {
        hours(self.reader().await?, HOURS_TIMEOUT, box_id, from_us, to_us).await
    }
}

async fn hours(
    mut client: Object,
    timeout: &str,
    box_id: Uuid,
    from_us: i64,
    to_us: i64,
) -> Result<BTreeMap<i64, HourRow>, DbError> {
    let tx = client.build_transaction().read_only(true).start().await?;
    tx.batch_execute(&format!("SET LOCAL statement_timeout = '{timeout}'")).await?;
    let mut hours: BTreeMap<i64, HourRow> = BTreeMap::new();
    let sql = "SELECT (extract(epoch FROM hour) * 1000000)::bigint AS us, sum(records)::bigint AS records,
                          sum(objects)::bigint AS objects, sum(evicted)::bigint AS evicted
                   FROM sync.hours WHERE box_id = $1 GROUP BY hour";
    for row in tx.query(sql, &[&box_id]).await? {
        let number = |column: &str| Ok::<u64, DbError>(row.try_get::<_, i64>(column)?.cast_unsigned());
        let stated = Stated { records: number("records")?, objects: number("objects")?, evicted: number("evicted")? };
        hours.entry(row.try_get("us")?).or_default().stated = Some(stated);
    }
    // What a new epoch tells again is held once.
    let sql = "SELECT r.created_at_us / $4 * $4 AS us, count(*) AS records, coalesce(sum(o.held), 0)::bigint AS held,
                          coalesce(sum(o.lost), 0)::bigint AS lost
                   FROM sync.records r LEFT JOIN LATERAL (
                       SELECT count(*) FILTER (WHERE s.checked <> 'lost') AS held,
                              count(*) FILTER (WHERE s.checked = 'lost') AS lost
                       FROM jsonb_array_elements(r.objects) n
                       LEFT JOIN sync.objects s ON s.box_id = r.box_id AND s.bucket = n->>'bucket'
                            AND s.key = n->>'key'
                   ) o ON r.objects <> '[]'
                   WHERE r.box_id = $1 AND r.created_at_us >= $2 AND r.created_at_us < $3
                     AND r.state <> 'retold' AND r.kind <> 'proof'
                   GROUP BY 1";
    for row in tx.query(sql, &[&box_id, &from_us, &to_us, &gtv_protocol::body::HOUR_US]).await? {
        let number = |column: &str| Ok::<u64, DbError>(row.try_get::<_, i64>(column)?.cast_unsigned());
        let hour = hours.entry(row.try_get("us")?).or_default();
        hour.held_records = number("records")?;
        hour.held_objects = number("held")?;
        hour.lost_objects = number("lost")?;
    }
    let sql = "SELECT hour_us, records, objects FROM sync.expired_hours WHERE box_id = $1";
    for row in tx.query(sql, &[&box_id]).await? {
        let hour = hours.entry(row.try_get("hour_us")?).or_default();
        hour.expired_records = row.try_get::<_, i64>("records")?.cast_unsigned();
        hour.expired_objects = row.try_get::<_, i64>("objects")?.cast_unsigned();
    }
    tx.commit().await?;
    hours.retain(|us, _| *us >= from_us && *us < to_us);
    Ok(hours)
}
