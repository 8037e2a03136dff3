//! What a timeline shows of a camera: recorded stretches, gaps, passages and alerts, each joined to about a pixel of it,
//! so that a month costs the page no more than a minute.

use rusqlite::{Connection, OptionalExtension, params};

use super::recordings::{gaps, segment_times};
use super::rows::{FragmentAt, Mark, Severity, Stream, TimelineGap, TimelineRow};
use super::sql::unsigned;
use super::{Store, StoreError};
use crate::base::ids::{CameraId, DetectionId};
use crate::base::time::UtcMicros;

/// Alerts of one answer: the newest of them.
const ALERTS_MAX: i64 = 2000;

impl Store {
    /// `[from, to)` of one camera. What is closer together than `bucket_us` is one entry; the stream is the main one
    /// where that has anything to show, else the other.
    pub async fn timeline(
        &self,
        camera: &CameraId,
        from: UtcMicros,
        to: UtcMicros,
        bucket_us: i64,
    ) -> Result<TimelineRow, StoreError> {
        let camera = camera.clone();
        let bucket_us = bucket_us.max(1);
        self.read("read the timeline", move |c| {
            let mut stream = Stream::Main;
            let mut recorded = segment_times(c, &camera, stream, from, to)?;
            if recorded.is_empty() {
                let other = segment_times(c, &camera, Stream::Sub, from, to)?;
                if !other.is_empty() {
                    (stream, recorded) = (Stream::Sub, other);
                }
            }
            Ok(TimelineRow {
                stream,
                spans: joined(recorded, bucket_us),
                gaps: joined_gaps(c, &camera, stream, from, to, bucket_us)?,
                detections: passages(c, &camera, from, to, bucket_us)?,
                alerts: alerts(c, &camera, from, to, bucket_us)?,
            })
        })
        .await
    }

    /// The passage after or before `at` at any of `cameras`.
    pub async fn passage_beside(
        &self,
        cameras: &[CameraId],
        at: UtcMicros,
        forward: bool,
    ) -> Result<Option<(CameraId, DetectionId, UtcMicros)>, StoreError> {
        let cameras = cameras.to_vec();
        self.read("find the passage beside a time", move |c| {
            let sql = if forward {
                "SELECT camera, id, best_at FROM detections WHERE camera = ?1 AND n > ?2 ORDER BY n LIMIT 1"
            } else {
                "SELECT camera, id, best_at FROM detections WHERE camera = ?1 AND n < ?2 ORDER BY n DESC LIMIT 1"
            };
            let mut statement = c.prepare_cached(sql)?;
            let mut found = Vec::new();
            for camera in &cameras {
                let row: Option<(CameraId, DetectionId, UtcMicros)> = statement
                    .query_one(params![camera, at], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .optional()?;
                found.extend(row);
            }
            let time = |row: &(CameraId, DetectionId, UtcMicros)| row.2;
            Ok(if forward { found.into_iter().min_by_key(time) } else { found.into_iter().max_by_key(time) })
        })
        .await
    }

    /// The fragment that begins with the key frame nearest to `at`, no further away than `within_us`.
    pub async fn key_fragment_near(
        &self,
        camera: &CameraId,
        stream: Stream,
        at: UtcMicros,
        within_us: i64,
    ) -> Result<Option<FragmentAt>, StoreError> {
        let camera = camera.clone();
        self.read("find a key frame", move |c| {
            let before = key_fragment(c, &camera, stream, at, BEFORE)?;
            let after = key_fragment(c, &camera, stream, at, AFTER)?;
            let distance = |row: &FragmentAt| row.start.since(at).abs();
            let found = before.into_iter().chain(after).min_by_key(distance);
            Ok(found.filter(|row| distance(row) <= within_us))
        })
        .await
    }
}

// Two segments on each side are looked at: the nearest one may begin with a fragment that has no key frame.
const BEFORE: &str = "SELECT s.id, s.path, f.offset, f.bytes, f.start, f.duration_us, s.init_id, f.key, f.frames
     FROM (SELECT id, path, init_id FROM segments WHERE camera = ?1 AND stream = ?2 AND start <= ?3
           ORDER BY start DESC LIMIT 2) s
     JOIN fragments f ON f.segment_id = s.id WHERE f.key = 1 AND f.start <= ?3 ORDER BY f.start DESC LIMIT 1";
const AFTER: &str = "SELECT s.id, s.path, f.offset, f.bytes, f.start, f.duration_us, s.init_id, f.key, f.frames
     FROM (SELECT id, path, init_id FROM segments WHERE camera = ?1 AND stream = ?2
              AND start >= coalesce((SELECT max(start) FROM segments
                                     WHERE camera = ?1 AND stream = ?2 AND start <= ?3), ?3)
           ORDER BY start LIMIT 2) s
     JOIN fragments f ON f.segment_id = s.id WHERE f.key = 1 AND f.start > ?3 ORDER BY f.start LIMIT 1";

fn key_fragment(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    at: UtcMicros,
    sql: &str,
) -> Result<Option<FragmentAt>, StoreError> {
    let mut statement = c.prepare_cached(sql)?;
    Ok(statement.query_one(params![camera, stream, at], fragment_at).optional()?)
}

/// The columns of [`BEFORE`] and of the search for fragments.
pub(super) fn fragment_at(row: &rusqlite::Row<'_>) -> rusqlite::Result<FragmentAt> {
    Ok(FragmentAt {
        segment_id: row.get(0)?,
        path: row.get(1)?,
        offset: unsigned(row, 2)?,
        bytes: unsigned(row, 3)?,
        start: row.get(4)?,
        duration_us: row.get(5)?,
        init_id: row.get(6)?,
        key: row.get(7)?,
        frames: row.get(8)?,
    })
}

/// Joins sorted stretches whose pause is shorter than a bucket; such a pause is told by its gap.
fn joined(sorted: Vec<(UtcMicros, UtcMicros)>, bucket_us: i64) -> Vec<(UtcMicros, UtcMicros)> {
    let mut joined: Vec<(UtcMicros, UtcMicros)> = Vec::new();
    for (start, end) in sorted {
        match joined.last_mut() {
            Some(last) if start.since(last.1) < bucket_us.max(1_000_000) => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// Gaps whose beginnings fall into the same bucket are one, with the reason of the longest and their sum.
fn joined_gaps(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    from: UtcMicros,
    to: UtcMicros,
    bucket_us: i64,
) -> Result<Vec<TimelineGap>, StoreError> {
    let mut out: Vec<(i64, TimelineGap)> = Vec::new();
    let mut longest = 0;
    for gap in gaps(c, camera, stream, from, to)? {
        let (start, end) = (gap.start.max(from), gap.end.min(to));
        let missing_us = end.since(start);
        let bucket = start.since(from) / bucket_us;
        match out.last_mut() {
            Some((last_bucket, last)) if *last_bucket == bucket => {
                last.end = last.end.max(end);
                last.missing_us += missing_us;
                last.count += 1;
                if missing_us > longest {
                    (last.reason, longest) = (gap.reason, missing_us);
                }
            }
            _ => {
                longest = missing_us;
                out.push((bucket, TimelineGap { start, end, missing_us, count: 1, reason: gap.reason }));
            }
        }
    }
    Ok(out.into_iter().map(|(_, gap)| gap).collect())
}

fn passages(
    c: &Connection,
    camera: &CameraId,
    from: UtcMicros,
    to: UtcMicros,
    bucket_us: i64,
) -> Result<Vec<Mark>, StoreError> {
    // The index by camera holds `n`, which is the time: the table itself is read once a bucket.
    let mut buckets = c.prepare_cached(
        "SELECT min(n), count(*) FROM detections WHERE camera = ?1 AND n >= ?2 AND n < ?3
         GROUP BY (n - ?2) / ?4 ORDER BY 1",
    )?;
    let mut row_of = c.prepare_cached("SELECT id, best_at FROM detections WHERE n = ?1")?;
    let mut rows = buckets.query(params![camera, from, to, bucket_us])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        let (n, count): (i64, u32) = (row.get(0)?, row.get(1)?);
        let (id, at): (DetectionId, UtcMicros) = row_of.query_one([n], |row| Ok((row.get(0)?, row.get(1)?)))?;
        marks.push(Mark { at, count, detection: Some(id), severity: None });
    }
    Ok(marks)
}

fn alerts(
    c: &Connection,
    camera: &CameraId,
    from: UtcMicros,
    to: UtcMicros,
    bucket_us: i64,
) -> Result<Vec<Mark>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT at, severity, detection FROM alerts WHERE at >= ?2 AND at < ?3 AND camera = ?1
         ORDER BY at DESC LIMIT ?4",
    )?;
    let mut rows = statement.query(params![camera, from, to, ALERTS_MAX])?;
    let mut marks: Vec<(i64, Mark)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (at, severity): (UtcMicros, Severity) = (row.get(0)?, row.get(1)?);
        let bucket = at.since(from) / bucket_us;
        match marks.last_mut() {
            Some((last, mark)) if *last == bucket => {
                mark.count += 1;
                mark.severity = mark.severity.take().max(Some(severity));
            }
            _ => marks.push((bucket, Mark { at, count: 1, detection: row.get(2)?, severity: Some(severity) })),
        }
    }
    marks.reverse();
    Ok(marks.into_iter().map(|(_, mark)| mark).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_join_over_pauses_that_nobody_could_see() {
        let at = |pairs: &[(i64, i64)]| -> Vec<(UtcMicros, UtcMicros)> {
            pairs.iter().map(|&(a, b)| (UtcMicros(a * 1_000_000), UtcMicros(b * 1_000_000))).collect()
        };
        let rows = at(&[(0, 60), (60, 120), (125, 180), (300, 360)]);
        assert_eq!(joined(rows.clone(), 60_000_000), at(&[(0, 180), (300, 360)]));
        assert_eq!(joined(rows, 1), at(&[(0, 120), (125, 180), (300, 360)]), "a rotation is never a pause");
    }
}
