//! The questions themselves: what each path takes, and its SQL. Every one runs under the row-level security of the
//! prefeitura that the token names, so none of them mentions it.

use super::{ApiError, Asker};
use crate::audit::Hour;
use crate::db::read::Parameter;
use crate::plates;
use crate::session::Center;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use gtv_protocol::body::HOUR_US;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

const ROWS_DEFAULT: i64 = 100;
const ROWS_MAX: i64 = 1000;
/// Without `from` this much is looked at: it bounds how many days of passages are opened.
const DAYS_DEFAULT: i64 = 30;
/// Plates that a pattern may mean.
const PLATES_MAX: usize = 500;
/// How long a link to a picture or clip works.
const LINK_FOR: Duration = Duration::from_secs(600);

/// A span of time, a place, a page.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    #[serde(rename = "box")]
    pub(super) box_id: Option<Uuid>,
    pub(super) camera: Option<String>,
    limit: Option<i64>,
    /// Of detections: a plate, or a pattern with `*` and `?`.
    plate: Option<String>,
    /// Also plates that look alike.
    #[serde(default)]
    similar: bool,
    /// Of alerts: words of the message.
    text: Option<String>,
    severity: Option<String>,
    /// Of clips.
    detection: Option<Uuid>,
}

impl Filter {
    fn span(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), ApiError> {
        let to = self.to.unwrap_or_else(|| Utc::now() + TimeDelta::days(2));
        let from = self.from.unwrap_or_else(|| to - TimeDelta::days(DAYS_DEFAULT + 2));
        if from >= to {
            return Err(ApiError::invalid("from", "must be before `to`"));
        }
        Ok((from, to))
    }

    /// What was asked for, for the note of who asked: the same however it was written.
    pub fn plate(&self) -> Option<String> {
        let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '*' | '?');
        self.plate.as_ref().map(|plate| plate.to_uppercase().chars().filter(kept).collect())
    }

    /// Other years cannot be reckoned with, here or in PostgreSQL.
    pub(super) fn check_times(&self) -> Result<(), ApiError> {
        for (field, time) in [("from", self.from), ("to", self.to)] {
            if time.is_some_and(|time| !(1..=9999).contains(&time.year())) {
                return Err(ApiError::invalid(field, "must be in a year from 1 to 9999"));
            }
        }
        Ok(())
    }

    fn limit(&self) -> i64 {
        self.limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX)
    }
}

/// What each camera does now is the matter of `/api/streaming/streams`.
pub async fn boxes(center: &Center, asker: &Asker) -> Result<Value, ApiError> {
    let sql = "SELECT id, name, site, enabled, software, enrolled_at, last_seen_at,
                      status - 'streams' - 'changes' AS status, status_at
               FROM cidades.boxes ORDER BY name, id";
    Ok(json!({ "boxes": center.db.read(asker.tenant, sql, &[]).await? }))
}

/// Adds to each box whether it is connected now.
pub async fn with_online(center: &Center, mut answer: Value) -> Value {
    let rows = answer["boxes"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
    let id = |row: &Value| Uuid::try_parse(row["id"].as_str().unwrap_or_default()).unwrap_or_default();
    let ids: Vec<Uuid> = rows.iter().map(id).collect();
    let online = match &center.live {
        Some(live) => live.online(&ids).await,
        None => None,
    };
    for (row, id) in rows.iter_mut().zip(ids) {
        row["online"] = online.as_ref().map_or(Value::Null, |online| json!(online.contains(&id)));
    }
    answer
}

pub async fn cameras(center: &Center, asker: &Asker, filter: &Filter) -> Result<Value, ApiError> {
    let sql = "SELECT box_id, camera, name, enabled, removed, manufacturer, model, latitude, longitude, updated_at
               FROM cidades.cameras WHERE ($1::uuid IS NULL OR box_id = $1) ORDER BY name, box_id, camera";
    Ok(json!({ "cameras": center.db.read(asker.tenant, sql, &[&filter.box_id]).await? }))
}

/// Passages, newest first; by plate in both layouts, with `similar` also those that look alike, or by a pattern.
pub async fn detections(center: &Center, asker: &Asker, filter: Filter) -> Result<Value, ApiError> {
    let (from, to) = filter.span()?;
    let asked = filter.plate.as_deref().map(|plate| plate.trim().to_uppercase()).filter(|plate| !plate.is_empty());
    let mut truncated = false;
    let (keys, exact) = match &asked {
        None => (None, None),
        Some(pattern) if pattern.contains(['*', '?']) => {
            let mut found = matching_plates(center, asker, pattern).await?;
            truncated = found.len() > PLATES_MAX;
            found.truncate(PLATES_MAX);
            let keys: Vec<String> = found.iter().map(|plate| plates::search_key(plate)).collect();
            (Some(keys), Some(found))
        }
        Some(text) => {
            let plate = plates::normalize(text);
            if plate.is_empty() {
                return Err(ApiError::invalid("plate", "has neither a letter nor a digit"));
            }
            let keys = plates::asked_keys(&plate);
            let exact = (!filter.similar).then(|| both_layouts(&plate));
            (Some(keys), exact)
        }
    };
    let sql = "SELECT d.id, d.box_id, d.camera, m.name AS camera_name, d.plate, d.layout, d.category, d.confidence,
                      d.alternatives, d.first_seen, d.last_seen, d.best_at, d.direction, d.reads, d.single,
                      d.crop_sha256 IS NOT NULL AS has_crop
               FROM ai.detections d LEFT JOIN cidades.cameras m USING (box_id, camera)
               WHERE d.first_seen >= $1 AND d.first_seen < $2
                 AND ($3::text[] IS NULL OR d.keys && $3)
                 AND ($4::text[] IS NULL OR d.plate = ANY($4))
                 AND ($5::uuid IS NULL OR d.box_id = $5) AND ($6::text IS NULL OR d.camera = $6)
               ORDER BY d.first_seen DESC, d.id LIMIT $7";
    let parameters: [Parameter<'_>; 7] = [&from, &to, &keys, &exact, &filter.box_id, &filter.camera, &filter.limit()];
    let rows = center.db.read(asker.tenant, sql, &parameters).await?;
    Ok(json!({ "detections": rows, "truncated": truncated }))
}

/// The plate in the old and in the Mercosul layout.
fn both_layouts(plate: &str) -> Vec<String> {
    let old = plates::plate_key(plate);
    let mut both = vec![plate.to_owned(), old.clone()];
    if let (true, Some(digit)) =
        (old.is_ascii() && old.len() == 7, old.as_bytes().get(4).filter(|c| c.is_ascii_digit()))
    {
        both.push(format!("{}{}{}", &old[..4], char::from(digit - b'0' + b'A'), &old[5..]));
    }
    both
}

/// Plates of the city that fit a pattern, by the trigram index; one too many says that there are more.
async fn matching_plates(center: &Center, asker: &Asker, pattern: &str) -> Result<Vec<String>, ApiError> {
    let known: String = pattern.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '?')).collect();
    if known.chars().filter(char::is_ascii_alphanumeric).count() < 2 {
        return Err(ApiError::invalid("plate", "needs two letters or digits beside `*` and `?`"));
    }
    let like = known.replace('*', "%").replace('?', "_");
    let sql = "SELECT plate FROM ai.plates WHERE plate LIKE $1 ORDER BY last_day DESC, plate LIMIT $2";
    let rows = center.db.read(asker.tenant, sql, &[&like, &(PLATES_MAX as i64 + 1)]).await?;
    Ok(rows.iter().filter_map(|row| row["plate"].as_str().map(str::to_owned)).collect())
}

/// One passage with links to its pictures and clips.
pub async fn detection(center: &Center, asker: &Asker, id: Uuid) -> Result<Value, ApiError> {
    let sql = "SELECT id, box_id, epoch, seq, camera, plate, layout, category, confidence, alternatives, first_seen,
                      last_seen, best_at, quad, bbox, frame_width, frame_height, direction, reads, single,
                      crop_bucket, crop_key, crop_sha256, frame_bucket, frame_key, frame_sha256
               FROM ai.detections WHERE id = $1 LIMIT 1";
    let rows = center.db.read(asker.tenant, sql, &[&id]).await?;
    let mut detection = rows.into_iter().next().ok_or(ApiError::NotFound)?;
    for part in ["crop", "frame"] {
        let link =
            link(center, &detection[format!("{part}_bucket").as_str()], &detection[format!("{part}_key").as_str()])
                .await?;
        detection[format!("{part}_url").as_str()] = link;
    }
    let filter = Filter { detection: Some(id), ..Filter::default() };
    detection["clips"] = clips(center, asker, filter).await?["clips"].take();
    Ok(detection)
}

pub async fn clips(center: &Center, asker: &Asker, filter: Filter) -> Result<Value, ApiError> {
    // A clip that is asked for by its passage may be as old as that.
    let span = if filter.detection.is_some() { None } else { Some(filter.span()?) };
    let sql = "SELECT id, box_id, detection_id, camera, stream, started_at, ended_at, bucket, key, sha256, bytes, mime,
                      unavailable
               FROM streaming.clips
               WHERE ($1::timestamptz IS NULL OR started_at >= $1) AND ($2::timestamptz IS NULL OR started_at < $2)
                 AND ($3::uuid IS NULL OR detection_id = $3) AND ($4::uuid IS NULL OR box_id = $4)
                 AND ($5::text IS NULL OR camera = $5)
               ORDER BY started_at DESC, id LIMIT $6";
    let (from, to) = (span.map(|span| span.0), span.map(|span| span.1));
    let parameters: [Parameter<'_>; 6] =
        [&from, &to, &filter.detection, &filter.box_id, &filter.camera, &filter.limit()];
    let mut rows = center.db.read(asker.tenant, sql, &parameters).await?;
    for row in &mut rows {
        let url = link(center, &row["bucket"], &row["key"]).await?;
        row["url"] = url;
    }
    Ok(json!({ "clips": rows }))
}

pub async fn alerts(center: &Center, asker: &Asker, filter: Filter) -> Result<Value, ApiError> {
    let (from, to) = filter.span()?;
    let sql =
        "SELECT id, box_id, rule, severity, camera, detection_id, plate, message, reason, raised_at FROM ai.alerts
               WHERE raised_at >= $1 AND raised_at < $2 AND ($3::text IS NULL OR severity = $3)
                 AND ($4::text IS NULL OR to_tsvector('portuguese', message) @@ websearch_to_tsquery('portuguese', $4))
                 AND ($5::uuid IS NULL OR box_id = $5) AND ($6::text IS NULL OR camera = $6)
               ORDER BY raised_at DESC, id LIMIT $7";
    let parameters: [Parameter<'_>; 7] =
        [&from, &to, &filter.severity, &filter.text, &filter.box_id, &filter.camera, &filter.limit()];
    Ok(json!({ "alerts": center.db.read(asker.tenant, sql, &parameters).await? }))
}

/// Seconds that each camera recorded in each hour as its box tells, and the gaps with their reasons.
pub async fn coverage(center: &Center, asker: &Asker, filter: &Filter) -> Result<Value, ApiError> {
    let to = filter.to.unwrap_or_else(Utc::now);
    let from = filter.from.unwrap_or_else(|| to - TimeDelta::days(1));
    if from >= to || to - from > TimeDelta::days(31) {
        return Err(ApiError::invalid("from", "must be before `to`, at most 31 days"));
    }
    let parameters: [Parameter<'_>; 4] = [&from, &to, &filter.box_id, &filter.camera];
    let sql = "SELECT box_id, camera, stream, hour,
                      sum(extract(epoch FROM least(ended_at, hour + interval '1 hour', $2) - greatest(started_at, hour, $1)))
                          ::float8 AS stored_s
               FROM streaming.recordings,
                    generate_series(date_trunc('hour', greatest(started_at, $1)), least(ended_at, $2), '1 hour') hour
               WHERE started_at < $2 AND ended_at > $1 AND ($3::uuid IS NULL OR box_id = $3)
                 AND ($4::text IS NULL OR camera = $4)
               GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";
    let hours = center.db.read(asker.tenant, sql, &parameters).await?;
    let sql = "SELECT box_id, camera, stream, started_at, ended_at, reason FROM streaming.gaps
               WHERE started_at < $2 AND ended_at > $1 AND ($3::uuid IS NULL OR box_id = $3)
                 AND ($4::text IS NULL OR camera = $4)
               ORDER BY started_at LIMIT 10000";
    let gaps = center.db.read(asker.tenant, sql, &parameters).await?;
    Ok(json!({ "hours": hours, "gaps": gaps }))
}

/// How much of each hour is here, by the box's own signed counts.
pub async fn delivery(center: &Center, asker: &Asker, box_id: Uuid, filter: &Filter) -> Result<Value, ApiError> {
    let own = center.db.read(asker.tenant, "SELECT id FROM cidades.boxes WHERE id = $1", &[&box_id]).await?;
    if own.is_empty() {
        return Err(ApiError::NotFound);
    }
    let to = filter.to.unwrap_or_else(Utc::now);
    let from = filter.from.unwrap_or_else(|| to - TimeDelta::days(7));
    if from >= to || to - from > TimeDelta::days(31) {
        return Err(ApiError::invalid("from", "must be before `to`, at most 31 days"));
    }
    let (from_us, to_us) = (from.timestamp_micros() / HOUR_US * HOUR_US, to.timestamp_micros());
    let rows = center.db.hours_asked(box_id, from_us, to_us).await?;
    let hours: Vec<Value> = rows
        .iter()
        .map(|(us, row)| {
            let stated =
                row.stated.map(|s| json!({ "records": s.records, "objects": s.objects, "evicted": s.evicted }));
            json!({
                "hour": Hour(*us),
                "stated": stated,
                "records": row.held_records,
                "objects": row.held_objects,
                "objects_lost": row.lost_objects,
                "records_expired": row.expired_records,
                "objects_expired": row.expired_objects,
            })
        })
        .collect();
    Ok(json!({ "box": box_id, "hours": hours }))
}

/// A link to an object that works without credentials for some minutes; null where there is no object.
async fn link(center: &Center, bucket: &Value, key: &Value) -> Result<Value, ApiError> {
    let (Some(bucket), Some(key)) = (bucket.as_str(), key.as_str()) else { return Ok(Value::Null) };
    let url = center.objects.link(bucket, key, LINK_FOR).await.map_err(|e| ApiError::Down(e.to_string()))?;
    Ok(json!(url))
}
