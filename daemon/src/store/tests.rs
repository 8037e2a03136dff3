//! The store through its own interface: search, timeline, delivery order, chain, and what `check` finds.

use bytes::Bytes;
use gtv_protocol::body::{Body, BoxStatus};
use gtv_protocol::{Position, chain};
use rusqlite::Connection;
use uuid::Uuid;

use super::*;
use crate::base::identity::Identity;
use crate::base::ids::{BoxId, CameraId, DetectionId};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;

const BOX: BoxId = BoxId(Uuid::from_u128(7));
pub(super) const SECOND: i64 = 1_000_000;

pub(super) fn camera(name: &str) -> CameraId {
    name.parse().unwrap()
}

pub(super) fn passage(plate: &str, at: i64) -> DetectionRow {
    DetectionRow {
        id: DetectionId::new(),
        camera: camera("gate"),
        plate: Plate::normalize(plate),
        layout: "br-mercosul".to_owned(),
        category: Some("official".to_owned()),
        confidence: 0.98,
        alternatives: vec![("XYZ9Z99".to_owned(), 0.01)],
        first_seen: UtcMicros((at - 10).max(0)),
        last_seen: UtcMicros(at + 10),
        best_at: UtcMicros(at),
        quad: [[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]],
        bbox: [1.0, 2.0, 3.0, 4.0],
        frame_width: 1920,
        frame_height: 1080,
        direction: None,
        reads: 7,
        single: false,
        crop: None,
        frame: None,
        clip: None,
        clip_unavailable: None,
        slots: serde_json::json!([[0.9, "A"]]),
    }
}

fn alert(at: i64) -> AlertRow {
    AlertRow {
        id: Uuid::new_v4(),
        at: UtcMicros(at),
        kind: "watchlist".to_owned(),
        severity: Severity::Critical,
        camera: Some(camera("gate")),
        detection: None,
        title: "A watched plate passed".to_owned(),
        detail: serde_json::json!({}),
        acknowledged_at: None,
        acknowledged_by: None,
    }
}

pub(super) fn open() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Store::open(folder.path()).unwrap(), folder)
}

async fn find(store: &Store, text: &str) -> Vec<String> {
    let query = DetectionQuery { text: Some(text.to_owned()), ..DetectionQuery::default() };
    let rows = store.detections(query).await.unwrap();
    rows.iter().map(|row| row.plate.as_str().to_owned()).collect()
}

#[tokio::test]
async fn detections_are_found_by_parts_readings_and_time() {
    let (store, _folder) = open();
    let mut events = store.events();
    let first = passage("abc-1234", 100);
    store.insert_detection(first.clone()).await.unwrap();
    store.insert_detection(first.clone()).await.unwrap();
    for (index, plate) in ["BRA2E19", "ABC1D23", "QQQ0A11"].into_iter().enumerate() {
        // Two in the same microsecond must both stay.
        store.insert_detection(passage(plate, 200 + index as i64 / 2)).await.unwrap();
    }
    assert!(matches!(events.try_recv().unwrap(), StoreEvent::Detection(row) if row.id == first.id));
    assert_eq!(store.detections_count().await.unwrap(), 4);
    assert_eq!(find(&store, "abc1").await, ["ABC1D23", "ABC1234"]);
    assert_eq!(find(&store, "1C34").await, ["ABC1234"], "the Mercosul twin");
    assert_eq!(find(&store, "2e").await, ["BRA2E19"], "too short for trigrams");
    assert_eq!(find(&store, "9Z9").await.len(), 4, "the alternative reading");
    assert_eq!(find(&store, "9 Q").await, Vec::<String>::new());
    assert_eq!(find(&store, "??").await, Vec::<String>::new());
    assert_eq!(find(&store, "' OR 1").await, Vec::<String>::new());

    let page = DetectionQuery { limit: 2, ..DetectionQuery::default() };
    let newest = store.detections(page.clone()).await.unwrap();
    assert_eq!(newest[0].plate.as_str(), "QQQ0A11");
    let older = store.detections(DetectionQuery { before: Some(newest[1].id), ..page }).await.unwrap();
    assert_eq!(older.last().unwrap(), &first);
    let between = DetectionQuery {
        from: Some(UtcMicros(150)),
        to: Some(UtcMicros(201)),
        camera: Some(camera("gate")),
        text: Some("A2E".to_owned()),
        ..DetectionQuery::default()
    };
    assert_eq!(store.detections(between.clone()).await.unwrap().len(), 1);
    let elsewhere = DetectionQuery { camera: Some(camera("yard")), ..between };
    assert!(store.detections(elsewhere).await.unwrap().is_empty());

    assert_eq!(store.expire_detections(UtcMicros(150), 10).await.unwrap(), 1);
    assert_eq!(find(&store, "abc1").await, ["ABC1D23"]);
}

#[tokio::test]
async fn alerts_overtake_and_objects_come_before_rows() {
    let (store, _folder) = open();
    let crop = store.put_object(Bytes::from_static(b"crop"), "image/jpeg", Bucket::LprImages).await.unwrap();
    let clip = store.put_object(Bytes::from_static(b"clip"), "video/mp4", Bucket::Recordings).await.unwrap();
    let with_crop = DetectionRow { crop: Some(crop.clone()), ..passage("ABC1D23", 100) };
    store.insert_detection(with_crop.clone()).await.unwrap();
    store.insert_detection(passage("BRA2E19", 200)).await.unwrap();
    assert_eq!(store.awaiting_clip(UtcMicros(150), 9).await.unwrap(), std::slice::from_ref(&with_crop));
    let stored = StoredClip { object: clip.clone(), stream: Stream::Main, start: UtcMicros(90), end: UtcMicros(120) };
    store.attach_clip(with_crop.id, ClipOutcome::Stored(stored)).await.unwrap();
    store.attach_clip(with_crop.id, ClipOutcome::Unavailable("too late".to_owned())).await.unwrap();
    assert_eq!(store.detection(with_crop.id).await.unwrap().unwrap().clip, Some(clip.clone()));
    store.insert_alert(alert(300), Some(with_crop.plate.clone())).await.unwrap();

    let status = store.outbox_status(BOX).await.unwrap();
    assert_eq!((status.waiting, status.blocked, status.pending()), ([1, 2, 1, 0], 2, 4));
    let upload = |object: &ObjectRef, lane| Upload { object: object.clone(), lane, new: false, holds_chain: false };
    let waiting = [upload(&crop, Lane::Detections), upload(&clip, Lane::Bulk)];
    assert_eq!(store.objects_to_upload(9, Pick::all(9, 9)).await.unwrap(), waiting);
    let kinds = |batch: &Batch| batch.records.iter().map(|r| r.kind.clone()).collect::<Vec<_>>();
    let first = store.next_batch(BOX, 0, Pick::all(10, 1 << 20)).await.unwrap();
    assert_eq!(kinds(&first), ["alert", "detection"]);

    store.mark_uploaded(&crop.sha256).await.unwrap();
    store.mark_object_lost(&clip.sha256, "disk failed").await.unwrap();
    let again = store.next_batch(BOX, 0, Pick::all(10, 1 << 20)).await.unwrap();
    assert_eq!(kinds(&again), ["alert", "detection", "detection", "clip"]);
    assert_eq!(again.unavailable.len(), 1);
    assert_eq!(again.unavailable[0].reason, "disk failed");
    let start = Position::start(BOX.0, again.records[0].epoch);
    assert_eq!(chain::follow(BOX.0, start, &again.records).2, None);
    assert_eq!(kinds(&store.next_batch(BOX, 2, Pick::all(1, 1 << 20)).await.unwrap()), ["detection"]);
    assert_eq!(
        kinds(&store.next_batch(BOX, 1, Pick::all(10, 1)).await.unwrap()),
        ["detection"],
        "one record always fits"
    );

    let epoch = start.epoch;
    assert!(store.ack(BOX, epoch, 5).await.is_err());
    assert!(store.ack(BOX, epoch + 1, 1).await.is_err());
    assert_eq!(store.ack(BOX, epoch, 3).await.unwrap(), 3);
    assert_eq!(store.ack(BOX, epoch, 2).await.unwrap(), 0);
    assert_eq!(store.outbox_status(BOX).await.unwrap().pending(), 1);
    assert_eq!(store.mark_not_uploaded(&crop.sha256).await.unwrap(), Some(crop));
}

#[tokio::test]
async fn a_restored_centre_gets_again_what_it_lost_or_a_new_epoch() {
    let (store, folder) = open();
    for at in 1..=6 {
        store.insert_detection(passage("ABC1D23", at)).await.unwrap();
    }
    let batch = store.next_batch(BOX, 0, Pick::all(5, 1 << 20)).await.unwrap();
    let epoch = batch.records[0].epoch;
    store.ack(BOX, epoch, 4).await.unwrap();
    assert_eq!(store.chain_hash(BOX, 2).await.unwrap(), Some(batch.records[1].hash));
    assert!(store.rewind(BOX, 1).await.unwrap());
    assert_eq!(store.outbox_status(BOX).await.unwrap().acked_seq, 1);
    store.ack(BOX, epoch, 4).await.unwrap();
    let mut identity = Identity::open_or_create(folder.path()).unwrap();
    identity.box_id = BOX;
    store.prove(&identity, UtcMicros::now().add_micros(gtv_protocol::body::HOUR_US)).await.unwrap();
    assert_eq!(store.prune_outbox(1, 100).await.unwrap(), 3);
    assert!(!store.rewind(BOX, 1).await.unwrap(), "no longer kept");
    assert!(store.rewind(BOX, 3).await.unwrap());
    assert!(store.begin_epoch(BOX, epoch, true).await.is_err());
    store.begin_epoch(BOX, epoch + 1, true).await.unwrap();
    let fresh = store.next_batch(BOX, 0, Pick::all(10, 1 << 20)).await.unwrap();
    assert_eq!(fresh.records.len(), 4, "the kept ones, and the one and the proof that never had a number");
    assert_eq!(chain::follow(BOX.0, Position::start(BOX.0, epoch + 1), &fresh.records).2, None);
    store.ack(BOX, epoch + 1, 1).await.unwrap();
    store.begin_epoch(BOX, epoch + 2, false).await.unwrap();
    assert_eq!(store.next_batch(BOX, 0, Pick::all(10, 1 << 20)).await.unwrap().records.len(), 3);
}

/// A segment of `seconds` one-second fragments of 10 bytes after a head of 4, with its file.
pub(super) async fn record(store: &Store, start_s: i64, seconds: i64, close: bool) -> i64 {
    let init = InitRow {
        id: "init".to_owned(),
        data: b"head".to_vec(),
        mime: "video/mp4; codecs=\"avc1.640028\"".to_owned(),
        codec: "h264".to_owned(),
        width: 1920,
        height: 1080,
    };
    store.put_init(&init).await.unwrap();
    let path = format!("recordings/gate/{start_s}.mp4");
    let file = store.dir().join(&path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut bytes = b"head".to_vec();
    let new = NewSegment {
        camera: camera("gate"),
        stream: Stream::Main,
        path,
        init_id: init.id,
        start: UtcMicros(start_s * SECOND),
        head_bytes: 4,
        clocks: None,
    };
    let id = store.open_segment(new).await.unwrap();
    for i in 0..seconds {
        bytes.extend_from_slice(&[i as u8; 10]);
        std::fs::write(&file, &bytes).unwrap();
        let fragment = NewFragment {
            segment_id: id,
            offset: 4 + 10 * i as u64,
            bytes: 10,
            start: UtcMicros((start_s + i) * SECOND),
            duration_us: SECOND,
            frames: 25,
            key: true,
        };
        store.commit_fragments(vec![fragment]).await.unwrap();
    }
    if close {
        use sha2::Digest;
        store.close_segment(id, &hex::encode(sha2::Sha256::digest(&bytes))).await.unwrap();
    }
    id
}

#[tokio::test]
async fn a_timeline_is_found_by_time_and_refuses_to_go_back() {
    let (store, _folder) = open();
    let first = record(&store, 100, 5, true).await;
    let second = record(&store, 105, 5, false).await;
    let at = |s: i64| UtcMicros(s * SECOND);
    let gate = camera("gate");
    let found = store.fragments_between(&gate, Stream::Main, at(103), at(107)).await.unwrap();
    assert_eq!(found.iter().map(|f| f.start.0 / SECOND).collect::<Vec<_>>(), [103, 104, 105, 106]);
    assert_eq!((found[0].offset, found[0].bytes), (34, 10));
    let middle = store.fragments_between(&gate, Stream::Main, UtcMicros(103_500_000), at(104)).await.unwrap();
    assert_eq!(middle.len(), 1);
    assert!(store.fragments_between(&gate, Stream::Sub, at(0), at(999)).await.unwrap().is_empty());
    store.put_gap(&gate, Stream::Main, at(107), at(108), "stalled").await.unwrap();
    let spans = store.spans(&gate, at(101), at(999)).await.unwrap();
    let seconds: Vec<_> = spans.iter().map(|s| (s.start.0 / SECOND, s.end.0 / SECOND)).collect();
    assert_eq!(seconds, [(101, 107), (108, 110)]);

    let again = NewFragment {
        segment_id: second,
        offset: 54,
        bytes: 10,
        start: at(109),
        duration_us: SECOND,
        frames: 25,
        key: true,
    };
    assert!(store.commit_fragments(vec![again]).await.unwrap_err().to_string().contains("recorded until"));
    let hole = NewFragment { offset: 60, start: at(110), ..again };
    assert!(store.commit_fragments(vec![hole]).await.unwrap_err().to_string().contains("accounted for up to 54"));
    let closed = NewFragment { segment_id: first, start: at(110), ..again };
    assert!(store.commit_fragments(vec![closed]).await.is_err());

    assert_eq!(store.truncate_segment(second, 30).await.unwrap(), 3);
    let open = store.unclosed_segments().await.unwrap();
    assert_eq!((open[0].bytes, open[0].frames, open[0].end), (24, 50, at(107)));
    let totals = store.recording_totals().await.unwrap();
    assert_eq!((totals[0].segments, totals[0].bytes, totals[0].frames), (2, 54 + 24, 175));
    assert_eq!((totals[0].oldest, totals[0].newest), (Some(at(100)), Some(at(107))));
}

#[tokio::test]
async fn unsynced_evidence_goes_last_and_leaves_a_tombstone() {
    let (store, _folder) = open();
    let evidence = record(&store, 100, 2, true).await;
    let plain = record(&store, 200, 2, true).await;
    assert_eq!(
        store.mark_evidence(&camera("gate"), UtcMicros(101 * SECOND), UtcMicros(150 * SECOND)).await.unwrap(),
        1
    );
    let order: Vec<_> = store.segments_oldest(None, None, 9).await.unwrap().iter().map(|s| s.id).collect();
    assert_eq!(order, [plain, evidence]);
    let before = store.outbox_status(BOX).await.unwrap().pending();
    store.delete_segment(plain, "space").await.unwrap().unwrap();
    assert_eq!(store.outbox_status(BOX).await.unwrap().pending(), before);
    let gone = store.delete_segment(evidence, "space").await.unwrap().unwrap();
    assert_eq!(gone.path, "recordings/gate/100.mp4");
    assert_eq!(store.delete_segment(evidence, "space").await.unwrap(), None);
    let records = store.next_batch(BOX, 0, Pick::all(9, 1 << 20)).await.unwrap().records;
    let last = records.last().unwrap();
    assert_eq!((last.kind.as_str(), last.id.as_str()), ("tombstone", "segment/gate/main/100000000"));
    assert_eq!(store.recording_totals().await.unwrap()[0].bytes, 0);
}

#[tokio::test]
async fn check_finds_nothing_on_a_good_store_and_names_what_is_broken() {
    let (store, folder) = open();
    record(&store, 100, 5, true).await;
    record(&store, 105, 5, true).await;
    record(&store, 300, 5, false).await;
    let gate = camera("gate");
    store.put_gap(&gate, Stream::Main, UtcMicros(110 * SECOND), UtcMicros(300 * SECOND), "unreachable").await.unwrap();
    let crop = store.put_object(Bytes::from_static(b"crop"), "image/jpeg", Bucket::LprImages).await.unwrap();
    for at in 1..=4 {
        store.insert_detection(DetectionRow { crop: Some(crop.clone()), ..passage("ABC1D23", at) }).await.unwrap();
    }
    store.mark_uploaded(&crop.sha256).await.unwrap();
    let status = BoxStatus {
        software: "test".to_owned(),
        uptime_s: 1,
        cameras: 1,
        cameras_streaming: 1,
        ..BoxStatus::default()
    };
    store.enqueue(Lane::Detections, Body::BoxStatus(status), "status").await.unwrap();
    store.next_batch(BOX, 0, Pick::all(5, 1 << 20)).await.unwrap();
    assert_eq!(check(folder.path(), Some(BOX), Depth::Deep).unwrap(), [], "while the daemon runs");
    let object_file = store.object_path(&crop.sha256).unwrap();
    drop(store);
    assert_eq!(check(folder.path(), Some(BOX), Depth::Deep).unwrap(), []);

    let file = |name: &str| folder.path().join("recordings/gate").join(name);
    let mut swapped = std::fs::read(file("100.mp4")).unwrap();
    swapped[20] ^= 1;
    std::fs::write(file("100.mp4"), swapped).unwrap();
    std::fs::write(file("105.mp4"), b"short").unwrap();
    std::fs::remove_file(file("300.mp4")).unwrap();
    std::fs::write(object_file, b"crap").unwrap();
    let c = Connection::open(folder.path().join(DATABASE)).unwrap();
    c.execute_batch("UPDATE outbox SET body = replace(body, 'ABC1D23', 'ABC1D24') WHERE seq = 3; DELETE FROM gaps")
        .unwrap();
    let found = check(folder.path(), Some(BOX), Depth::Deep).unwrap();
    let names: Vec<_> = found.iter().map(|f| (f.invariant, f.thing.as_str())).collect();
    let object = format!("object {}", crop.sha256);
    assert_eq!(
        names,
        [
            ("R2", "recordings/gate/100.mp4"),
            ("R2", "recordings/gate/105.mp4"),
            ("R2", "recordings/gate/300.mp4"),
            ("S1", object.as_str()),
            ("S2", "outbox"),
            ("R4", "gate/main"),
        ]
    );
}

#[tokio::test]
async fn check_does_not_make_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    assert!(check(folder.path(), None, Depth::Quick).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn one_daemon_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("another gtv-edge"), "{error}");
    store.ping().await.unwrap();
    drop(store);
    Store::open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(DATABASE), [b'x'; 8192]).unwrap();
    let error = Store::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("gtv.db") && error.contains("restore"), "{error}");
}

/// What ANALYZE saw of a table with one row once made each search read ten million.
#[tokio::test]
async fn no_statistics_of_a_young_store_mislead_the_planner() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.insert_detection(passage("ABC1D23", 1000)).await.unwrap();
    drop(store);
    let statistics = || {
        let database = Connection::open(dir.path().join(DATABASE)).unwrap();
        let count = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'";
        (database.query_one(count, [], |row| row.get::<_, i64>(0)).unwrap(), database)
    };
    let (kept, database) = statistics();
    assert_eq!(kept, 0);
    database.execute_batch("ANALYZE").unwrap();
    drop(database);
    assert!(statistics().0 > 0, "the statistics of an earlier version");
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(statistics().0, 0);
}
