//! Uploads in parts that are under way: what the object store has of them already.

use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use super::error::StoreError;
use super::sql::unsigned;
use crate::base::time::UtcMicros;

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
            let found = statement.query_one([&sha256], |row| {
                Ok(Begun {
                    place: row.get(0)?,
                    upload: row.get(1)?,
                    part_bytes: unsigned(row, 2)?,
                    begun_at: row.get(3)?,
                })
            });
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

    /// Forgets an upload that cannot go on.
    pub async fn forget_upload(&self, sha256: &str) -> Result<(), StoreError> {
        let sha256 = sha256.to_owned();
        self.write("forget an upload", move |tx| forget(tx, &sha256)).await
    }
}

/// The upload came to its end, whichever.
pub(super) fn forget(c: &Connection, sha256: &str) -> Result<(), StoreError> {
    c.prepare_cached("DELETE FROM uploads WHERE sha256 = ?1")?.execute([sha256])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::Bucket;
    use crate::store::tests::open;

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
        for end in ["uploaded", "lost", "forgotten"] {
            store.mark_not_uploaded(sha256).await.unwrap();
            begin().await;
            assert_eq!(store.unfinished_upload(sha256).await.unwrap(), Some(with_parts.clone()));
            match end {
                "uploaded" => store.mark_uploaded(sha256).await.unwrap(),
                "lost" => store.mark_object_lost(sha256, "the file is gone").await.unwrap(),
                _ => store.forget_upload(sha256).await.unwrap(),
            }
            assert_eq!(store.unfinished_upload(sha256).await.unwrap(), None, "{end}");
        }
        begin().await;
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.unfinished_upload(sha256).await.unwrap(), Some(with_parts), "a restart forgets nothing");
    }
}
