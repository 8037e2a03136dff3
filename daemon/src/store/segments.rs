//! Segment files: opened, filled fragment by fragment, closed, evicted. The rows follow the bytes (invariant R2) and
//! are refused where they would break the timeline (R3) or leave a hole in a file.

use gtv_protocol::body::{Body, Gap, Recording, Tombstone};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::StoreEvent;
use super::outbox::{self, Lane};
use super::rows::{InitRow, NewFragment, NewSegment, SegmentRow, Stream};
use super::sql::unsigned;
use super::writer::Tx;
use super::{Store, StoreError, coverage, locks, recordings};
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

const COLUMNS: &str =
    "id, camera, stream, path, init_id, start, \"end\", bytes, frames, closed, sha256, evidence, synced, clocks";

impl Store {
    /// Keeps decoder settings once, whatever number of segments use them.
    pub async fn put_init(&self, init: &InitRow) -> Result<(), StoreError> {
        let init = init.clone();
        self.write("keep decoder settings", move |tx| {
            tx.prepare_cached("INSERT OR IGNORE INTO inits VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                init.id,
                init.data,
                init.mime,
                init.codec,
                init.width,
                init.height
            ])?;
            Ok(())
        })
        .await
    }

    /// The file exists and holds its head durably when this is called.
    pub async fn open_segment(&self, new: NewSegment) -> Result<i64, StoreError> {
        self.write("open a segment", move |tx| {
            if let Some(last) = last_end(tx, &new.camera, new.stream)?
                && new.start < last
            {
                let detail = format!("starts at {} but the stream is recorded until {last}", new.start);
                return Err(StoreError::conflict(format!("segment {}", new.path), detail));
            }
            tx.prepare_cached(
                "INSERT INTO segments (camera, stream, path, init_id, start, \"end\", bytes, clocks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)",
            )?
            .execute(params![
                new.camera,
                new.stream,
                new.path,
                new.init_id,
                new.start,
                new.head_bytes as i64,
                new.clocks.and_then(|clocks| serde_json::to_string(&clocks).ok())
            ])?;
            let id = tx.last_insert_rowid();
            add_totals(tx, &new.camera, new.stream, 1, new.head_bytes as i64, 0)?;
            Ok(id)
        })
        .await
    }

    /// Commits fragments whose bytes are on disk; all or none.
    pub async fn commit_fragments(&self, fragments: Vec<NewFragment>) -> Result<(), StoreError> {
        self.write("commit fragments", move |tx| fragments.iter().try_for_each(|fragment| commit(tx, fragment))).await
    }

    /// `sha256` is the lower-case hex digest of the whole file.
    pub async fn close_segment(&self, id: i64, sha256: &str) -> Result<(), StoreError> {
        let sha256 = sha256.to_owned();
        self.write("close a segment", move |tx| {
            let Some(segment) = segment(tx, id)? else { return Err(StoreError::not_found(format!("segment {id}"))) };
            if segment.closed {
                return Ok(());
            }
            tx.prepare_cached("UPDATE segments SET closed = 1, sha256 = ?2 WHERE id = ?1")?
                .execute(params![id, sha256])?;
            let (camera, stream, start, end) = (segment.camera.clone(), segment.stream, segment.start, segment.end);
            if end > start {
                let body = Body::Recording(Recording {
                    camera: camera.to_string(),
                    stream: stream.to_string(),
                    start_us: start.0,
                    end_us: end.0,
                    bytes: segment.bytes,
                    frames: segment.frames,
                    sha256: outbox::digest(&sha256)?,
                    mime: mime(tx, &segment.init_id)?,
                    object: None,
                });
                outbox::put(tx, Lane::Bulk, &body, &format!("{camera}/{stream}/{}", start.0), &[])?;
            }
            tx.publish(StoreEvent::SegmentClosed { id, camera, stream, start, end });
            Ok(())
        })
        .await
    }

    pub async fn segment(&self, id: i64) -> Result<Option<SegmentRow>, StoreError> {
        self.read("read a segment", move |c| segment(c, id)).await
    }

    /// What a crash left open, for recovery.
    pub async fn unclosed_segments(&self) -> Result<Vec<SegmentRow>, StoreError> {
        self.read("list open segments", |c| list(c, "closed = 0 ORDER BY id", &[])).await
    }

    /// Closed segments that may be evicted, in the order of eviction: continuous before evidence, synced before
    /// unsynced, oldest first. `camera`: of that one alone; `disk`: what its paths begin with, empty for the data folder.
    pub async fn segments_oldest(
        &self,
        camera: Option<CameraId>,
        disk: Option<String>,
        limit: usize,
    ) -> Result<Vec<SegmentRow>, StoreError> {
        self.read("list segments to evict", move |c| {
            let filter = format!(
                "closed = 1 AND (?1 IS NULL OR camera = ?1)
                    AND (?2 IS NULL OR iif(?2 = '', substr(path, 1, 6) <> 'disks/', substr(path, 1, length(?2)) = ?2))
                    AND {} ORDER BY evidence, synced DESC, start LIMIT ?3",
                locks::UNLOCKED
            );
            list(c, &filter, &[&camera, &disk, &(limit as i64)])
        })
        .await
    }

    /// Closed segments that ended before `time` and that no lock holds, oldest first.
    pub async fn segments_before(&self, time: UtcMicros, limit: usize) -> Result<Vec<SegmentRow>, StoreError> {
        self.read("list old segments", move |c| {
            let filter =
                format!("closed = 1 AND start < ?1 AND \"end\" < ?1 AND {} ORDER BY start LIMIT ?2", locks::UNLOCKED);
            list(c, &filter, &[&time, &(limit as i64)])
        })
        .await
    }

    /// Segments of a stream that hold any part of `[from, to)`.
    pub async fn segments_between(
        &self,
        camera: &CameraId,
        stream: Stream,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<SegmentRow>, StoreError> {
        let camera = camera.clone();
        self.read("list segments", move |c| {
            let filter = "camera = ?1 AND stream = ?2 AND start < ?4 AND \"end\" > ?3 ORDER BY start";
            list(c, filter, &[&camera, &stream, &from, &to])
        })
        .await
    }

    /// Takes the rows of a segment away and returns what they were; the caller removes the file afterwards. Evidence
    /// that the centre does not have leaves a tombstone for it (invariant R5). What a lock holds stays.
    pub async fn evict_segment(&self, id: i64, reason: &str) -> Result<Option<SegmentRow>, StoreError> {
        let reason = reason.to_owned();
        self.write("evict a segment", move |tx| match segment(tx, id)? {
            Some(segment) if !locks::is_locked(tx, &segment)? => remove(tx, segment, reason).map(Some),
            _ => Ok(None),
        })
        .await
    }

    /// As [`Store::evict_segment`] for a segment whose file is lost: a lock cannot keep it.
    pub async fn delete_segment(&self, id: i64, reason: &str) -> Result<Option<SegmentRow>, StoreError> {
        let reason = reason.to_owned();
        self.write("delete a segment", move |tx| match segment(tx, id)? {
            Some(segment) => remove(tx, segment, reason).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// Marks what shows any part of `[from, to)` as evidence, which is evicted last.
    pub async fn mark_evidence(&self, camera: &CameraId, from: UtcMicros, to: UtcMicros) -> Result<usize, StoreError> {
        let camera = camera.clone();
        self.write("mark evidence", move |tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE segments SET evidence = 1
                 WHERE camera = ?1 AND start < ?3 AND \"end\" > ?2 AND evidence = 0
                    AND start >= ?2 - 86400000000",
            )?;
            Ok(statement.execute(params![camera, from, to])?)
        })
        .await
    }

    /// After a crash: the rows of fragments at or beyond `bytes` go, because their bytes are not in the file.
    pub async fn truncate_segment(&self, id: i64, bytes: u64) -> Result<u64, StoreError> {
        self.write("truncate a segment", move |tx| {
            let Some(before) = segment(tx, id)? else { return Err(StoreError::not_found(format!("segment {id}"))) };
            coverage::take(tx, &before, bytes, true)?;
            let removed = tx
                .prepare_cached("DELETE FROM fragments WHERE segment_id = ?1 AND offset + bytes > ?2")?
                .execute(params![id, bytes as i64])?;
            if removed == 0 {
                return Ok(0);
            }
            tx.prepare_cached(
                "UPDATE segments SET
                    bytes = coalesce((SELECT max(offset + bytes) FROM fragments WHERE segment_id = ?1), ?2),
                    frames = coalesce((SELECT sum(frames) FROM fragments WHERE segment_id = ?1), 0),
                    \"end\" = coalesce((SELECT max(start + duration_us) FROM fragments WHERE segment_id = ?1), start)
                 WHERE id = ?1",
            )?
            .execute(params![id, bytes as i64])?;
            if let Some(after) = segment(tx, id)? {
                let bytes = after.bytes as i64 - before.bytes as i64;
                let frames = after.frames as i64 - before.frames as i64;
                add_totals(tx, &before.camera, before.stream, 0, bytes, frames)?;
                let reason = "the disk lost what it had confirmed";
                recordings::note_gap(tx, &before.camera, before.stream, after.end, before.end, reason)?;
            }
            Ok(removed as u64)
        })
        .await
    }
}

pub(super) fn enqueue_gap(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    start: UtcMicros,
    end: UtcMicros,
    reason: &str,
) -> Result<(), StoreError> {
    let body = Body::Gap(Gap {
        camera: camera.to_string(),
        stream: stream.to_string(),
        start_us: start.0,
        end_us: end.0,
        reason: outbox::told(reason),
    });
    outbox::put(c, Lane::Bulk, &body, &format!("{camera}/{stream}/{}", start.0), &[])
}

fn commit(c: &Connection, new: &NewFragment) -> Result<(), StoreError> {
    let Some(segment) = segment(c, new.segment_id)? else {
        return Err(StoreError::not_found(format!("segment {}", new.segment_id)));
    };
    let refuse = |detail: String| Err(StoreError::conflict(format!("fragment of segment {}", segment.path), detail));
    if segment.closed {
        return refuse("the segment is closed".to_owned());
    }
    if new.offset != segment.bytes {
        return refuse(format!("begins at byte {} but the file is accounted for up to {}", new.offset, segment.bytes));
    }
    if new.start < segment.end || new.duration_us < 0 {
        return refuse(format!("begins at {} but the segment is recorded until {}", new.start, segment.end));
    }
    c.prepare_cached("INSERT INTO fragments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        new.segment_id,
        new.offset as i64,
        new.bytes as i64,
        new.start,
        new.duration_us,
        new.frames,
        new.key
    ])?;
    c.prepare_cached("UPDATE segments SET bytes = bytes + ?2, frames = frames + ?3, \"end\" = ?4 WHERE id = ?1")?
        .execute(params![new.segment_id, new.bytes as i64, new.frames, new.start.add_micros(new.duration_us)])?;
    coverage::add_stored(c, &segment, new.start, new.duration_us, new.bytes as i64)?;
    add_totals(c, &segment.camera, segment.stream, 0, new.bytes as i64, i64::from(new.frames))
}

fn remove(tx: &Tx<'_>, segment: SegmentRow, reason: String) -> Result<SegmentRow, StoreError> {
    if (segment.evidence && !segment.synced) || locks::is_locked(tx, &segment)? {
        let body = Body::Tombstone(Tombstone {
            what: "segment".to_owned(),
            camera: Some(segment.camera.to_string()),
            stream: Some(segment.stream.to_string()),
            start_us: Some(segment.start.0),
            end_us: Some(segment.end.0),
            bytes: segment.bytes,
            sha256: segment.sha256.as_deref().map(outbox::digest).transpose()?,
            reason: outbox::told(&reason),
        });
        let thing = format!("segment/{}/{}/{}", segment.camera, segment.stream, segment.start.0);
        outbox::put(tx, Lane::Bulk, &body, &thing, &[])?;
    }
    coverage::take(tx, &segment, 0, false)?;
    tx.prepare_cached("DELETE FROM segments WHERE id = ?1")?.execute([segment.id])?;
    let (bytes, frames) = (segment.bytes as i64, segment.frames as i64);
    add_totals(tx, &segment.camera, segment.stream, -1, -bytes, -frames)?;
    Ok(segment)
}

fn add_totals(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    segments: i64,
    bytes: i64,
    frames: i64,
) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO recording_totals VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (camera, stream) DO UPDATE SET
            segments = segments + excluded.segments, bytes = bytes + excluded.bytes, frames = frames + excluded.frames",
    )?
    .execute(params![camera, stream, segments, bytes, frames])?;
    Ok(())
}

fn last_end(c: &Connection, camera: &CameraId, stream: Stream) -> Result<Option<UtcMicros>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT \"end\" FROM segments WHERE camera = ?1 AND stream = ?2 ORDER BY start DESC LIMIT 1")?;
    Ok(statement.query_one(params![camera, stream], |row| row.get(0)).optional()?)
}

fn mime(c: &Connection, init_id: &str) -> Result<Option<String>, StoreError> {
    let mut statement = c.prepare_cached("SELECT mime FROM inits WHERE id = ?1")?;
    Ok(statement.query_one([init_id], |row| row.get(0)).optional()?)
}

fn segment(c: &Connection, id: i64) -> Result<Option<SegmentRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM segments WHERE id = ?1"))?;
    Ok(statement.query_one([id], read).optional()?)
}

fn list(c: &Connection, filter: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<SegmentRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM segments WHERE {filter}"))?;
    let rows = statement.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    Ok(SegmentRow {
        id: row.get(0)?,
        camera: row.get(1)?,
        stream: row.get(2)?,
        path: row.get(3)?,
        init_id: row.get(4)?,
        start: row.get(5)?,
        end: row.get(6)?,
        bytes: unsigned(row, 7)?,
        frames: unsigned(row, 8)?,
        closed: row.get(9)?,
        sha256: row.get(10)?,
        evidence: row.get(11)?,
        synced: row.get(12)?,
        clocks: row.get::<_, Option<String>>(13)?.and_then(|text| serde_json::from_str(&text).ok()),
    })
}
