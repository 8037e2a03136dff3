//! A whole recording on its way: asked for on the page, sent from its segment file, found at the centre.

use std::time::Duration;

use gtv_edge::base::identity::Identity;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::HumanDuration;
use gtv_edge::store::{Bucket, ObjectRef, Stream};
use serde_json::Value;

use crate::groups::{GROUP_US, group};
use crate::harness::{Centre, PATIENCE};
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
