//! The coverage ledger: hour by hour, how much of a stream should have been recorded and was (R4), and how much of that
//! was deleted since (R5). What was stored is counted in the transaction that stores it.

use gtv_protocol::body::{Body, Coverage};
use rusqlite::{Connection, Row, params};
use serde_json::json;
use uuid::Uuid;

use super::hits::AlertPolicy;
use super::outbox::{self, Lane};
use super::recordings;
use super::rows::{AlertRow, CoverageRow, Expectation, Interval, LedgerStream, SegmentRow, Severity, Stream};
use super::writer::Tx;
use super::{Store, StoreError, alerts};
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// The kind of the alert that an hour with too little in it raises.
pub const COVERAGE_LOW: &str = "coverage-low";
pub const HOUR_US: i64 = 3_600_000_000;
/// Pauses up to this long need no entry of their own.
pub const TOLERATED_PAUSE_US: i64 = 2_000_000;
/// An hour in which less was expected says little.
const JUDGED_FROM_US: i64 = 60_000_000;

const COLUMNS: &str = "camera, stream, hour, expected_us, stored_us, evicted_us, bytes, closed";

impl Store {
    /// Streams whose recording is expected, as the last call of [`Store::expect_recordings`] left them.
    pub async fn ledger_streams(&self) -> Result<Vec<LedgerStream>, StoreError> {
        self.read("read the coverage ledger", |c| {
            let mut statement = c.prepare_cached("SELECT camera, stream, since, until FROM coverage_streams")?;
            let rows = statement.query_map([], |row| {
                Ok(LedgerStream { camera: row.get(0)?, stream: row.get(1)?, since: row.get(2)?, until: row.get(3)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Adds to what should have been recorded, and moves the ledger of these streams on.
    pub async fn expect_recordings(&self, expectations: Vec<Expectation>) -> Result<(), StoreError> {
        self.write("continue the coverage ledger", move |tx| {
            let mut moved = tx.prepare_cached(
                "INSERT INTO coverage_streams VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (camera, stream) DO UPDATE SET since = excluded.since, until = excluded.until",
            )?;
            for Expectation { stream: ledger, spans } in &expectations {
                moved.execute(params![ledger.camera, ledger.stream, ledger.since, ledger.until])?;
                for &(start, end) in spans {
                    for (hour, us) in hours_of(start, end) {
                        add(tx, &ledger.camera, ledger.stream, hour, Counts { expected_us: us, ..Counts::default() })?;
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// This stream is not to be recorded any more.
    pub async fn end_expectation(&self, camera: &CameraId, stream: Stream) -> Result<(), StoreError> {
        let camera = camera.clone();
        self.write("end a part of the coverage ledger", move |tx| {
            tx.prepare_cached("DELETE FROM coverage_streams WHERE camera = ?1 AND stream = ?2")?
                .execute(params![camera, stream])?;
            Ok(())
        })
        .await
    }

    /// Enters a gap for every hole in `spans` that has neither video nor a reason yet; returns how many.
    pub async fn settle_coverage(
        &self,
        camera: &CameraId,
        stream: Stream,
        spans: Vec<Interval>,
        reason: &str,
    ) -> Result<usize, StoreError> {
        let (camera, reason) = (camera.clone(), reason.to_owned());
        self.write("settle the coverage ledger", move |tx| {
            let mut noted = 0;
            for (from, to) in spans {
                for (start, end) in recordings::holes(tx, &camera, stream, from, to)? {
                    if end.since(start) > TOLERATED_PAUSE_US {
                        recordings::note_gap(tx, &camera, stream, start, end, &reason)?;
                        noted += 1;
                    }
                }
            }
            Ok(noted)
        })
        .await
    }

    /// Hours that ended before `time` and are not closed yet, oldest first.
    pub async fn open_hours(&self, time: UtcMicros) -> Result<Vec<CoverageRow>, StoreError> {
        self.read("list hours to close", move |c| {
            let filter = "closed = 0 AND hour <= ?1 ORDER BY hour, camera, stream";
            list(c, filter, &[&time.add_micros(-HOUR_US)])
        })
        .await
    }

    /// Closes the hours that ended before `time`: each is told to the centre, and the newest one of a stream that has
    /// too little in it raises an alert. Returns what was closed.
    pub async fn close_hours(&self, time: UtcMicros) -> Result<Vec<CoverageRow>, StoreError> {
        let watch = self.inner.watch.clone();
        self.write("close hours of the coverage ledger", move |tx| {
            let policy = watch.policy().clone();
            let filter = "closed = 0 AND hour <= ?1 ORDER BY camera, stream, hour";
            let rows = list(tx, filter, &[&time.add_micros(-HOUR_US)])?;
            for (index, row) in rows.iter().enumerate() {
                tx.prepare_cached("UPDATE coverage SET closed = 1 WHERE camera = ?1 AND stream = ?2 AND hour = ?3")?
                    .execute(params![row.camera, row.stream, row.hour])?;
                if row.expected_us > 0 {
                    tell(tx, row)?;
                }
                let newest = rows.get(index + 1).is_none_or(|next| !same_stream(next, row));
                if newest && row.expected_us >= JUDGED_FROM_US && row.ratio() < policy.min_coverage {
                    raise(tx, &policy, row)?;
                }
            }
            Ok(rows)
        })
        .await
    }

    /// The ledger of the hours that touch `[from, to)`, oldest first.
    pub async fn coverage(
        &self,
        camera: &CameraId,
        stream: Stream,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<CoverageRow>, StoreError> {
        let camera = camera.clone();
        self.read("read the coverage ledger", move |c| {
            let filter = "camera = ?1 AND stream = ?2 AND hour > ?3 AND hour < ?4 ORDER BY hour";
            list(c, filter, &[&camera, &stream, &from.add_micros(-HOUR_US), &to])
        })
        .await
    }

    /// The ledger of all streams for hours from `time` on.
    pub async fn coverage_since(&self, time: UtcMicros) -> Result<Vec<CoverageRow>, StoreError> {
        self.read("read the coverage ledger", move |c| list(c, "hour >= ?1", &[&time])).await
    }

    /// Forgets hours that ended before `time` and of which nothing is kept.
    pub async fn expire_coverage(&self, time: UtcMicros) -> Result<usize, StoreError> {
        self.write("expire the coverage ledger", move |tx| {
            let before = time.add_micros(-HOUR_US);
            let forgotten = tx
                .prepare_cached("DELETE FROM coverage WHERE hour < ?1 AND closed = 1 AND stored_us <= evicted_us")?
                .execute([before])?;
            tx.prepare_cached(
                "DELETE FROM gaps WHERE \"end\" < ?1 AND NOT EXISTS (
                    SELECT 1 FROM coverage c WHERE c.camera = gaps.camera AND c.stream = gaps.stream
                        AND c.hour < gaps.\"end\" AND c.hour > gaps.start - ?2)",
            )?
            .execute(params![before, HOUR_US])?;
            Ok(forgotten)
        })
        .await
    }
}

fn same_stream(a: &CoverageRow, b: &CoverageRow) -> bool {
    a.camera == b.camera && a.stream == b.stream
}

fn tell(tx: &mut Tx<'_>, row: &CoverageRow) -> Result<(), StoreError> {
    let body = Body::Coverage(Coverage {
        camera: row.camera.to_string(),
        stream: row.stream.to_string(),
        start_us: row.hour.0,
        end_us: row.hour.0 + HOUR_US,
        expected_us: row.expected_us as u64,
        stored_us: row.stored_us as u64,
    });
    outbox::put(tx, Lane::Bulk, &body, &format!("{}/{}/{}", row.camera, row.stream, row.hour.0), &[])
}

fn raise(tx: &mut Tx<'_>, policy: &AlertPolicy, row: &CoverageRow) -> Result<(), StoreError> {
    let gaps = recordings::gaps(tx, &row.camera, row.stream, row.hour, row.hour.add_micros(HOUR_US))?;
    let worst = gaps.iter().max_by_key(|gap| gap.end.since(gap.start));
    let alert = AlertRow {
        id: Uuid::now_v7(),
        at: UtcMicros::now(),
        kind: COVERAGE_LOW.to_owned(),
        severity: Severity::Warning,
        camera: Some(row.camera.clone()),
        detection: None,
        title: format!("{}: {:.1} % of an hour was recorded", row.camera, row.ratio() * 100.0),
        detail: json!({
            "stream": row.stream.as_str(),
            "hour": row.hour,
            "expected_s": row.expected_us as f64 / 1e6,
            "stored_s": row.stored_us as f64 / 1e6,
            "ratio": row.ratio(),
            "reason": worst.map_or("", |gap| gap.reason.as_str()),
        }),
        acknowledged_at: None,
        acknowledged_by: None,
    };
    alerts::insert(tx, policy, alert, None)
}

/// What is added to an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    expected_us: i64,
    stored_us: i64,
    evicted_us: i64,
    bytes: i64,
}

fn add(c: &Connection, camera: &CameraId, stream: Stream, hour: UtcMicros, more: Counts) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO coverage (camera, stream, hour, expected_us, stored_us, evicted_us, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (camera, stream, hour) DO UPDATE SET
            expected_us = expected_us + excluded.expected_us, stored_us = stored_us + excluded.stored_us,
            evicted_us = evicted_us + excluded.evicted_us, bytes = bytes + excluded.bytes",
    )?
    .execute(params![camera, stream, hour, more.expected_us, more.stored_us, more.evicted_us, more.bytes])?;
    Ok(())
}

/// A fragment got its row.
pub(super) fn add_stored(
    c: &Connection,
    segment: &SegmentRow,
    start: UtcMicros,
    duration_us: i64,
    bytes: i64,
) -> Result<(), StoreError> {
    let mut bytes = bytes;
    for (hour, us) in hours_of(start, start.add_micros(duration_us.max(1))) {
        add(c, &segment.camera, segment.stream, hour, Counts { stored_us: us, bytes, ..Counts::default() })?;
        bytes = 0;
    }
    Ok(())
}

/// The fragments of the segment from byte `offset` on are about to go; `lost`: they had never been on disk.
pub(super) fn take(c: &Connection, segment: &SegmentRow, beyond: u64, lost: bool) -> Result<(), StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT start, start + duration_us, bytes FROM fragments WHERE segment_id = ?1 AND offset + bytes > ?2",
    )?;
    let mut rows = statement.query(params![segment.id, beyond as i64])?;
    let mut hours: std::collections::BTreeMap<UtcMicros, Counts> = std::collections::BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (start, end): (UtcMicros, UtcMicros) = (row.get(0)?, row.get(1)?);
        let mut bytes: i64 = row.get(2)?;
        for (hour, us) in hours_of(start, end.max(start.add_micros(1))) {
            let counts = hours.entry(hour).or_default();
            if lost {
                counts.stored_us -= us;
                counts.bytes -= std::mem::take(&mut bytes);
            } else {
                counts.evicted_us += us;
            }
        }
    }
    hours.into_iter().try_for_each(|(hour, counts)| add(c, &segment.camera, segment.stream, hour, counts))
}

/// The hours that `[start, end)` touches, with its microseconds in each.
fn hours_of(start: UtcMicros, end: UtcMicros) -> impl Iterator<Item = (UtcMicros, i64)> {
    let first = start.0.div_euclid(HOUR_US);
    let last = (end.0 - 1).div_euclid(HOUR_US);
    let pieces = (first..=last).map(move |n| {
        let hour = n * HOUR_US;
        (UtcMicros(hour), end.0.min(hour + HOUR_US) - start.0.max(hour))
    });
    pieces.filter(|(_, us)| *us > 0)
}

fn list(c: &Connection, filter: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<CoverageRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM coverage WHERE {filter}"))?;
    let rows = statement.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<CoverageRow> {
    Ok(CoverageRow {
        camera: row.get(0)?,
        stream: row.get(1)?,
        hour: row.get(2)?,
        expected_us: row.get(3)?,
        stored_us: row.get(4)?,
        evicted_us: row.get(5)?,
        bytes: row.get(6)?,
        closed: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_counted_in_the_hours_it_touches() {
        let hours = |start: i64, end: i64| -> Vec<(i64, i64)> {
            hours_of(UtcMicros(start), UtcMicros(end)).map(|(hour, us)| (hour.0 / HOUR_US, us)).collect()
        };
        assert_eq!(hours(5, 10), [(0, 5)]);
        assert_eq!(hours(HOUR_US - 3, HOUR_US), [(0, 3)]);
        assert_eq!(hours(HOUR_US - 3, 2 * HOUR_US + 4), [(0, 3), (1, HOUR_US), (2, 4)]);
        assert_eq!(hours(7, 7), []);
    }
}
