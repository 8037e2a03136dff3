//! Content-addressed files: crops, frames and clips. The file is durable before its row, and goes after it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::StoreError;
use super::events::StoreEvent;
use super::rows::{Bucket, ObjectRef};
use super::sql::unsigned;
use super::{Store, locks, outbox, unfinished, whole};
use crate::base::time::UtcMicros;

pub(super) const FOLDER: &str = "objects";
/// Files on their way: never named by a row, so a crash leaves nothing but rubbish here.
const INCOMING: &str = "objects/incoming";

/// See [`Store::spool_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolBytes {
    pub files: u64,
    pub recordings: u64,
}

impl Store {
    /// Keeps `bytes` under their digest; the same bytes twice are one object.
    pub async fn put_object(&self, bytes: Bytes, content_type: &str, bucket: Bucket) -> Result<ObjectRef, StoreError> {
        self.put_object_parts(vec![bytes], content_type, bucket).await
    }

    /// As [`Store::put_object`] for bytes that come in parts (a clip: decoder settings, then fragments).
    pub async fn put_object_parts(
        &self,
        parts: Vec<Bytes>,
        content_type: &str,
        bucket: Bucket,
    ) -> Result<ObjectRef, StoreError> {
        let dir = self.inner.dir.clone();
        let (sha256, bytes) = tokio::task::spawn_blocking(move || keep(&dir, &parts))
            .await
            .map_err(|panic| StoreError::conflict("object", format!("writing its file panicked: {panic}")))??;
        let object = ObjectRef { sha256, bytes, content_type: content_type.to_owned(), bucket };
        let row = object.clone();
        self.write("keep an object", move |tx| {
            // An object that was evicted and comes again must be uploaded only if it never was.
            tx.prepare_cached(
                "INSERT INTO objects (sha256, bytes, content_type, bucket, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (sha256) DO UPDATE SET deleted_at = NULL, lost = NULL",
            )?
            .execute(params![
                row.sha256,
                row.bytes as i64,
                row.content_type,
                row.bucket,
                UtcMicros::now()
            ])?;
            recount(tx, &row.sha256)
        })
        .await?;
        Ok(object)
    }

    /// Where the file of an object is; `None` for a text that is no SHA-256.
    pub fn object_path(&self, sha256: &str) -> Option<PathBuf> {
        path_of(&self.inner.dir, sha256)
    }

    pub async fn object(&self, sha256: &str) -> Result<Option<ObjectRef>, StoreError> {
        let sha256 = sha256.to_owned();
        self.read("read an object row", move |c| get(c, &sha256)).await
    }

    /// The object store has the bytes and confirmed their checksum.
    pub async fn mark_uploaded(&self, sha256: &str) -> Result<(), StoreError> {
        let sha256 = sha256.to_owned();
        self.write("mark an object as uploaded", move |tx| {
            tx.prepare_cached(
                "UPDATE objects SET uploaded_at = ?2, lost = NULL WHERE sha256 = ?1 AND uploaded_at IS NULL",
            )?
            .execute(params![sha256, UtcMicros::now()])?;
            unfinished::forget(tx, &sha256)?;
            recount(tx, &sha256)?;
            tx.publish(StoreEvent::Outbox);
            Ok(())
        })
        .await
    }

    /// The object store says that it does not have these bytes after all: upload again. A record that has its number
    /// keeps it, and the chain is sent again from it on when the upload is done.
    pub async fn mark_not_uploaded(&self, sha256: &str) -> Result<Option<ObjectRef>, StoreError> {
        let sha256 = sha256.to_owned();
        self.write("mark an object as not uploaded", move |tx| {
            tx.prepare_cached("UPDATE objects SET uploaded_at = NULL WHERE sha256 = ?1")?.execute([&sha256])?;
            whole::not_delivered(tx, &sha256)?;
            recount(tx, &sha256)?;
            get(tx, &sha256)
        })
        .await
    }

    /// The file is gone or damaged for good: records that name it are delivered with this reason instead of waiting. The
    /// first reason stays: an upload that was under way finds later only that the file is gone.
    pub async fn mark_object_lost(&self, sha256: &str, reason: &str) -> Result<(), StoreError> {
        let (sha256, reason) = (sha256.to_owned(), reason.to_owned());
        self.write("mark an object as lost", move |tx| {
            tx.prepare_cached(
                "UPDATE objects SET lost = ?2 WHERE sha256 = ?1 AND uploaded_at IS NULL AND lost IS NULL",
            )?
            .execute(params![sha256, reason])?;
            // How far its upload came stays known until the object store was told to remove that.
            recount(tx, &sha256)?;
            tx.publish(StoreEvent::Outbox);
            Ok(())
        })
        .await
    }

    /// Objects older than `time` whose file is still here, oldest first, but for those of locked passages. Those that records on their way to the centre
    /// name are left out (the centre may ask for them until it acknowledges, S1) unless `waiting_too`.
    pub async fn objects_before(
        &self,
        time: UtcMicros,
        limit: usize,
        waiting_too: bool,
    ) -> Result<Vec<ObjectRef>, StoreError> {
        self.read("list old objects", move |c| {
            let acked = outbox::number(c, outbox::ACKED_SEQ)?.unwrap_or(0);
            let mut statement = c.prepare_cached(&format!(
                "SELECT sha256, bytes, content_type, bucket FROM objects
                 WHERE deleted_at IS NULL AND created_at < ?1
                    AND (?4 OR NOT EXISTS (
                        SELECT 1 FROM outbox_objects x JOIN outbox b ON b.id = x.outbox_id
                        WHERE x.sha256 = objects.sha256 AND (b.seq IS NULL OR b.seq > ?3)))
                    AND {}
                 ORDER BY created_at LIMIT ?2",
                locks::OBJECT_UNLOCKED
            ))?;
            let rows = statement.query_map(params![time, limit as i64, acked as i64, waiting_too], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Removes the file of an object; the row stays and tells that it was here.
    pub async fn delete_object(&self, sha256: &str) -> Result<(), StoreError> {
        let Some(path) = self.object_path(sha256) else {
            return Err(StoreError::not_found(format!("object {sha256}")));
        };
        let key = sha256.to_owned();
        self.write("delete an object", move |tx| {
            tx.prepare_cached("UPDATE objects SET deleted_at = ?2 WHERE sha256 = ?1 AND deleted_at IS NULL")?
                .execute(params![key, UtcMicros::now()])?;
            Ok(())
        })
        .await?;
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::file("remove an object", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of the objects that records still wait for: those with a file of their own, which is kept for the upload,
    /// and those of recordings, whose files are kept for themselves.
    pub async fn spool_bytes(&self) -> Result<SpoolBytes, StoreError> {
        self.read("sum up what waits for its upload", |c| {
            let mut statement = c.prepare_cached(
                "SELECT coalesce(sum(iif(deleted_at IS NULL, bytes, 0)), 0),
                    coalesce(sum(iif(deleted_at IS NULL, 0, bytes)), 0)
                 FROM objects o WHERE uploaded_at IS NULL AND lost IS NULL
                    AND EXISTS (SELECT 1 FROM outbox_objects x WHERE x.sha256 = o.sha256)",
            )?;
            Ok(statement
                .query_one([], |row| Ok(SpoolBytes { files: unsigned(row, 0)?, recordings: unsigned(row, 1)? }))?)
        })
        .await
    }

    /// The objects that go first when the spool is full: video before pictures, the oldest first; none of locked passages,
    /// and no recordings, which make no room.
    pub async fn spool_oldest(&self, limit: usize) -> Result<Vec<ObjectRef>, StoreError> {
        self.read("list what waits longest for its upload", move |c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT sha256, bytes, content_type, bucket FROM objects
                 WHERE uploaded_at IS NULL AND lost IS NULL AND deleted_at IS NULL
                    AND EXISTS (SELECT 1 FROM outbox_objects x WHERE x.sha256 = objects.sha256) AND {}
                 ORDER BY bucket <> 'recordings', created_at LIMIT ?1",
                locks::OBJECT_UNLOCKED
            ))?;
            let rows = statement.query_map([limit as i64], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Bytes of all object files.
    pub async fn objects_bytes(&self) -> Result<u64, StoreError> {
        self.read("sum up objects", |c| {
            let mut statement =
                c.prepare_cached("SELECT coalesce(sum(bytes), 0) FROM objects WHERE deleted_at IS NULL")?;
            Ok(statement.query_one([], |row| unsigned(row, 0))?)
        })
        .await
    }
}

/// Counts again what the records that name this object still wait for.
fn recount(c: &Connection, sha256: &str) -> Result<(), StoreError> {
    c.prepare_cached(
        "UPDATE outbox SET missing =
            (SELECT count(*) FROM outbox_objects x JOIN objects o ON o.sha256 = x.sha256
             WHERE x.outbox_id = outbox.id AND o.uploaded_at IS NULL AND o.lost IS NULL)
         WHERE id IN (SELECT outbox_id FROM outbox_objects WHERE sha256 = ?1)",
    )?
    .execute([sha256])?;
    Ok(())
}

pub(super) fn get(c: &Connection, sha256: &str) -> Result<Option<ObjectRef>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT sha256, bytes, content_type, bucket FROM objects WHERE sha256 = ?1")?;
    Ok(statement.query_one([sha256], read).optional()?)
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<ObjectRef> {
    Ok(ObjectRef { sha256: row.get(0)?, bytes: unsigned(row, 1)?, content_type: row.get(2)?, bucket: row.get(3)? })
}

/// The path of a digest under `dir`; refuses everything else, so a request cannot name another file.
pub(super) fn path_of(dir: &Path, sha256: &str) -> Option<PathBuf> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if sha256.len() != 64 || !sha256.bytes().all(hex) {
        return None;
    }
    Some(dir.join(FOLDER).join(&sha256[..2]).join(sha256))
}

/// Empties the folder of files on their way: whoever wrote them is gone.
pub(super) fn remove_leftovers(dir: &Path) -> Result<(), StoreError> {
    let incoming = dir.join(INCOMING);
    match fs::remove_dir_all(&incoming) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::file("remove unfinished objects", &incoming, &e));
        }
        _ => {}
    }
    fs::create_dir_all(&incoming).map_err(|e| StoreError::file("make the folder of objects", &incoming, &e))
}

/// Writes the file durably and returns its digest and size.
fn keep(dir: &Path, parts: &[Bytes]) -> Result<(String, u64), StoreError> {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    let sha256 = hex::encode(digest.finalize());
    let bytes = parts.iter().map(|part| part.len() as u64).sum();
    let Some(path) = path_of(dir, &sha256) else { return Err(StoreError::invalid("object", "has no digest")) };
    if fs::metadata(&path).is_ok_and(|existing| existing.len() == bytes) {
        return Ok((sha256, bytes));
    }
    let temporary = dir.join(INCOMING).join(Uuid::new_v4().to_string());
    let result = write_durably(&temporary, &path, parts).map_err(|e| StoreError::file("keep an object", &path, &e));
    if result.is_err() {
        // The disk may be full: do not leave half a file behind. The error that matters is the one above.
        let _ = fs::remove_file(&temporary);
    }
    result.map(|()| (sha256, bytes))
}

fn write_durably(temporary: &Path, path: &Path, parts: &[Bytes]) -> std::io::Result<()> {
    let mut file = File::create_new(temporary)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    let folder = path.parent().unwrap_or(path);
    if fs::create_dir_all(folder).is_ok()
        && let Some(above) = folder.parent()
    {
        File::open(above)?.sync_all()?;
    }
    fs::rename(temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_bytes_are_one_object_at_a_safe_path() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let first = store.put_object(Bytes::from_static(b"crop"), "image/jpeg", Bucket::LprImages).await.unwrap();
        let again = store
            .put_object_parts(
                vec![Bytes::from_static(b"cr"), Bytes::from_static(b"op")],
                "image/jpeg",
                Bucket::LprImages,
            )
            .await
            .unwrap();
        assert_eq!(first, again);
        assert_eq!(fs::read(store.object_path(&first.sha256).unwrap()).unwrap(), b"crop");
        assert_eq!(store.objects_bytes().await.unwrap(), 4);
        assert!(store.object_path("../../etc/passwd").is_none());
        assert!(store.object_path(&first.sha256.to_uppercase()).is_none());
        store.delete_object(&first.sha256).await.unwrap();
        assert!(!store.object_path(&first.sha256).unwrap().exists());
        assert_eq!(store.object(&first.sha256).await.unwrap(), Some(first));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fs::remove_dir_all(folder.path().join(INCOMING)).unwrap();
        let error = store.put_object(Bytes::from_static(b"x"), "image/jpeg", Bucket::LprImages).await.unwrap_err();
        assert!(error.to_string().contains("objects"), "{error}");
    }
}
