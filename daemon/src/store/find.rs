//! The search of passages. Every question has a bound on the rows it looks at, so that none is slow on a full box: a
//! page may therefore be short although more follows.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::detections::{COLUMNS, n_of, read, with_objects};
use super::rows::{DetectionQuery, DetectionRow, Matching};
use super::search::{self, Pattern};
use super::similar::{self, SCORE_MIN, Stored};
use super::sql::Json;
use super::{Store, StoreError};
use crate::base::ids::{CameraId, DetectionId};

const DEFAULT_LIMIT: usize = 50;
/// Rows that a page looks at: about five milliseconds.
const LOOKED_AT_MAX: usize = 600;
/// Candidates that are scored for one question, the newest of them.
const SCORED_MAX: usize = 1000;
/// Passages of one neighboring plate among them.
const SCORED_PER_NEIGHBOR: usize = 50;

/// One page of passages, newest first.
#[derive(Debug, Default)]
pub struct DetectionPage {
    pub rows: Vec<DetectionRow>,
    /// Where the next page begins; absent at the end.
    pub next: Option<DetectionId>,
}

/// A passage that may have been of the plate that was asked for.
#[derive(Debug)]
pub struct Similar {
    pub row: DetectionRow,
    /// The probability that it was, 0 to 1.
    pub score: f64,
}

impl Store {
    /// Newest first; every passage that the query means where it has no text, else one page of them.
    pub async fn detections(&self, query: DetectionQuery) -> Result<Vec<DetectionRow>, StoreError> {
        Ok(self.detection_page(query).await?.rows)
    }

    pub async fn detection_page(&self, query: DetectionQuery) -> Result<DetectionPage, StoreError> {
        self.read("search detections", move |c| page(c, &query)).await
    }

    /// The passages that were most likely of the plate `query.text` (a part of it counts as well), likeliest first.
    pub async fn similar_detections(&self, query: DetectionQuery) -> Result<Vec<Similar>, StoreError> {
        self.read("search similar plates", move |c| similar_rows(c, &query)).await
    }
}

/// The times and the camera of a query, as the table knows them.
struct Range<'a> {
    newest: i64,
    oldest: i64,
    camera: Option<&'a CameraId>,
    limit: usize,
}

impl<'a> Range<'a> {
    fn of(c: &Connection, query: &'a DetectionQuery) -> Result<Self, StoreError> {
        let mut newest = query.to.map_or(i64::MAX, |to| to.0 - 1);
        if let Some(before) = query.before {
            let Some(n) = n_of(c, before)? else { return Err(StoreError::not_found(format!("detection {before}"))) };
            newest = newest.min(n - 1);
        }
        let limit = if query.limit == 0 { DEFAULT_LIMIT } else { query.limit.min(DetectionQuery::MAX_LIMIT) };
        let oldest = query.from.map_or(i64::MIN, |from| from.0);
        Ok(Self { newest, oldest, camera: query.camera.as_ref(), limit })
    }
}

fn page(c: &Connection, query: &DetectionQuery) -> Result<DetectionPage, StoreError> {
    let range = Range::of(c, query)?;
    let text = query.text.as_deref().filter(|text| !text.trim().is_empty());
    let Some(text) = text else { return newest(c, &range) };
    let pattern = match query.matching {
        Matching::Part => Pattern::part(text),
        Matching::Wildcard => Pattern::wildcard(text),
    };
    match pattern {
        Some(pattern) => matching(c, &range, &pattern),
        None => Ok(DetectionPage::default()),
    }
}

fn newest(c: &Connection, range: &Range<'_>) -> Result<DetectionPage, StoreError> {
    let mut sql = format!("SELECT {COLUMNS} FROM detections d WHERE d.n <= ?1 AND d.n >= ?2");
    let mut values: Vec<Value> = vec![range.newest.into(), range.oldest.into(), (range.limit as i64).into()];
    if let Some(camera) = range.camera {
        sql.push_str(" AND d.camera = ?4");
        values.push(camera.as_str().to_owned().into());
    }
    sql.push_str(" ORDER BY d.n DESC LIMIT ?3");
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), read)?;
    let rows = rows.map(|row| with_objects(c, row?)).collect::<Result<Vec<_>, StoreError>>()?;
    let next = rows.last().filter(|_| rows.len() == range.limit).map(|row| row.id);
    Ok(DetectionPage { rows, next })
}

/// What the trigram index knows of a pattern, or else the newest rows; both confirmed by the row.
fn matching(c: &Connection, range: &Range<'_>, pattern: &Pattern) -> Result<DetectionPage, StoreError> {
    let expression = pattern.expression();
    // Both tables are in time order by `n`, so both variants walk newest first and stop at the limit.
    let sql = match expression {
        Some(_) => {
            "SELECT d.n, d.id, d.camera, d.search FROM detection_trigrams t CROSS JOIN detections d ON d.n = t.rowid
             WHERE detection_trigrams MATCH ?3 AND t.rowid <= ?1 AND t.rowid >= ?2 ORDER BY t.rowid DESC"
        }
        None => "SELECT n, id, camera, search FROM detections WHERE n <= ?1 AND n >= ?2 AND ?3 IS NULL ORDER BY n DESC",
    };
    let mut statement = c.prepare_cached(sql)?;
    let mut candidates = statement.query(params![range.newest, range.oldest, expression])?;
    let mut found = Vec::new();
    let (mut looked_at, mut next) = (0, None);
    while let Some(row) = candidates.next()? {
        looked_at += 1;
        let camera = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
        let wanted = range.camera.is_none_or(|wanted| wanted.as_str() == camera);
        if wanted && pattern.accepts(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?) {
            found.push(row.get::<_, i64>(0)?);
        }
        if found.len() == range.limit || looked_at == LOOKED_AT_MAX {
            next = Some(row.get(1)?);
            break;
        }
    }
    Ok(DetectionPage { rows: found.into_iter().map(|n| by_n(c, n)).collect::<Result<_, _>>()?, next })
}

fn by_n(c: &Connection, n: i64) -> Result<DetectionRow, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM detections d WHERE d.n = ?1"))?;
    with_objects(c, statement.query_one([n], read)?)
}

fn similar_rows(c: &Connection, query: &DetectionQuery) -> Result<Vec<Similar>, StoreError> {
    let range = Range::of(c, query)?;
    let wanted = query.text.as_deref().map(search::normalize).unwrap_or_default();
    let Some(pattern) = Pattern::part(&wanted) else { return Ok(Vec::new()) };
    let mut candidates = std::collections::BTreeSet::new();
    let mut of_vehicle = c.prepare_cached(
        "SELECT n FROM detection_words WHERE word = ?1 AND n <= ?2 AND n >= ?3 ORDER BY n DESC LIMIT ?4",
    )?;
    for (index, key) in similar::neighbors(&wanted).into_iter().enumerate() {
        let most = if index == 0 { SCORED_MAX } else { SCORED_PER_NEIGHBOR };
        let rows = of_vehicle
            .query_map(params![key.0 as i64, range.newest, range.oldest, most as i64], |row| row.get::<_, i64>(0))?;
        for n in rows {
            candidates.insert(n?);
        }
    }
    if let Some(expression) = pattern.expression() {
        let mut with_part = c.prepare_cached(
            "SELECT rowid FROM detection_trigrams WHERE detection_trigrams MATCH ?3 AND rowid <= ?1 AND rowid >= ?2
             ORDER BY rowid DESC LIMIT ?4",
        )?;
        let values = params![range.newest, range.oldest, expression, SCORED_MAX as i64];
        for n in with_part.query_map(values, |row| row.get::<_, i64>(0))? {
            candidates.insert(n?);
        }
    }
    let mut scored = Vec::new();
    for n in candidates.into_iter().rev().take(SCORED_MAX) {
        if let Some(score) = score_of(c, n, &wanted, &range)?
            && score >= SCORE_MIN
        {
            scored.push((score, n));
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    scored.truncate(range.limit);
    scored.into_iter().map(|(score, n)| Ok(Similar { row: by_n(c, n)?, score })).collect()
}

/// `None` where the passage was at another camera.
fn score_of(c: &Connection, n: i64, wanted: &str, range: &Range<'_>) -> Result<Option<f64>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT camera, plate, confidence, alternatives, slots FROM detections WHERE n = ?1")?;
    let score = statement.query_one([n], |row| {
        let camera = row.get_ref(0)?.as_str()?;
        if range.camera.is_some_and(|wanted| wanted.as_str() != camera) {
            return Ok(None);
        }
        let alternatives = row.get::<_, Json<Vec<(String, f64)>>>(3)?.0;
        let slots = row.get::<_, Json<serde_json::Value>>(4)?.0;
        let stored = Stored {
            plate: row.get_ref(1)?.as_str()?,
            confidence: row.get(2)?,
            alternatives: &alternatives,
            slots: &slots,
        };
        Ok(Some(similar::score(wanted, &stored)))
    })?;
    Ok(score)
}
