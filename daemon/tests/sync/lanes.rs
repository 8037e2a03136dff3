//! Lanes: their hours and limits, and who goes first on a line that is full.

use std::time::{Duration, Instant};

use chrono::{Datelike, Local};
use gtv_edge::base::ids::DetectionId;
use gtv_edge::config::{LaneConfig, LanesConfig, SyncConfig};
use object_store::ObjectStoreExt;

use crate::harness::{Centre, EdgeBox, key, noise};
use crate::throttle::Line;

/// Bytes a second of a line that is no obstacle.
const FAST: f64 = 200e6;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn lanes_keep_to_their_hours_and_limits_and_change_at_once() {
    let (centre, s3) = Centre::behind(&Line::new(FAST), "keys");
    let mut edge = EdgeBox::new(centre.center.url(), None);
    edge.stop().await;
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let another_day = days[(Local::now().weekday().num_days_from_monday() as usize + 3) % 7];
    let closed = LaneConfig { kbit_per_s: 0, windows: vec![format!("{another_day} 10:00-11:00")] };
    edge.config.sync.lanes = LanesConfig { clips: closed, ..LanesConfig::default() };
    edge.start();
    let (first, _) = edge.detect(1).await;
    edge.attach_clip(first, noise(500_000, 1)).await;
    edge.alert(first).await;
    edge.until("all but the clip", |status| status.waiting == [0, 0, 1, 0] && status.last_seq == status.acked_seq)
        .await;
    assert_eq!(centre.count("ai.detections").await, 1);
    assert_eq!(centre.count("streaming.clips").await, 0, "not at this hour");
    assert!(s3.upward_bytes() < 100_000, "nothing of the clip begins: {}", s3.upward_bytes());

    edge.running.as_ref().unwrap().2.set(&SyncConfig::default());
    edge.until_delivered().await;
    assert_eq!(centre.count("streaming.clips").await, 1);

    let slow = LaneConfig { kbit_per_s: 160, windows: Vec::new() };
    let lanes = LanesConfig { clips: slow, ..LanesConfig::default() };
    edge.running.as_ref().unwrap().2.set(&SyncConfig { lanes, ..SyncConfig::default() });
    let (second, _) = edge.detect(2).await;
    let started = Instant::now();
    edge.attach_clip(second, vec![8; 60_000]).await;
    edge.detect(3).await;
    edge.until_delivered().await;
    // 20,000 bytes a second; the last piece leaves when those before it are through.
    assert!(started.elapsed() > Duration::from_millis(2500), "{:?}", started.elapsed());
    assert_eq!(centre.count("streaming.clips").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_alert_overtakes_the_backlog_on_a_slow_line() {
    const CLIPS: usize = 16;
    const CLIP: usize = 1 << 20;
    // 4 Mb/s for everything: the backlog takes 34 s.
    let line = Line::new(500_000.0);
    let (centre, s3) = Centre::behind(&line, "keys");
    let session = line.forward(&centre.center.address());
    let edge = EdgeBox::new(format!("ws://{}/sync/v1", session.address), None);
    for number in 0..CLIPS {
        let (id, _) = edge.detect(number as u64).await;
        edge.attach_clip(id, noise(CLIP, number as u32)).await;
    }
    while s3.upward_bytes() < CLIP as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    edge.alert(DetectionId::new()).await;
    centre.until_count("ai.alerts", 1).await;
    let (passed, all) = (s3.upward_bytes(), (CLIPS * CLIP) as u64);
    assert!(passed < all / 2, "{passed} of {all} bytes of the backlog had gone before the alert was at the centre");
    assert!(centre.count("streaming.clips").await < CLIPS as i64 / 2, "most of the backlog still waits");
    edge.until_delivered().await;
    assert_eq!(centre.count("streaming.clips").await, CLIPS as i64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_limited_lane_keeps_to_its_budget_while_others_go_on() {
    const RATE: f64 = 20_000.0;
    // Headers of requests, and the piece that a lane may begin with.
    const SLACK: u64 = 64 << 10;
    const CLIP: usize = 200_000;
    let (centre, s3) = Centre::behind(&Line::new(FAST), "keys");
    let mut edge = EdgeBox::new(centre.center.url(), None);
    edge.stop().await;
    let clips = LaneConfig { kbit_per_s: 160, windows: Vec::new() };
    edge.config.sync.lanes = LanesConfig { clips, ..LanesConfig::default() };
    edge.start();
    let started = Instant::now();
    let (first, _) = edge.detect(0).await;
    edge.attach_clip(first, noise(CLIP, 99)).await;
    while s3.upward_bytes() < SLACK / 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut crops = 0;
    for number in 1..5 {
        let crop = noise(2 << 20, number);
        crops += crop.len() as u64;
        edge.detect_with(u64::from(number), crop.into()).await;
    }
    centre.until_count("ai.detections", 5).await;
    let (passed, budget) = (s3.upward_bytes(), (RATE * started.elapsed().as_secs_f64()) as u64);
    assert!(passed >= crops && passed <= crops + budget + SLACK, "{passed} bytes, {crops} of crops, {budget} allowed");
    edge.until_delivered().await;
    let budget = RATE * started.elapsed().as_secs_f64();
    assert!(CLIP as f64 <= budget + SLACK as f64, "the clip took more than the {budget} bytes of its lane");
    assert_eq!(centre.count("streaming.clips").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn records_of_a_limited_lane_go_while_its_objects_upload() {
    const CROPS: usize = 12;
    const CROP: usize = 60_000;
    let (centre, s3) = Centre::behind(&Line::new(FAST), "keys");
    let mut edge = EdgeBox::new(centre.center.url(), None);
    edge.stop().await;
    let detections = LaneConfig { kbit_per_s: 160, windows: Vec::new() };
    edge.config.sync.lanes = LanesConfig { detections, ..LanesConfig::default() };
    edge.start();
    for number in 0..CROPS {
        edge.detect_with(number as u64, noise(CROP, number as u32).into()).await;
    }
    while s3.upward_bytes() < CROP as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Small enough to be up soon beside the others, which take 36 s.
    edge.detect_with(99, noise(500, 99).into()).await;
    while centre.count("ai.detections").await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (passed, all) = (s3.upward_bytes(), (CROPS * CROP) as u64);
    assert!(passed < all * 3 / 4, "{passed} of {all} bytes of pictures had gone before the first passage was told");
    edge.running.as_ref().unwrap().2.set(&SyncConfig::default());
    edge.until_delivered().await;
    assert_eq!(centre.count("ai.detections").await, CROPS as i64 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn pictures_are_seen_at_once_beside_slow_clips() {
    const CLIPS: i64 = 6;
    const PICTURES: i64 = 8;
    let (centre, s3) = Centre::behind(&Line::new(FAST), "keys");
    let mut edge = EdgeBox::new(centre.center.url(), None);
    edge.stop().await;
    // 10,000 bytes a second: the clips take ten minutes.
    let clips = LaneConfig { kbit_per_s: 80, windows: Vec::new() };
    edge.config.sync.lanes = LanesConfig { clips, ..LanesConfig::default() };
    edge.start();
    for number in 1..=CLIPS {
        let (id, _) = edge.detect(number as u64).await;
        edge.attach_clip(id, noise(1 << 20, number as u32)).await;
    }
    centre.until_count("ai.detections", CLIPS).await;
    while s3.upward_bytes() < 50_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    for number in CLIPS + 1..=CLIPS + PICTURES {
        edge.detect(number as u64).await;
        centre.until_count("ai.detections", number).await;
    }
    // A look each five seconds only would take 40 s.
    assert!(started.elapsed() < Duration::from_secs(24), "{:?} for {PICTURES} pictures", started.elapsed());
    assert_eq!(centre.count("streaming.clips").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_alert_does_not_wait_for_the_lane_of_an_object_that_the_centre_lost() {
    const CLIP: usize = 1 << 20;
    let (mut centre, s3) = Centre::behind(&Line::new(FAST), "keys");
    let edge = EdgeBox::new(centre.center.url(), None);
    let (id, _) = edge.detect(0).await;
    let clip = edge.attach_clip(id, noise(CLIP, 0)).await;
    edge.until_delivered().await;

    // The centre goes back to before the clip, which S3 no longer has either.
    centre.center.stop();
    centre
        .sql()
        .await
        .batch_execute(
            "CREATE TEMPORARY TABLE at AS SELECT seq FROM sync.records WHERE kind = 'clip';
             DELETE FROM streaming.clips;
             DELETE FROM sync.heads WHERE seq >= (SELECT seq FROM at);
             DELETE FROM sync.records WHERE seq >= (SELECT seq FROM at);
             UPDATE sync.chains SET seq = (SELECT seq - 1 FROM at),
                hash = (SELECT hash FROM sync.records ORDER BY seq DESC LIMIT 1);",
        )
        .await
        .unwrap();
    centre.bucket(&clip).delete(&key(&edge.identity, &clip)).await.unwrap();
    // 10,000 bytes a second, and other clips that take all slots for video.
    let clips = LaneConfig { kbit_per_s: 80, windows: Vec::new() };
    let lanes = LanesConfig { clips, ..LanesConfig::default() };
    edge.running.as_ref().unwrap().2.set(&SyncConfig { lanes, ..SyncConfig::default() });
    let before = s3.upward_bytes();
    for number in 1..4 {
        let (id, _) = edge.detect(number).await;
        edge.attach_clip(id, noise(CLIP, number as u32)).await;
    }
    while s3.upward_bytes() < before + 30_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    centre.center.start();
    edge.alert(DetectionId::new()).await;
    centre.until_count("ai.alerts", 1).await;
    assert_eq!(centre.count("streaming.clips").await, 1, "the others keep to their limit");
    assert_eq!(centre.stored(&edge.identity, &clip).await.len(), CLIP);
    edge.running.as_ref().unwrap().2.set(&SyncConfig::default());
    edge.until_delivered().await;
    assert_eq!(centre.count("streaming.clips").await, 4);
    centre.assert_chains_are_whole().await;
}
