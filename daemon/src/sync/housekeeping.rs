//! What stays on the box, and what the box states about it: each hour that is over is proved to the centre, the outbox
//! is bounded, and detections and objects end with `record.max_age`. What the
//! centre has not acknowledged yet stays longer (S1), except where there is no centre to wait for.

use std::time::{Duration, Instant};

use super::error::SyncError;
use super::forecast::{Spool, Trend};
use super::status::Reporter;
use crate::base::identity::Identity;
use crate::base::metrics::dropped;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::config::Config;
use crate::store::{SpoolBytes, Store};

const INTERVAL: Duration = Duration::from_secs(600);
/// How often it is looked at how much waits.
const LOOK: Duration = Duration::from_secs(15);
/// How long the row of an object tells that its file was here.
const FORGET_US: i64 = 30 * 86_400_000_000;
/// Rows a transaction, so that nobody waits long behind it.
const PAGE: usize = 500;

pub(super) fn spawn(config: &Config, store: &Store, identity: &Identity, report: &Reporter, tasks: &Tasks) {
    let (store, identity, report) = (store.clone(), identity.clone(), report.clone());
    let keep_us = config.record.max_age.micros();
    let (has_centre, bytes_max) = (!config.sync.url.is_empty(), config.sync.spool_max.0);
    let records_max = config.sync.records_max;
    tasks.spawn("sync-housekeeping", OnExit::Restart, move |token| {
        let (store, identity, report) = (store.clone(), identity.clone(), report.clone());
        async move {
            let mut trend = Trend::default();
            let mut expired: Option<Instant> = None;
            loop {
                let mut outbox = store.outbox_status(identity.box_id).await?;
                let mut went = 0;
                if outbox.waiting.iter().sum::<u64>() > records_max {
                    went = store.bound_outbox(records_max).await?;
                    if went > 0 {
                        dropped("outbox", "full", went);
                        tracing::error!(records = went, "records went because too many wait for the centre");
                    }
                    outbox = store.outbox_status(identity.box_id).await?;
                }
                // After what had to go, so that the hours are stated with it.
                if expired.is_none_or(|at| at.elapsed() >= INTERVAL) {
                    expired = Some(Instant::now());
                    expire(&store, UtcMicros::now().add_micros(-keep_us), has_centre).await?;
                    let forget = UtcMicros::now().add_micros(-FORGET_US);
                    while store.forget_objects(forget, PAGE).await? == PAGE {}
                    if has_centre {
                        store.prove(&identity, UtcMicros::now()).await?;
                    }
                }
                report.outbox(outbox);
                if has_centre {
                    let (SpoolBytes { files, recordings }, objects) = bound_spool(&store, bytes_max).await?;
                    let spool = Spool {
                        bytes: files,
                        recordings_bytes: recordings,
                        bytes_max: if bytes_max == 0 { u64::MAX } else { bytes_max },
                        records: outbox.pending(),
                        records_max,
                        ..Spool::default()
                    };
                    report.spool(trend.add(UtcMicros::now(), spool, went + objects > 0));
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = token.cancelled() => return Ok(()),
                }
            }
        }
    });
}

/// Lets the oldest objects go while more than `max` bytes wait for their upload; their records say so. Returns what
/// waits then, and how many went.
async fn bound_spool(store: &Store, max: u64) -> Result<(SpoolBytes, u64), SyncError> {
    let mut bytes = store.spool_bytes().await?;
    let mut gone = 0;
    while max > 0 && bytes.files > max {
        let oldest = store.spool_oldest(PAGE).await?;
        if oldest.is_empty() {
            break;
        }
        for object in oldest {
            if bytes.files <= max {
                break;
            }
            let reason = "more waited for the centre than sync.spool_max allows";
            store.mark_object_lost(&object.sha256, reason).await?;
            store.delete_object(&object.sha256).await?;
            bytes.files = bytes.files.saturating_sub(object.bytes);
            gone += 1;
        }
    }
    if gone > 0 {
        dropped("spool", "full", gone);
        tracing::error!(objects = gone, "pictures or video went because too much waits for the centre");
    }
    Ok((bytes, gone))
}

async fn expire(store: &Store, before: UtcMicros, has_centre: bool) -> Result<(), SyncError> {
    while store.expire_detections(before, PAGE).await? == PAGE {}
    while store.expire_alerts(before, PAGE).await? == PAGE {}
    loop {
        let old = store.objects_before(before, PAGE, !has_centre).await?;
        for object in &old {
            store.delete_object(&object.sha256).await?;
            if !has_centre {
                // A centre that is configured later is told why these bytes never come.
                store
                    .mark_object_lost(&object.sha256, "its retention on the box ended before there was a centre")
                    .await?;
            }
        }
        if old.len() < PAGE {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gtv_protocol::body::{Body, Gap};

    use super::*;
    use crate::base::ids::{BoxId, DetectionId};
    use crate::base::plate::Plate;
    use crate::store::{Bucket, DetectionRow, Lane, LockRow, Pick};
    use crate::sync::recordings::tests::record;

    fn passage(crop: crate::store::ObjectRef) -> DetectionRow {
        DetectionRow {
            id: DetectionId::new(),
            camera: "gate".parse().unwrap(),
            plate: Plate::normalize("ABC1D23"),
            layout: "br-mercosul".to_owned(),
            category: None,
            confidence: 0.9,
            alternatives: Vec::new(),
            first_seen: UtcMicros(1),
            last_seen: UtcMicros(2),
            best_at: UtcMicros(2),
            quad: [[0.0; 2]; 4],
            bbox: [0.0; 4],
            frame_width: 64,
            frame_height: 48,
            direction: None,
            reads: 1,
            single: true,
            crop: Some(crop),
            frame: None,
            clip: None,
            clip_unavailable: None,
            slots: serde_json::Value::Null,
        }
    }

    #[tokio::test]
    async fn what_the_centre_still_needs_outlives_its_retention() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let crop = store.put_object(Bytes::from_static(b"crop"), "image/jpeg", Bucket::LprImages).await.unwrap();
        store.insert_detection(passage(crop.clone())).await.unwrap();
        let file = store.object_path(&crop.sha256).unwrap();
        let later = UtcMicros::now().add_micros(1_000_000);
        expire(&store, later, true).await.unwrap();
        assert_eq!(store.detections_count().await.unwrap(), 0);
        assert!(file.exists(), "not uploaded yet");

        let box_id = BoxId::default();
        store.mark_uploaded(&crop.sha256).await.unwrap();
        let batch = store.next_batch(box_id, 0, Pick::all(9, 1 << 20)).await.unwrap();
        expire(&store, later, true).await.unwrap();
        assert!(file.exists(), "not acknowledged yet");
        store.ack(box_id, batch.records[0].epoch, 1).await.unwrap();
        expire(&store, later, true).await.unwrap();
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn without_a_centre_nothing_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let crop = store.put_object(Bytes::from_static(b"crop"), "image/jpeg", Bucket::LprImages).await.unwrap();
        store.insert_detection(passage(crop.clone())).await.unwrap();
        expire(&store, UtcMicros::now().add_micros(1_000_000), false).await.unwrap();
        assert!(!store.object_path(&crop.sha256).unwrap().exists());
        let batch = store.next_batch(BoxId::default(), 0, Pick::all(9, 1 << 20)).await.unwrap();
        assert_eq!(batch.unavailable.len(), 1, "the record says so");
    }

    #[tokio::test]
    async fn a_locked_passage_stays_with_its_pictures_until_the_lock_is_lifted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let now = UtcMicros::now();
        let mut files = Vec::new();
        for (camera, bytes) in [("gate", "held"), ("yard", "free")] {
            let crop = store.put_object(Bytes::from_static(bytes.as_bytes()), "image/jpeg", Bucket::LprImages).await;
            let crop = crop.unwrap();
            files.push(store.object_path(&crop.sha256).unwrap());
            let (first_seen, last_seen) = (now.add_micros(-2_000_000), now);
            let camera = camera.parse().unwrap();
            let row = DetectionRow { camera, first_seen, last_seen, best_at: last_seen, ..passage(crop) };
            store.insert_detection(row).await.unwrap();
        }
        let id = uuid::Uuid::new_v4();
        let lock = LockRow {
            id,
            camera: "gate".parse().unwrap(),
            start: now.add_micros(-1_000_000),
            end: now.add_micros(1_000_000),
            reason: "case 7".to_owned(),
            created_at: now,
            created_by: "ana".to_owned(),
        };
        store.create_lock(lock).await.unwrap();
        expire(&store, now.add_micros(60_000_000), false).await.unwrap();
        assert_eq!(store.detections_count().await.unwrap(), 1);
        assert_eq!(files.iter().map(|file| file.exists()).collect::<Vec<_>>(), [true, false]);
        store.delete_lock(id).await.unwrap();
        expire(&store, now.add_micros(60_000_000), false).await.unwrap();
        assert_eq!(store.detections_count().await.unwrap(), 0);
        assert!(!files[0].exists());
    }

    #[tokio::test]
    async fn a_full_spool_lets_the_oldest_video_go_and_its_record_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let crop = store.put_object(vec![1; 400].into(), "image/jpeg", Bucket::LprImages).await.unwrap();
        let row = passage(crop.clone());
        store.insert_detection(row.clone()).await.unwrap();
        let clip = store.put_object(vec![2; 700].into(), "video/mp4", Bucket::Recordings).await.unwrap();
        let stored = crate::store::StoredClip {
            object: clip.clone(),
            stream: crate::store::Stream::Main,
            start: UtcMicros(1),
            end: UtcMicros(2),
        };
        store.attach_clip(row.id, crate::store::ClipOutcome::Stored(stored)).await.unwrap();
        // Somebody asks for a recording that is larger than the spool.
        let gate = "gate".parse().unwrap();
        record(&store, &gate, UtcMicros(0), 5000).await;
        assert_eq!(store.request_recordings(&gate, UtcMicros(0), UtcMicros(9)).await.unwrap().bytes, 5000);
        let left = |files, gone| (SpoolBytes { files, recordings: 5000 }, gone);
        assert_eq!(bound_spool(&store, 0).await.unwrap(), left(1100, 0), "0 sets no limit");
        assert_eq!(bound_spool(&store, 1200).await.unwrap(), left(1100, 0), "what has no file takes no room");
        assert!(store.object_path(&clip.sha256).unwrap().exists());
        assert_eq!(bound_spool(&store, 1000).await.unwrap(), left(400, 1));
        assert!(!store.object_path(&clip.sha256).unwrap().exists());
        assert!(store.object_path(&crop.sha256).unwrap().exists());
        // An upload that was under way finds nothing any more.
        store.mark_object_lost(&clip.sha256, "its file is gone from the box").await.unwrap();
        let batch = store.next_batch(BoxId::default(), 0, Pick::all(9, 1 << 20)).await.unwrap();
        let lost: Vec<_> = batch.unavailable.iter().map(|lost| lost.sha256.to_string()).collect();
        assert_eq!(lost, [clip.sha256]);
        assert!(batch.unavailable[0].reason.contains("spool_max"));
    }

    #[tokio::test]
    async fn a_full_outbox_drops_the_last_lane_first_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for (number, lane) in [Lane::Bulk, Lane::Detections, Lane::Bulk, Lane::Alerts].into_iter().enumerate() {
            let gap = Gap {
                camera: "gate".to_owned(),
                stream: "main".to_owned(),
                start_us: 1,
                end_us: 2,
                reason: "test".to_owned(),
            };
            store.enqueue(lane, Body::Gap(gap), &number.to_string()).await.unwrap();
        }
        assert_eq!(store.bound_outbox(2).await.unwrap(), 2);
        let left = store.next_batch(BoxId::default(), 0, Pick::all(9, 1 << 20)).await.unwrap().records;
        let left: Vec<_> = left.iter().map(|record| (record.kind.as_str(), record.id.as_str())).collect();
        assert_eq!(left[..2], [("gap", "3"), ("gap", "1")]);
        assert_eq!(left[2].0, "tombstone");
    }
}
