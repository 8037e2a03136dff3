//! Uploads in parts that are under way: what the object store has of them already.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::StoreError;
use super::rows::ObjectRef;
use super::sql::unsigned;
use super::{Store, objects};
use crate::base::time::UtcMicros;

/// Somebody may ask again for a recording whose record had to go: its upload would go on.
const UNNAMED_US: i64 = 3_600_000_000;

/// An upload as it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Way, endpoint and bucket.
    pub place: String,
    /// What the object store calls it.
    pub upload: String,
    pub part_bytes: u64,
    pub begun_at: UtcMicros,
}

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub begun: Begun,
    /// What the object store answered for each part from the first on, without a gap.
    pub receipts: Vec<String>,
}

impl Store {
    /// Remembers that an upload was begun; what was known of an earlier one is forgotten.
    pub async fn upload_begun(&self, sha256: &str, begun: Begun) -> Result<(), StoreError> {
        let sha256 = sha256.to_owned();
        self.write("remember an upload", move |tx| {
            forget(tx, &sha256)?;
            tx.prepare_cached(
                "INSERT INTO uploads (sha256, place, upload, part_bytes, begun_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                sha256,
                begun.place,
                begun.upload,
                begun.part_bytes as i64,
                begun.begun_at
            ])?;
            Ok(())
        })
        .await
    }

    /// Remembers that the object store has a part, from 0; nothing if that upload is not known (any more).
    pub async fn upload_part_done(
        &self,
        sha256: &str,
        upload: &str,
        number: u32,
        receipt: &str,
    ) -> Result<(), StoreError> {
        let (sha256, upload, receipt) = (sha256.to_owned(), upload.to_owned(), receipt.to_owned());
        self.write("remember a part of an upload", move |tx| {
            tx.prepare_cached(
                "INSERT INTO upload_parts (sha256, number, receipt)
                 SELECT sha256, ?3, ?4 FROM uploads WHERE sha256 = ?1 AND upload = ?2
                 ON CONFLICT (sha256, number) DO UPDATE SET receipt = excluded.receipt",
            )?
            .execute(params![sha256, upload, number, receipt])?;
            Ok(())
        })
        .await
    }

    /// The upload of an object that was begun and not finished.
    pub async fn unfinished_upload(&self, sha256: &str) -> Result<Option<Unfinished>, StoreError> {
        let sha256 = sha256.to_owned();
        self.read("read an unfinished upload", move |c| {
            let mut statement =
                c.prepare_cached("SELECT place, upload, part_bytes, begun_at FROM uploads WHERE sha256 = ?1")?;
            let found = statement.query_one([&sha256], |row| begun(row, 0));
            let Some(begun) = found.optional()? else { return Ok(None) };
            let mut receipts = Vec::new();
            let mut statement =
                c.prepare_cached("SELECT number, receipt FROM upload_parts WHERE sha256 = ?1 ORDER BY number")?;
            let parts = statement.query_map([&sha256], |row| Ok((unsigned(row, 0)?, row.get::<_, String>(1)?)))?;
            for part in parts {
                let (number, receipt) = part?;
                if number != receipts.len() as u64 {
                    break;
                }
                receipts.push(receipt);
            }
            Ok(Some(Unfinished { begun, receipts }))
        })
        .await
    }

    /// Forgets an upload that cannot go on; nothing if another one was begun meanwhile.
    pub async fn forget_upload(&self, sha256: &str, upload: &str) -> Result<(), StoreError> {
        let (sha256, upload) = (sha256.to_owned(), upload.to_owned());
        self.write("forget an upload", move |tx| {
            tx.prepare_cached("DELETE FROM uploads WHERE sha256 = ?1 AND upload = ?2")?.execute([sha256, upload])?;
            Ok(())
        })
        .await
    }

    /// Uploads whose object is lost, or that are an hour old and named by no record any more: nobody goes on with them.
    pub async fn abandoned_uploads(&self, limit: usize) -> Result<Vec<(ObjectRef, Begun)>, StoreError> {
        let before = UtcMicros::now().add_micros(-UNNAMED_US);
        self.read("list abandoned uploads", move |c| {
            let mut statement = c.prepare_cached(
                "SELECT o.sha256, o.bytes, o.content_type, o.bucket, u.place, u.upload, u.part_bytes, u.begun_at
                 FROM uploads u JOIN objects o USING (sha256)
                 WHERE o.lost IS NOT NULL OR u.begun_at < ?2
                    AND NOT EXISTS (SELECT 1 FROM outbox_objects x WHERE x.sha256 = o.sha256)
                 LIMIT ?1",
            )?;
            let rows =
                statement.query_map(params![limit as i64, before], |row| Ok((objects::read(row)?, begun(row, 4)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn begun(row: &Row<'_>, first: usize) -> rusqlite::Result<Begun> {
    Ok(Begun {
        place: row.get(first)?,
        upload: row.get(first + 1)?,
        part_bytes: unsigned(row, first + 2)?,
        begun_at: row.get(first + 3)?,
    })
}

/// The object is there, or another upload of it begins.
pub(super) fn forget(c: &Connection, sha256: &str) -> Result<(), StoreError> {
    c.prepare_cached("DELETE FROM uploads WHERE sha256 = ?1")?.execute([sha256])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::tests::{open, passage};
    use crate::store::{Bucket, DetectionRow};

    #[tokio::test]
    async fn parts_are_known_until_the_end_whichever() {
        let (store, folder) = open();
        let object = store.put_object(Bytes::from_static(b"video"), "video/mp4", Bucket::Recordings).await.unwrap();
        let sha256 = object.sha256.as_str();
        assert_eq!(store.unfinished_upload(sha256).await.unwrap(), None);
        let begun = |upload: &str| Begun {
            place: "keys http://s3 recordings".to_owned(),
            upload: upload.to_owned(),
            part_bytes: 5,
            begun_at: UtcMicros(7),
        };
        store.upload_begun(sha256, begun("first")).await.unwrap();
        store.upload_part_done(sha256, "first", 0, "a").await.unwrap();
        store.upload_part_done(sha256, "another", 1, "x").await.unwrap();
        store.upload_part_done(sha256, "first", 2, "c").await.unwrap();
        let receipts = async || store.unfinished_upload(sha256).await.unwrap().unwrap().receipts;
        assert_eq!(receipts().await, ["a"], "up to the gap, and none of another upload");
        store.upload_part_done(sha256, "first", 1, "b").await.unwrap();
        store.upload_part_done(sha256, "first", 1, "again").await.unwrap();
        assert_eq!(receipts().await, ["a", "again", "c"]);

        store.upload_begun(sha256, begun("second")).await.unwrap();
        assert!(receipts().await.is_empty(), "the parts went too");
        let with_parts = Unfinished { begun: begun("third"), receipts: vec!["d".to_owned()] };
        let begin = async || {
            store.upload_begun(sha256, begun("third")).await.unwrap();
            store.upload_part_done(sha256, "third", 0, "d").await.unwrap();
        };
        assert_eq!(store.abandoned_uploads(9).await.unwrap().len(), 1, "no record names it");
        store.insert_detection(DetectionRow { crop: Some(object.clone()), ..passage("ABC1D23", 1) }).await.unwrap();
        for end in ["uploaded", "forgotten"] {
            store.mark_not_uploaded(sha256).await.unwrap();
            begin().await;
            assert_eq!(store.unfinished_upload(sha256).await.unwrap(), Some(with_parts.clone()));
            if end == "uploaded" {
                store.mark_uploaded(sha256).await.unwrap();
            } else {
                store.forget_upload(sha256, "an earlier one").await.unwrap();
                assert!(store.unfinished_upload(sha256).await.unwrap().is_some());
                store.forget_upload(sha256, "third").await.unwrap();
            }
            assert_eq!(store.unfinished_upload(sha256).await.unwrap(), None, "{end}");
        }
        begin().await;
        assert_eq!(store.abandoned_uploads(9).await.unwrap(), []);
        store.mark_object_lost(sha256, "the file is gone").await.unwrap();
        assert_eq!(store.abandoned_uploads(9).await.unwrap(), [(object.clone(), begun("third"))]);
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.unfinished_upload(sha256).await.unwrap(), Some(with_parts), "a restart forgets nothing");
    }
}
