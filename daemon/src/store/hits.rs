//! Passages of vehicles that are on a watchlist. The alert is raised in the transaction that keeps the passage, so no
//! crash can come between the two. Whether a vehicle is on any list is answered from memory; a hit is confirmed by the
//! rows, which know validity, list and reason.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use uuid::Uuid;

use super::deliveries::AlertTarget;
use super::rows::{AlertRow, DetectionRow, Severity};
use super::sql::{Json, Text};
use super::watch_index::WatchIndex;
use super::writer::Tx;
use super::{Store, StoreError, alerts};
use crate::base::plate::{Plate, VehicleKey};
use crate::base::time::UtcMicros;

/// The kind of these alerts.
pub const HIT: &str = "watchlist-hit";

/// What decides whether a hit is worth an alert, and who is told of alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPolicy {
    /// An alternative reading counts from this probability on.
    pub alternative_min: f64,
    /// Further passages of a vehicle at the same camera are counted in its last alert for this long.
    pub cooldown_us: i64,
    /// An hour in which less than this share of what was expected is stored raises an alert.
    pub min_coverage: f64,
    pub targets: Vec<AlertTarget>,
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self { alternative_min: 0.1, cooldown_us: 600_000_000, min_coverage: 0.99, targets: Vec::new() }
    }
}

/// How much is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchStatus {
    /// Vehicles in memory; those removed since the start may be among them.
    pub vehicles: usize,
    pub bytes: usize,
}

/// What the writer needs at hand for every passage.
#[derive(Debug, Default)]
pub(super) struct Watch {
    index: Mutex<WatchIndex>,
    policy: Mutex<AlertPolicy>,
}

impl Watch {
    pub fn load(c: &Connection) -> Result<Self, StoreError> {
        let watch = Self::default();
        watch.reload(c)?;
        Ok(watch)
    }

    /// From the rows. Where the writer runs it, no entry can come in between.
    pub fn reload(&self, c: &Connection) -> Result<(), StoreError> {
        let mut statement = c.prepare("SELECT vehicle FROM watch_entries ORDER BY vehicle")?;
        let keys = statement.query_map([], |row| Ok(row.get::<_, i64>(0)? as u64))?;
        *self.index() = WatchIndex::from_keys(keys.collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Before COMMIT: a vehicle too many is harmless, one too few is not.
    pub fn add(&self, key: VehicleKey) {
        self.index().add(key);
    }

    pub fn policy(&self) -> MutexGuard<'_, AlertPolicy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> MutexGuard<'_, WatchIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    pub fn watch_status(&self) -> WatchStatus {
        let index = self.inner.watch.index();
        WatchStatus { vehicles: index.len(), bytes: index.bytes() }
    }
}

/// A reading of a passage whose vehicle is in memory.
struct Reading<'a> {
    key: VehicleKey,
    text: &'a str,
    confidence: f64,
    /// Not the likeliest one.
    alternative: bool,
}

/// An entry that is in force.
struct Match {
    list: i64,
    list_id: String,
    list_name: String,
    severity: Severity,
    plate: Plate,
    reason: String,
}

/// Raises one alert for each list that the vehicle of `row` is on, or counts it in the last one.
pub(super) fn raise(tx: &mut Tx<'_>, watch: &Watch, row: &DetectionRow) -> Result<(), StoreError> {
    let policy = watch.policy().clone();
    let started = Instant::now();
    let known = known_readings(watch, row, policy.alternative_min);
    metrics::histogram!("gtv_watch_match_seconds").record(started.elapsed().as_secs_f64());
    let mut told: Vec<i64> = Vec::new();
    for reading in known {
        for found in matches(tx, &reading, row.best_at)? {
            // The readings come likeliest first: the first one that a list knows is the one to tell.
            if !told.contains(&found.list) {
                told.push(found.list);
                raise_one(tx, &policy, row, &reading, found)?;
            }
        }
    }
    Ok(())
}

fn known_readings<'a>(watch: &Watch, row: &'a DetectionRow, alternative_min: f64) -> Vec<Reading<'a>> {
    let index = watch.index();
    let alternatives = row.alternatives.iter().map(|(text, p)| (text.as_str(), *p, true));
    std::iter::once((row.plate.as_str(), row.confidence, false))
        .chain(alternatives.filter(|(_, p, _)| *p >= alternative_min))
        .filter_map(|(text, confidence, alternative)| {
            let key = VehicleKey::of(text).filter(|key| index.contains(*key))?;
            Some(Reading { key, text, confidence, alternative })
        })
        .collect()
}

/// Entries in force, for each list first the one that is written as the plate was read.
fn matches(c: &Connection, reading: &Reading<'_>, at: UtcMicros) -> Result<Vec<Match>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT l.n, l.id, l.name, l.severity, e.plate, iif(e.reason = '', l.reason, e.reason)
         FROM watch_entries e JOIN watchlists l ON l.n = e.list
         WHERE e.vehicle = ?1 AND l.enabled AND (e.valid_from IS NULL OR e.valid_from <= ?2)
            AND (e.valid_until IS NULL OR e.valid_until > ?2)
         ORDER BY l.n, e.plate <> ?3",
    )?;
    let rows = statement.query_map(params![reading.key.0 as i64, at, reading.text], |row| {
        Ok(Match {
            list: row.get(0)?,
            list_id: row.get(1)?,
            list_name: row.get(2)?,
            severity: row.get(3)?,
            plate: row.get(4)?,
            reason: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn raise_one(
    tx: &mut Tx<'_>,
    policy: &AlertPolicy,
    row: &DetectionRow,
    reading: &Reading<'_>,
    found: Match,
) -> Result<(), StoreError> {
    let strength = if reading.alternative { 1 } else { 2 };
    let vehicle = reading.key.0 as i64;
    if counted_in_last(tx, policy, row, found.list, vehicle, strength)? {
        metrics::counter!("gtv_watch_repeats_total").increment(1);
        return Ok(());
    }
    let kind_of_match = if reading.alternative {
        "alternative"
    } else if found.plate.as_str() == reading.text {
        "exact"
    } else {
        "equivalent"
    };
    let alert = AlertRow {
        id: Uuid::now_v7(),
        at: UtcMicros::now(),
        kind: HIT.to_owned(),
        severity: found.severity,
        camera: Some(row.camera.clone()),
        detection: Some(row.id),
        title: format!("{}: a listed vehicle at {}", found.list_name, row.camera),
        detail: json!({
            "watchlist": found.list_name,
            "list_id": found.list_id,
            "reason": found.reason,
            "plate": found.plate.as_str(),
            "matched": reading.text,
            "match": kind_of_match,
            "confidence": reading.confidence,
            "seen_at": row.best_at,
            "repeats": 0,
        }),
        acknowledged_at: None,
        acknowledged_by: None,
    };
    tx.prepare_cached("DELETE FROM watch_recent WHERE since < ?1")?
        .execute([row.best_at.add_micros(-2 * policy.cooldown_us)])?;
    tx.prepare_cached("INSERT OR REPLACE INTO watch_recent VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        found.list,
        vehicle,
        row.camera,
        Text(alert.id),
        row.best_at,
        strength
    ])?;
    metrics::counter!("gtv_watch_hits_total", "match" => kind_of_match).increment(1);
    alerts::insert(tx, policy, alert, Some(&Plate::normalize(reading.text)))?;
    Ok(())
}

/// Whether a young alert of the same vehicle, list and camera says as much already; then this passage is counted there.
fn counted_in_last(
    tx: &mut Tx<'_>,
    policy: &AlertPolicy,
    row: &DetectionRow,
    list: i64,
    vehicle: i64,
    strength: i64,
) -> Result<bool, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT alert, since FROM watch_recent WHERE list = ?1 AND vehicle = ?2 AND camera = ?3 AND strength >= ?4",
    )?;
    let last = statement
        .query_one(params![list, vehicle, row.camera, strength], |r| {
            Ok((r.get::<_, Text<Uuid>>(0)?.0, r.get::<_, UtcMicros>(1)?))
        })
        .optional()?;
    drop(statement);
    // Also an alert from the future: the clock was set back.
    let Some((id, _)) = last.filter(|(_, since)| row.best_at.since(*since).abs() < policy.cooldown_us) else {
        return Ok(false);
    };
    let Some(mut alert) = alerts::get(tx, id)? else { return Ok(false) };
    if let Value::Object(detail) = &mut alert.detail {
        let repeats = detail.get("repeats").and_then(Value::as_u64).unwrap_or(0) + 1;
        detail.insert("repeats".to_owned(), repeats.into());
        detail.insert("last_seen_at".to_owned(), row.best_at.0.into());
        detail.insert("last_detection".to_owned(), row.id.to_string().into());
    }
    tx.prepare_cached("UPDATE alerts SET detail = ?2 WHERE id = ?1")?
        .execute(params![Text(id), Json(&alert.detail)])?;
    alerts::publish(tx, alert);
    Ok(true)
}
