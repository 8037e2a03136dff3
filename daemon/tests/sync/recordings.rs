//! A whole recording on its way: asked for on the page, sent from its segment file, found at the centre, and what
//! happens to it while its disk is not there.

use std::time::Duration;

use gtv_edge::base::identity::Identity;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::HumanDuration;
use gtv_edge::store::{Bucket, InitRow, NewFragment, NewSegment, ObjectRef, Store, Stream};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::groups::{GROUP_US, group};
use crate::harness::{Centre, EdgeBox, PATIENCE, noise};
use crate::page::Page;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_recording_that_somebody_asks_for_is_at_the_centre_with_its_video() {
    let centre = Centre::start();
    let url = centre.center.url();
    let page = Page::start_with(|config| {
        config.sync.url = url;
        config.record.segment = HumanDuration::secs(10);
    })
    .await;
    // The beginning of a minute an hour ago: ten groups fill a file, two are in the next one.
    let start = UtcMicros(UtcMicros::now().0 / 60_000_000 * 60_000_000 - 3_600_000_000);
    for number in 0..12 {
        page.context.recorder.sink().push(&group("gate", number, start));
    }
    let (camera, all) = ("gate".parse().unwrap(), (UtcMicros(0), UtcMicros(i64::MAX)));
    let closed = async {
        loop {
            let segments = page.store().segments_between(&camera, Stream::Main, all.0, all.1).await.unwrap();
            if let Some(segment) = segments.into_iter().find(|segment| segment.closed) {
                return segment;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let segment = tokio::time::timeout(PATIENCE, closed).await.expect("a file is closed");
    let video = std::fs::read(page.store().dir().join(&segment.path)).unwrap();
    centre.until_count("streaming.recordings", 1).await;
    assert_eq!(centre.count("streaming.clips").await, 0, "the centre knows of it and has no video");

    let administrator = page.administrator().await;
    let viewer = page.user(&administrator, "eva", "viewer").await;
    let to = start.add_micros(60 * GROUP_US);
    let path = format!("/api/streaming/cameras/gate/recordings/upload?from={start}&to={to}");
    assert_eq!(viewer.post(&path, &Value::Null).await.status(), 403);
    let operator = page.user(&administrator, "rui", "operator").await;
    let ask = async || {
        let answer = operator.post(&path, &Value::Null).await;
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.unwrap();
        (answer["recordings"].as_u64().unwrap(), answer["bytes"].as_u64().unwrap())
    };
    assert_eq!(ask().await, (1, video.len() as u64), "the file in progress is left out");
    centre.until_count("streaming.clips", 1).await;
    assert_eq!(ask().await, (0, 0), "once is enough");

    let same =
        "streaming.recordings r JOIN streaming.clips c USING (box_id, camera, stream, started_at, ended_at, sha256)
        WHERE c.camera = 'gate' AND c.bucket = 'recordings' AND c.bytes = r.bytes AND c.detection_id IS NULL
            AND c.unavailable IS NULL";
    assert_eq!(centre.count(same).await, 1, "the row of the ledger and the video are of the same recording");
    let row = centre.sql().await.query_one("SELECT sha256 FROM streaming.clips", &[]).await.unwrap();
    let object = ObjectRef {
        sha256: row.get(0),
        bytes: video.len() as u64,
        content_type: "video/mp4".to_owned(),
        bucket: Bucket::Recordings,
    };
    let identity = Identity::open_or_create(page.store().dir()).unwrap();
    assert_eq!(centre.stored(&identity, &object).await, video);
    let audit = administrator.json("/api/admin/audit?limit=50").await.to_string();
    assert!(audit.contains("recordings.upload"), "{audit}");
    page.stop().await;
}

/// A closed recording of ten seconds in the file `name`.
async fn record(store: &Store, name: &str, start: UtcMicros, bytes: Vec<u8>) -> ObjectRef {
    let path = store.dir().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &bytes).unwrap();
    let init = InitRow {
        id: "i".repeat(64),
        data: vec![1],
        mime: "video/mp4".to_owned(),
        codec: "h264".to_owned(),
        width: 64,
        height: 48,
    };
    store.put_init(&init).await.unwrap();
    let new = NewSegment {
        camera: "gate".parse().unwrap(),
        stream: Stream::Main,
        path: name.to_owned(),
        init_id: init.id,
        start,
        head_bytes: 1,
        clocks: None,
    };
    let segment_id = store.open_segment(new).await.unwrap();
    let fragment = NewFragment {
        segment_id,
        offset: 1,
        bytes: bytes.len() as u64 - 1,
        start,
        duration_us: 10_000_000,
        frames: 250,
        key: true,
    };
    store.commit_fragments(vec![fragment]).await.unwrap();
    let sha256 = hex::encode(Sha256::digest(&bytes));
    store.close_segment(segment_id, &sha256).await.unwrap();
    let bytes = bytes.len() as u64;
    ObjectRef { sha256, bytes, content_type: "video/mp4".to_owned(), bucket: Bucket::Recordings }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_cannot_be_read_now_is_uploaded_when_it_can() {
    let centre = Centre::start();
    let edge = EdgeBox::new(centre.center.url(), None);
    edge.until("connected", |status| status.connected).await;
    let (store, folder) = (edge.store(), edge.folder.path());
    let (disk, unplugged) = (folder.join("disk"), folder.join("unplugged"));
    std::fs::create_dir_all(&disk).unwrap();
    std::fs::create_dir_all(folder.join("disks")).unwrap();
    std::os::unix::fs::symlink(&disk, folder.join("disks/one")).unwrap();
    let start = UtcMicros(UtcMicros::now().0 - 3_600_000_000);
    let (far, near) = (noise(300_000, 1), noise(200_000, 2));
    let far_object = record(store, "disks/one/recordings/a.mp4", start, far.clone()).await;
    let near_object = record(store, "recordings/b.mp4", start.add_micros(10_000_000), near.clone()).await;
    std::fs::rename(&disk, &unplugged).unwrap();
    // A picture whose folder the file system does not give any more.
    let bytes = b"crop of a folder that is damaged";
    let objects = folder.join("objects").join(&hex::encode(Sha256::digest(bytes))[..2]);
    std::fs::create_dir_all(&objects).unwrap();
    let (sent, _) = edge.detect(1).await;
    edge.until_delivered().await;
    let picture = store.put_object(bytes.to_vec().into(), "image/jpeg", Bucket::LprImages).await.unwrap();
    let aside = folder.join("aside");
    std::fs::rename(&objects, &aside).unwrap();
    std::fs::write(&objects, "no folder").unwrap();
    edge.attach(sent, &picture).await;

    let requested = store.request_recordings(&"gate".parse().unwrap(), start, UtcMicros::now()).await.unwrap();
    assert_eq!(requested.recordings, 2);
    let (later, _) = edge.detect(2).await;
    edge.alert(later).await;
    centre.until_count("streaming.clips", 1).await;
    assert_eq!(centre.stored(&edge.identity, &near_object).await, near, "the older one did not stand before it");
    centre.until_count("ai.alerts", 1).await;
    let status = edge.until("told", |status| status.objects.is_some()).await;
    let message = status.objects.unwrap().message;
    assert!(message.contains(&picture.sha256) && message.contains("look after the disk"), "{message}");
    edge.until("waiting", |status| status.blocked == 2).await;

    std::fs::remove_file(&objects).unwrap();
    std::fs::rename(&aside, &objects).unwrap();
    std::fs::rename(&unplugged, &disk).unwrap();
    edge.until_delivered().await;
    assert_eq!(centre.stored(&edge.identity, &far_object).await, far);
    assert_eq!(centre.stored(&edge.identity, &picture).await, bytes);
    assert_eq!(centre.count("sync.objects WHERE checked = 'lost'").await, 0);
    edge.until("well", |status| status.objects.is_none()).await;
}
