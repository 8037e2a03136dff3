//! Rows of passages: made here of the JSON that is parsed already, written by one COPY a batch. Letting PostgreSQL
//! derive them from the stored JSON took most of its time.

use super::DbError;
use super::commit::Accepted;
use crate::plates;
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::Transaction;
use gtv_protocol::body::Detection;
use gtv_protocol::{Hash, Record};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use std::pin::pin;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{Json, ToSql, Type};
use uuid::Uuid;

/// A detection on its way into `ai.detections`.
pub struct Passage<'a> {
    pub seq: u64,
    pub plate: &'a str,
    /// UTC day of `first_seen`: its partition.
    pub day: NaiveDate,
    id: Uuid,
    record: &'a Record,
    body: &'a Detection,
    alternatives: Option<&'a RawValue>,
    keys: Vec<String>,
    times: [DateTime<Utc>; 3],
}

impl<'a> Passage<'a> {
    /// `body` is that of `record`, and reviewed.
    pub fn of(record: &'a Record, body: &'a Detection) -> Result<Self, DbError> {
        let data = |problem: String| DbError::Data(format!("record {}: {problem}", record.seq));
        let time =
            |us| DateTime::from_timestamp_micros(us).ok_or_else(|| data(format!("{us} microseconds is no time")));
        let times = [time(body.first_seen_us)?, time(body.last_seen_us)?, time(body.best_at_us)?];
        let raw: Raw<'a> = serde_json::from_str(record.body.get()).map_err(|e| data(e.to_string()))?;
        let readings = std::iter::once(&body.plate).chain(body.alternatives.iter().map(|a| &a.text));
        Ok(Self {
            seq: record.seq,
            plate: body.plate.as_str(),
            day: times[0].date_naive(),
            id: Uuid::try_parse(&record.id).map_err(|e| data(e.to_string()))?,
            record,
            body,
            alternatives: raw.alternatives,
            keys: plates::search_keys(readings.map(gtv_protocol::PlateText::as_str)),
            times,
        })
    }
}

/// What is stored as the text that the box wrote, so that no number changes its last digit.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    alternatives: Option<&'a RawValue>,
}

/// As the box wrote it, or an empty list.
#[derive(Debug)]
struct Alternatives<'a>(Option<&'a RawValue>);

impl Serialize for Alternatives<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(raw) => raw.serialize(serializer),
            None => serializer.collect_seq(std::iter::empty::<()>()),
        }
    }
}

const COLUMNS: &[(&str, Type)] = &[
    ("box_id", Type::UUID),
    ("epoch", Type::INT8),
    ("seq", Type::INT8),
    ("prefeitura_id", Type::UUID),
    ("id", Type::UUID),
    ("camera", Type::TEXT),
    ("plate", Type::TEXT),
    ("layout", Type::TEXT),
    ("category", Type::TEXT),
    ("confidence", Type::FLOAT4),
    ("alternatives", Type::JSONB),
    ("keys", Type::TEXT_ARRAY),
    ("first_seen", Type::TIMESTAMPTZ),
    ("last_seen", Type::TIMESTAMPTZ),
    ("best_at", Type::TIMESTAMPTZ),
    ("quad", Type::FLOAT4_ARRAY),
    ("bbox", Type::FLOAT4_ARRAY),
    ("frame_width", Type::INT4),
    ("frame_height", Type::INT4),
    ("direction", Type::TEXT),
    ("reads", Type::INT8),
    ("single", Type::BOOL),
    ("crop_bucket", Type::TEXT),
    ("crop_key", Type::TEXT),
    ("crop_sha256", Type::TEXT),
    ("frame_bucket", Type::TEXT),
    ("frame_key", Type::TEXT),
    ("frame_sha256", Type::TEXT),
];

/// Writes `passages` into the transaction of their batch.
pub async fn copy(tx: &Transaction<'_>, accepted: &Accepted<'_>, passages: &[&Passage<'_>]) -> Result<(), DbError> {
    if passages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let types: Vec<Type> = COLUMNS.iter().map(|(_, kind)| kind.clone()).collect();
    let sql = format!("COPY ai.detections ({}) FROM STDIN BINARY", names.join(", "));
    let statement = tx.prepare_cached(&sql).await?;
    let mut rows = pin!(BinaryCopyInWriter::new(tx.copy_in(&statement).await?, &types));
    for passage in passages {
        let Passage { record, body, .. } = passage;
        let (crop, frame) = (place(record, body.crop), place(record, body.frame));
        let alternatives = Alternatives(passage.alternatives);
        let quad: Vec<f32> = body.quad.iter().flatten().copied().collect();
        let row: [&(dyn ToSql + Sync); COLUMNS.len()] = [
            &accepted.box_id,
            &record.epoch,
            &record.seq.cast_signed(),
            &accepted.tenant,
            &passage.id,
            &body.camera,
            &passage.plate,
            &body.layout,
            &body.category,
            &(body.confidence as f32),
            &Json(&alternatives),
            &passage.keys,
            &passage.times[0],
            &passage.times[1],
            &passage.times[2],
            &quad,
            &body.bbox.as_slice(),
            &body.frame_width.cast_signed(),
            &body.frame_height.cast_signed(),
            &body.direction,
            &i64::from(body.reads),
            &body.single,
            &crop.bucket,
            &crop.key,
            &crop.sha256,
            &frame.bucket,
            &frame.key,
            &frame.sha256,
        ];
        rows.as_mut().write(&row).await?;
    }
    rows.finish().await?;
    Ok(())
}

/// Where an object lies, if the record names one.
#[derive(Default)]
struct Place<'a> {
    bucket: Option<&'a str>,
    key: Option<&'a str>,
    sha256: Option<String>,
}

fn place(record: &Record, hash: Option<Hash>) -> Place<'_> {
    let Some(hash) = hash else { return Place::default() };
    let object = record.objects.iter().find(|object| object.sha256 == hash);
    Place {
        bucket: object.map(|object| object.bucket.as_str()),
        key: object.map(|object| object.key.as_str()),
        sha256: Some(hash.to_string()),
    }
}
