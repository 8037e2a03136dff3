//! Evidence locks: spans of a camera that nobody's retention may touch until somebody lifts the lock.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::rows::{LockRow, SegmentRow};
use super::sql::{Text, unsigned};
use super::{Store, StoreError};
use crate::base::ids::CameraId;

/// Locks of one box. Each is looked at for every segment that might go.
pub const LOCKS_MAX: usize = 1000;

const COLUMNS: &str = "id, camera, start, \"end\", reason, created_at, created_by";

/// Condition on a row of `segments`: no lock holds any part of it.
pub(super) const UNLOCKED: &str = "NOT EXISTS (SELECT 1 FROM locks
    WHERE locks.camera = segments.camera AND locks.start < segments.\"end\" AND locks.\"end\" > segments.start)";

/// Condition on a row of `detections`: no lock holds any part of its passage.
pub(super) const PASSAGE_UNLOCKED: &str = "NOT EXISTS (SELECT 1 FROM locks WHERE locks.camera = detections.camera
    AND locks.start < detections.last_seen AND locks.\"end\" > detections.first_seen)";

/// Condition on a row of `objects`: it is no crop, frame or clip of a passage that a lock holds. They are made within
/// minutes of the passage; the hour bounds what is looked at.
pub(super) const OBJECT_UNLOCKED: &str = "NOT EXISTS (SELECT 1 FROM locks JOIN detections
    ON detections.camera = locks.camera
        AND detections.n BETWEEN objects.created_at - 3600000000 AND objects.created_at + 3600000000
    WHERE locks.start < detections.last_seen AND locks.\"end\" > detections.first_seen
        AND objects.sha256 IN (detections.crop, detections.frame, detections.clip))";

impl Store {
    /// Keeps what shows any part of the span, both streams, also what is recorded later.
    pub async fn create_lock(&self, lock: LockRow) -> Result<(), StoreError> {
        self.write("lock evidence", move |tx| {
            let count: i64 = tx.prepare_cached("SELECT count(*) FROM locks")?.query_one([], |row| row.get(0))?;
            if count as usize >= LOCKS_MAX {
                let remedy = format!("a box keeps at most {LOCKS_MAX}: lift those that are not needed any more");
                return Err(StoreError::conflict("evidence locks", remedy));
            }
            tx.prepare_cached("INSERT INTO locks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
                Text(lock.id),
                lock.camera,
                lock.start,
                lock.end,
                lock.reason,
                lock.created_at,
                lock.created_by
            ])?;
            Ok(())
        })
        .await
    }

    /// Lifts a lock and returns what it was; `None` where there is no such lock.
    pub async fn delete_lock(&self, id: Uuid) -> Result<Option<LockRow>, StoreError> {
        self.write("lift an evidence lock", move |tx| {
            let lock = tx
                .prepare_cached(&format!("SELECT {COLUMNS} FROM locks WHERE id = ?1"))?
                .query_one([Text(id)], read)
                .optional()?;
            tx.prepare_cached("DELETE FROM locks WHERE id = ?1")?.execute([Text(id)])?;
            Ok(lock)
        })
        .await
    }

    /// Newest span first; of all cameras, or of one.
    pub async fn locks(&self, camera: Option<CameraId>) -> Result<Vec<LockRow>, StoreError> {
        self.read("list evidence locks", move |c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM locks WHERE ?1 IS NULL OR camera = ?1 ORDER BY start DESC, id"
            ))?;
            let rows = statement.query_map([camera], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Bytes of recordings that locks hold.
    pub async fn locked_bytes(&self) -> Result<u64, StoreError> {
        self.read("sum up locked recordings", |c| {
            let sum = format!("SELECT coalesce(sum(bytes), 0) FROM segments WHERE NOT ({UNLOCKED})");
            // Most boxes have no lock, and the sum looks at every segment.
            let any: bool = c.prepare_cached("SELECT EXISTS (SELECT 1 FROM locks)")?.query_one([], |row| row.get(0))?;
            if !any {
                return Ok(0);
            }
            Ok(c.prepare_cached(&sum)?.query_one([], |row| unsigned(row, 0))?)
        })
        .await
    }
}

/// Whether a lock holds any part of the segment.
pub(super) fn is_locked(c: &Connection, segment: &SegmentRow) -> Result<bool, StoreError> {
    let mut statement = c.prepare_cached("SELECT 1 FROM locks WHERE camera = ?1 AND start < ?3 AND \"end\" > ?2")?;
    Ok(statement.exists(params![segment.camera, segment.start, segment.end])?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<LockRow> {
    Ok(LockRow {
        id: row.get::<_, Text<Uuid>>(0)?.0,
        camera: row.get(1)?,
        start: row.get(2)?,
        end: row.get(3)?,
        reason: row.get(4)?,
        created_at: row.get(5)?,
        created_by: row.get(6)?,
    })
}
