//! The end of the rows of objects: some time after their files went, when nothing names them any more.

use rusqlite::params;

use super::{Store, StoreError};
use crate::base::time::UtcMicros;

impl Store {
    /// Forgets objects whose files went before `time`, but for those that a passage, a record or an unfinished upload names.
    /// Returns how many, at most `limit`.
    pub async fn forget_objects(&self, time: UtcMicros, limit: usize) -> Result<usize, StoreError> {
        self.write("forget old objects", move |tx| {
            let mut statement = tx.prepare_cached(
                "DELETE FROM objects WHERE sha256 IN (
                    SELECT sha256 FROM objects o WHERE o.deleted_at < ?1
                        AND NOT EXISTS (SELECT 1 FROM outbox_objects x WHERE x.sha256 = o.sha256)
                        AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.sha256 = o.sha256)
                        AND NOT EXISTS (SELECT 1 FROM detections d WHERE d.crop = o.sha256)
                        AND NOT EXISTS (SELECT 1 FROM detections d WHERE d.frame = o.sha256)
                        AND NOT EXISTS (SELECT 1 FROM detections d WHERE d.clip = o.sha256)
                    LIMIT ?2)",
            )?;
            Ok(statement.execute(params![time, limit as i64])?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::tests::{open, passage};
    use crate::store::{Begun, Bucket, DetectionRow, ObjectRef};

    #[tokio::test]
    async fn an_object_is_forgotten_when_nothing_names_it() {
        let (store, _folder) = open();
        let put = async |bytes: &'static [u8]| -> ObjectRef {
            store.put_object(Bytes::from_static(bytes), "image/jpeg", Bucket::LprImages).await.unwrap()
        };
        let (crop, frame, kept) = (put(b"crop").await, put(b"frame").await, put(b"kept").await);
        let row = DetectionRow { crop: Some(crop.clone()), frame: Some(frame.clone()), ..passage("ABC1D23", 100) };
        store.insert_detection(row).await.unwrap();
        let later = UtcMicros::now().add_micros(1_000_000);
        let forget = async || store.forget_objects(later, 9).await.unwrap();
        assert_eq!(forget().await, 0, "their files are here");
        for object in [&crop, &frame] {
            store.delete_object(&object.sha256).await.unwrap();
        }
        store.write("deliver", |tx| Ok(tx.execute("DELETE FROM outbox", [])?)).await.unwrap();
        assert_eq!(store.forget_objects(UtcMicros(1), 9).await.unwrap(), 0, "not long enough ago");
        assert_eq!(forget().await, 0, "the passage names them");
        assert_eq!(store.expire_detections(later, 9).await.unwrap(), 1);
        let begun = Begun { place: "keys".to_owned(), upload: "1".to_owned(), part_bytes: 5, begun_at: later };
        store.upload_begun(&frame.sha256, begun).await.unwrap();
        assert_eq!(forget().await, 1, "an upload names the other");
        store.forget_upload(&frame.sha256, "1").await.unwrap();
        assert_eq!(forget().await, 1);
        assert_eq!(store.object(&crop.sha256).await.unwrap(), None);
        assert!(store.object(&kept.sha256).await.unwrap().is_some());

        let again = put(b"crop").await;
        store.insert_detection(DetectionRow { crop: Some(again.clone()), ..passage("BRA2E19", 200) }).await.unwrap();
        store.delete_object(&again.sha256).await.unwrap();
        assert_eq!(store.expire_detections(later, 9).await.unwrap(), 1);
        assert_eq!(forget().await, 0, "its record is on its way");
    }

    /// Without indexes SQLite reads all passages for each object that goes.
    #[tokio::test]
    async fn foreign_keys_are_looked_up() {
        let (store, _folder) = open();
        let (roots, opened) = store
            .write("explain", |tx| {
                let mut statement = tx.prepare(
                    "SELECT rootpage FROM sqlite_schema
                     WHERE name IN ('detections_crop', 'detections_frame', 'detections_clip', 'outbox_objects_sha')",
                )?;
                let roots = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
                let mut statement = tx.prepare("EXPLAIN DELETE FROM objects WHERE sha256 = 'a'")?;
                let codes = statement.query_map([], |row| Ok((row.get::<_, String>("opcode")?, row.get("p2")?)))?;
                let codes = codes.collect::<Result<Vec<(String, i64)>, _>>()?;
                Ok((roots, codes.into_iter().filter(|(code, _)| code == "OpenRead").map(|(_, page)| page).collect()))
            })
            .await
            .map(|(roots, opened): (Vec<i64>, Vec<i64>)| (roots, opened))
            .unwrap();
        assert_eq!(roots.len(), 4);
        assert!(roots.iter().all(|root| opened.contains(root)), "{roots:?} {opened:?}");
    }
}
