//! Recordings that go to the centre with their video: asked for by a person, or by the rule of the configuration. Their
//! bytes stay in the segment file; the upload reads them from there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gtv_protocol::body::{Body, Clip};
use gtv_protocol::limits::OBJECT_BYTES_MAX;
use rusqlite::{Connection, params};

use super::outbox::{self, Lane};
use super::rows::{Bucket, ObjectRef, Stream};
use super::sql::unsigned;
use super::{Store, StoreError, StoreEvent, disk_links, state};
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// Rows a transaction, so that nobody waits long behind it.
const PAGE: usize = 200;
/// Key of the state, before the camera.
const WENT_UNTIL: &str = "sync.whole_went_until.";
/// No recording is longer (`record.segment` is an hour at most): one that touches a span begins no earlier before it.
const LONGEST_US: i64 = 2 * 3_600_000_000;

/// What a request found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// Recordings that were not asked for before, and their bytes.
    pub recordings: u64,
    pub bytes: u64,
}

/// Where the bytes of an object are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadFile {
    pub path: PathBuf,
    /// The link to the disk that the file is on; none in the data folder.
    pub disk: Option<PathBuf>,
}

impl UploadFile {
    /// Whether a file that is not found is gone for good.
    pub fn disk_is_there(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.is_dir())
    }
}

impl Store {
    /// Queues the closed recordings of a camera that touch `[from, to)`, both streams; each goes once, however often it
    /// is asked for.
    pub async fn request_recordings(
        &self,
        camera: &CameraId,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Requested, StoreError> {
        self.queue_recordings(camera, from, to, false).await
    }

    /// As [`Store::request_recordings`] for the rule, which leaves out what had to go because too many records waited: it
    /// would only have to go again. A person may still ask for it.
    pub async fn follow_recordings(
        &self,
        camera: &CameraId,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Requested, StoreError> {
        self.queue_recordings(camera, from, to, true).await
    }

    async fn queue_recordings(
        &self,
        camera: &CameraId,
        from: UtcMicros,
        to: UtcMicros,
        by_rule: bool,
    ) -> Result<Requested, StoreError> {
        let mut all = Requested::default();
        for stream in [Stream::Main, Stream::Sub] {
            let mut after = from.add_micros(-LONGEST_US);
            loop {
                let camera = camera.clone();
                let (page, last) = self
                    .write("queue recordings for the centre", move |tx| {
                        let from = if by_rule { from.max(went_until(tx, camera.as_str())?) } else { from };
                        let page = queue(tx, &camera, stream, (from, to), after)?;
                        if page.0.recordings > 0 {
                            tx.publish(StoreEvent::Outbox);
                        }
                        Ok(page)
                    })
                    .await?;
                (all.recordings, all.bytes) = (all.recordings + page.recordings, all.bytes + page.bytes);
                match last {
                    Some(last) if page.recordings == PAGE as u64 => after = last,
                    _ => break,
                }
            }
        }
        Ok(all)
    }

    /// The file that has the bytes of an object: its own, or the segment of that digest, rather on a disk that is there.
    /// `None` for a text that is no SHA-256.
    pub async fn upload_file(&self, sha256: &str) -> Result<Option<UploadFile>, StoreError> {
        let Some(own) = self.object_path(sha256) else { return Ok(None) };
        if tokio::fs::try_exists(&own).await.unwrap_or(false) {
            return Ok(Some(UploadFile { path: own, disk: None }));
        }
        let key = sha256.to_owned();
        let paths = self.read("find a recording by its digest", move |c| segment_paths(c, &key)).await?;
        let there = paths.iter().find(|path| disk_links::is_there(self.dir(), path));
        let Some(path) = there.or(paths.first()) else { return Ok(Some(UploadFile { path: own, disk: None })) };
        let disk = Some(disk_links::disk_of(path)).filter(|id| !id.is_empty());
        Ok(Some(UploadFile {
            path: self.dir().join(path),
            disk: disk.map(|id| self.dir().join(disk_links::LINKS).join(id)),
        }))
    }
}

/// Whether the bytes of an object are in recordings alone, all of them on disks that are not there.
pub(super) fn is_away(c: &Connection, sha256: &str, missing: &BTreeSet<String>) -> Result<bool, StoreError> {
    let paths = segment_paths(c, sha256)?;
    Ok(!paths.is_empty() && paths.iter().all(|path| missing.contains(disk_links::disk_of(path))))
}

/// Some of the recordings with these bytes; a camera that shows a loop makes many.
fn segment_paths(c: &Connection, sha256: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = c.prepare_cached("SELECT path FROM segments WHERE sha256 = ?1 LIMIT 16")?;
    Ok(statement.query_map([sha256], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// The centre has committed what is numbered in `(after, upto]`: recordings whose video it has go before others (R5).
pub(super) fn delivered(c: &Connection, after: u64, upto: u64) -> Result<(), StoreError> {
    c.prepare_cached(
        // Not one with the same bytes of which the centre has no record.
        "UPDATE segments SET synced = 1 WHERE id IN (
            SELECT s.id FROM outbox b JOIN outbox_objects x ON x.outbox_id = b.id JOIN objects o USING (sha256)
                JOIN segments s USING (sha256)
            WHERE b.seq > ?1 AND b.seq <= ?2 AND b.whole = 1 AND o.uploaded_at IS NOT NULL
                AND b.thing = concat_ws('/', s.camera, s.stream, s.start))",
    )?
    .execute(params![after as i64, upto as i64])?;
    Ok(())
}

/// The record of a recording, of which this is the body, had to go before it was delivered.
pub(super) fn went(c: &Connection, body: &str) -> Result<(), StoreError> {
    // What cannot be read is not of a recording that the rule would find again.
    let Ok(video) = serde_json::from_str::<Clip>(body) else { return Ok(()) };
    let until = went_until(c, &video.camera)?.max(UtcMicros(video.end_us));
    state::set(c, &format!("{WENT_UNTIL}{}", video.camera), &until.0.to_string())
}

/// Recordings of the camera that ended by then are not queued by rule any more.
fn went_until(c: &Connection, camera: &str) -> Result<UtcMicros, StoreError> {
    Ok(UtcMicros(outbox::number(c, &format!("{WENT_UNTIL}{camera}"))?.unwrap_or(0) as i64))
}

/// The object store does not have them after all.
pub(super) fn not_delivered(c: &Connection, sha256: &str) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE segments SET synced = 0 WHERE sha256 = ?1")?.execute([sha256])?;
    Ok(())
}

/// One page of those that begin after `after`, and where its last one begins.
fn queue(
    c: &Connection,
    camera: &CameraId,
    stream: Stream,
    (from, to): (UtcMicros, UtcMicros),
    after: UtcMicros,
) -> Result<(Requested, Option<UtcMicros>), StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT s.stream, s.start, s.\"end\", s.bytes, s.sha256, i.mime
         FROM segments s LEFT JOIN inits i ON i.id = s.init_id
         WHERE s.camera = ?1 AND s.stream = ?5 AND s.start > ?6 AND s.start < ?3 AND s.\"end\" > ?2
            AND s.closed AND s.sha256 IS NOT NULL
            -- Two recordings may have the same bytes, as those of a camera that shows a loop: each has its own record.
            AND NOT EXISTS (SELECT 1 FROM outbox_objects x JOIN outbox b ON b.id = x.outbox_id
                WHERE x.sha256 = s.sha256 AND b.whole = 1 AND b.thing = concat_ws('/', s.camera, s.stream, s.start))
            AND NOT s.synced AND s.bytes <= ?7
         ORDER BY s.start LIMIT ?4",
    )?;
    // The recorder makes no larger files than an object may be; one that is larger all the same would stop all others.
    let largest = OBJECT_BYTES_MAX as i64;
    let found = statement.query_map(params![camera, from, to, PAGE as i64, stream, after, largest], |row| {
        let (start, end): (UtcMicros, UtcMicros) = (row.get(1)?, row.get(2)?);
        // The ledger told of the recording when it was closed; this is its video.
        let video = Clip {
            detection: None,
            camera: camera.to_string(),
            stream: row.get(0)?,
            start_us: start.0,
            end_us: end.0,
            object: None,
            mime: row.get(5)?,
            unavailable: None,
        };
        Ok((video, row.get::<_, String>(4)?, unsigned(row, 3)?))
    })?;
    let (mut requested, mut last) = (Requested::default(), None);
    for row in found.collect::<Result<Vec<_>, _>>()? {
        let (mut video, sha256, bytes) = row;
        last = Some(UtcMicros(video.start_us));
        video.object = Some(outbox::digest(&sha256)?);
        let content_type = video.mime.as_deref().and_then(|mime| mime.split(';').next()).unwrap_or("video/mp4");
        let content_type = content_type.trim().to_owned();
        let object = ObjectRef { sha256, bytes, content_type, bucket: Bucket::Recordings };
        // It never has a file of its own: as far as the store of objects goes it is deleted already.
        c.prepare_cached(
            "INSERT INTO objects (sha256, bytes, content_type, bucket, created_at, deleted_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (sha256) DO UPDATE SET lost = NULL",
        )?
        .execute(params![
            object.sha256,
            object.bytes as i64,
            object.content_type,
            object.bucket,
            UtcMicros::now()
        ])?;
        let thing = format!("{camera}/{}/{}", video.stream, video.start_us);
        requested.recordings += 1;
        requested.bytes += bytes;
        outbox::put(c, Lane::Recordings, &Body::Clip(video), &thing, &[&object])?;
    }
    Ok((requested, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BoxId;
    use crate::store::tests::{SECOND, camera, open};
    use crate::store::{InitRow, NewFragment, NewSegment, Pick, SpoolBytes};

    #[tokio::test]
    async fn a_recording_goes_once_and_from_its_own_file() {
        let (store, folder) = open();
        let init = InitRow {
            id: "i".repeat(64),
            data: vec![1],
            mime: "video/mp4; codecs=\"avc1.640028\"".to_owned(),
            codec: "h264".to_owned(),
            width: 64,
            height: 48,
        };
        store.put_init(&init).await.unwrap();
        for number in 0..3 {
            let start = UtcMicros(10 * number * SECOND);
            let new = NewSegment {
                camera: camera("gate"),
                stream: Stream::Main,
                path: format!("recordings/{number}.mp4"),
                init_id: init.id.clone(),
                start,
                head_bytes: 1,
                clocks: None,
            };
            let id = store.open_segment(new).await.unwrap();
            let fragment = NewFragment {
                segment_id: id,
                offset: 1,
                bytes: 9,
                start,
                duration_us: 10 * SECOND,
                frames: 250,
                key: true,
            };
            store.commit_fragments(vec![fragment]).await.unwrap();
            if number < 2 {
                // The camera shows a loop: both have the same bytes.
                store.close_segment(id, &"5".repeat(64)).await.unwrap();
            }
        }
        let ask =
            async || store.request_recordings(&camera("gate"), UtcMicros(0), UtcMicros(60 * SECOND)).await.unwrap();
        assert_eq!(ask().await, Requested { recordings: 2, bytes: 20 }, "the open one is left out");
        assert_eq!(ask().await, Requested::default(), "once is enough");
        let status = store.outbox_status(BoxId::default()).await.unwrap();
        assert_eq!((status.waiting[3], status.blocked), (2, 2));
        assert_eq!(store.spool_bytes().await.unwrap(), SpoolBytes { files: 0, recordings: 10 });
        assert_eq!(store.spool_oldest(9).await.unwrap(), [], "no byte would be free");
        let waiting = store.objects_to_upload(9, Pick::all(9, 9)).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].lane), (1, Lane::Recordings));
        let sha256 = &waiting[0].object.sha256;
        let file = store.upload_file(sha256).await.unwrap().unwrap();
        assert_eq!(file, UploadFile { path: folder.path().join("recordings/0.mp4"), disk: None });
        assert_eq!(store.upload_file("../etc").await.unwrap(), None);
        store.mark_uploaded(sha256).await.unwrap();
        let batch = store.next_batch(BoxId::default(), 0, Pick::all(99, 1 << 20)).await.unwrap();
        let clips: Vec<_> = batch.records.iter().filter(|record| record.kind == "clip").collect();
        assert_eq!(
            clips.iter().map(|clip| clip.id.as_str()).collect::<Vec<_>>(),
            ["gate/main/0", "gate/main/10000000"]
        );
        for clip in clips {
            assert_eq!(clip.objects[0].sha256.to_string(), *sha256);
            assert_eq!(clip.objects[0].content_type, "video/mp4");
        }
        assert_eq!(ask().await, Requested::default(), "nor again when they are up");

        let synced = async || -> Vec<bool> {
            store.segments_oldest(None, None, 9).await.unwrap().iter().map(|segment| segment.synced).collect()
        };
        let (last, box_id) = (batch.records.last().unwrap(), BoxId::default());
        assert_eq!(synced().await, [false, false], "not before the centre has the records");
        store.ack(box_id, last.epoch, last.seq - 1).await.unwrap();
        store.ack(box_id, last.epoch, last.seq).await.unwrap();
        assert_eq!(synced().await, [true, true]);
        store.mark_not_uploaded(sha256).await.unwrap();
        assert_eq!(synced().await, [false, false], "the centre asks for them again");
    }
}
