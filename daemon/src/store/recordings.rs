//! What is recorded when: playback lookups, the coverage ledger and totals. `segments.rs` writes.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{FragmentAt, GapRow, InitRow, Interval, RecordingTotals, Span, Stream};
use super::segments::enqueue_gap;
use super::sql::unsigned;
use super::timeline::fragment_at;
use super::{Store, StoreError};
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// Pauses up to this long between two segments are the same span: a rotation is not a gap.
const SAME_SPAN_US: i64 = 1_000_000;

impl Store {
    /// The fragments that show any part of `[from, to)`, in order.
    pub async fn fragments_between(
        &self,
        camera: &CameraId,
        stream: Stream,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<FragmentAt>, StoreError> {
        let camera = camera.clone();
        self.read("find recorded fragments", move |c| fragments(c, &camera, stream, from, to)).await
    }

    pub async fn init(&self, id: &str) -> Result<Option<InitRow>, StoreError> {
        let id = id.to_owned();
        self.read("read decoder settings", move |c| {
            let mut statement =
                c.prepare_cached("SELECT id, data, mime, codec, width, height FROM inits WHERE id = ?1")?;
            let row = statement.query_one([&id], |row| {
                Ok(InitRow {
                    id: row.get(0)?,
                    data: row.get(1)?,
                    mime: row.get(2)?,
                    codec: row.get(3)?,
                    width: row.get(4)?,
                    height: row.get(5)?,
                })
            });
            Ok(row.optional()?)
        })
        .await
    }

    /// Recorded time within `[from, to)`, main stream first, merged over segment borders, without the known gaps.
    pub async fn spans(&self, camera: &CameraId, from: UtcMicros, to: UtcMicros) -> Result<Vec<Span>, StoreError> {
        let camera = camera.clone();
        self.read("list recorded time", move |c| {
            let mut all = Vec::new();
            for stream in [Stream::Main, Stream::Sub] {
                let recorded = segment_times(c, &camera, stream, from, to)?;
                let gaps = gaps(c, &camera, stream, from, to)?;
                let missing = gaps.iter().map(|gap| (gap.start, gap.end));
                let merged = subtract(merge(recorded), missing);
                all.extend(merged.into_iter().map(|(start, end)| Span { stream, start, end }));
            }
            Ok(all)
        })
        .await
    }

    pub async fn gaps(
        &self,
        camera: &CameraId,
        stream: Stream,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<GapRow>, StoreError> {
        let camera = camera.clone();
        self.read("list gaps", move |c| gaps(c, &camera, stream, from, to)).await
    }

    /// Enters a gap into the coverage ledger, but for what is entered already; one that continues the last with the same
    /// reason extends it.
    pub async fn put_gap(
        &self,
        camera: &CameraId,
        stream: Stream,
        start: UtcMicros,
        end: UtcMicros,
        reason: &str,
    ) -> Result<(), StoreError> {
        let (camera, reason) = (camera.clone(), reason.to_owned());
        self.write("note a gap", move |tx| note_gap(tx, &camera, stream, start, end, &reason)).await
    }

    pub async fn recording_totals(&self) -> Result<Vec<RecordingTotals>, StoreError> {
        self.read("sum up recordings", |c| {
            let mut statement = c.prepare_cached(
                "SELECT camera, stream, segments, bytes, frames,
                    (SELECT min(start) FROM segments s WHERE s.camera = t.camera AND s.stream = t.stream),
                    (SELECT \"end\" FROM segments s WHERE s.camera = t.camera AND s.stream = t.stream
                     ORDER BY start DESC LIMIT 1)
                 FROM recording_totals t ORDER BY camera, stream",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(RecordingTotals {
                    camera: row.get(0)?,
                    stream: row.get(1)?,
                    segments: unsigned(row, 2)?,
                    bytes: unsigned(row, 3)?,
                    frames: unsigned(row, 4)?,
                    oldest: row.get(5)?,
                    newest: row.get(6)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn fragments(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    from: UtcMicros,
    to: UtcMicros,
) -> Result<Vec<FragmentAt>, StoreError> {
    // Segments of one stream never overlap (R3), so the one that starts last before `from` is the earliest of use.
    let mut statement = c.prepare_cached(
        "SELECT s.id, s.path, f.offset, f.bytes, f.start, f.duration_us, s.init_id, f.key, f.frames
         FROM segments s JOIN fragments f ON f.segment_id = s.id
         WHERE s.camera = ?1 AND s.stream = ?2 AND s.start < ?4 AND s.\"end\" > ?3
            AND s.start >= coalesce((SELECT max(start) FROM segments
                                     WHERE camera = ?1 AND stream = ?2 AND start <= ?3), ?3)
            AND f.start < ?4 AND f.start + f.duration_us > ?3
         ORDER BY s.start, f.offset",
    )?;
    let rows = statement.query_map(params![camera, stream, from, to], fragment_at)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn segment_times(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    from: UtcMicros,
    to: UtcMicros,
) -> Result<Vec<(UtcMicros, UtcMicros)>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT max(start, ?3), min(\"end\", ?4) FROM segments
         WHERE camera = ?1 AND stream = ?2 AND start < ?4 AND \"end\" > ?3
            AND start >= coalesce((SELECT max(start) FROM segments
                                   WHERE camera = ?1 AND stream = ?2 AND start <= ?3), ?3)
         ORDER BY start",
    )?;
    let rows = statement.query_map(params![camera, stream, from, to], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn gaps(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    from: UtcMicros,
    to: UtcMicros,
) -> Result<Vec<GapRow>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT camera, stream, start, \"end\", reason FROM gaps
         WHERE camera = ?1 AND stream = ?2 AND start < ?4 AND \"end\" > ?3 ORDER BY start",
    )?;
    let rows = statement.query_map(params![camera, stream, from, to], |row| {
        Ok(GapRow {
            camera: row.get(0)?,
            stream: row.get(1)?,
            start: row.get(2)?,
            end: row.get(3)?,
            reason: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What of `[from, to)` has neither video nor a gap with its reason.
pub(super) fn holes(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    from: UtcMicros,
    to: UtcMicros,
) -> Result<Vec<Interval>, StoreError> {
    let recorded = fragments(c, camera, stream, from, to)?;
    let mut known: Vec<Interval> = recorded.iter().map(|at| (at.start, at.start.add_micros(at.duration_us))).collect();
    known.extend(gaps(c, camera, stream, from, to)?.iter().map(|gap| (gap.start, gap.end)));
    known.sort_unstable();
    Ok(subtract(vec![(from, to)], merge(known).into_iter()))
}

/// Inside the caller's transaction: the rows of what is not entered yet, and their records.
pub(super) fn note_gap(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    start: UtcMicros,
    end: UtcMicros,
    reason: &str,
) -> Result<(), StoreError> {
    if end <= start {
        return Ok(());
    }
    let entered = gaps(c, camera, stream, start, end)?;
    for (start, end) in subtract(vec![(start, end)], entered.iter().map(|gap| (gap.start, gap.end))) {
        put_gap(c, camera, stream, start, end, reason)?;
        enqueue_gap(c, camera, stream, start, end, reason)?;
    }
    Ok(())
}

fn put_gap(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    start: UtcMicros,
    end: UtcMicros,
    reason: &str,
) -> Result<(), StoreError> {
    let mut last = c.prepare_cached(
        "SELECT id, \"end\" FROM gaps WHERE camera = ?1 AND stream = ?2 AND start <= ?3 AND reason = ?4
         ORDER BY start DESC LIMIT 1",
    )?;
    let last: Option<(i64, UtcMicros)> =
        last.query_one(params![camera, stream, start, reason], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match last {
        Some((id, last_end)) if start.since(last_end) <= SAME_SPAN_US => {
            c.prepare_cached("UPDATE gaps SET \"end\" = max(\"end\", ?2) WHERE id = ?1")?.execute(params![id, end])?;
        }
        _ => {
            c.prepare_cached("INSERT INTO gaps (camera, stream, start, \"end\", reason) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![camera, stream, start, end, reason])?;
        }
    }
    Ok(())
}

/// Joins sorted intervals that touch or nearly do.
fn merge(sorted: Vec<Interval>) -> Vec<Interval> {
    let mut merged: Vec<Interval> = Vec::new();
    for (start, end) in sorted {
        match merged.last_mut() {
            Some(last) if start.since(last.1) <= SAME_SPAN_US => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// Takes sorted `holes` out of sorted, separate `spans`.
fn subtract(spans: Vec<Interval>, holes: impl Iterator<Item = Interval>) -> Vec<Interval> {
    let mut left = spans;
    for (hole_start, hole_end) in holes {
        left = left
            .into_iter()
            .flat_map(|(start, end)| [(start, end.min(hole_start)), (start.max(hole_end), end)])
            .filter(|(start, end)| start < end)
            .collect();
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pairs: &[(i64, i64)]) -> Vec<Interval> {
        pairs.iter().map(|&(a, b)| (UtcMicros(a * 1_000_000), UtcMicros(b * 1_000_000))).collect()
    }

    #[test]
    fn spans_merge_over_rotation_and_lose_gaps() {
        let spans = merge(at(&[(0, 60), (60, 120), (121, 180), (200, 260)]));
        assert_eq!(spans, at(&[(0, 180), (200, 260)]));
        assert_eq!(subtract(spans, at(&[(10, 20), (170, 210)]).into_iter()), at(&[(0, 10), (20, 170), (210, 260)]));
    }

    #[test]
    fn a_gap_outside_changes_nothing() {
        assert_eq!(subtract(at(&[(10, 20)]), at(&[(0, 5), (30, 40)]).into_iter()), at(&[(10, 20)]));
    }
}
