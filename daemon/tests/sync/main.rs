//! Delivery to a real gtv-sync with a real PostgreSQL and a real S3: what arrives, what outages of each of them and
//! kills do to it, and what a refusal looks like to the person at the box.

#[path = "../support/groups.rs"]
#[allow(dead_code, reason = "this binary uses a part of it")]
mod groups;
mod harness;
mod lanes;
#[path = "../web/harness.rs"]
#[allow(dead_code, reason = "this binary uses a part of it")]
mod page;
#[path = "../support/passage.rs"]
mod passage;
mod recordings;
#[path = "../../../central/tests/support/mod.rs"]
mod support;
#[path = "../../benches/delivery/throttle.rs"]
mod throttle;
mod uploads;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::S3Config;
use gtv_edge::store::{AuditQuery, Bucket, ClipOutcome, StoredClip, Stream};
use harness::{Centre, EdgeBox, PATIENCE, noise, static_access};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn everything_arrives_once_with_its_objects() {
    let centre = Centre::start();
    let edge = EdgeBox::new(centre.center.url(), None);
    edge.until("connected", |status| status.connected).await;
    let mut crops = Vec::new();
    for number in 0..120 {
        crops.push(edge.detect(number).await);
    }
    // Large enough to go in parts, and not a multiple of a part.
    let large = noise((17 << 20) + 5, 0);
    let clip = edge.attach_clip(crops[0].0, large.clone()).await;
    edge.alert(crops[1].0).await;
    let (gone, _) = edge.detect(998).await;
    let missing = edge.store().put_object(Bytes::from_static(b"gone"), "video/mp4", Bucket::Recordings).await.unwrap();
    std::fs::remove_file(edge.store().object_path(&missing.sha256).unwrap()).unwrap();
    let now = UtcMicros::now();
    let clip_gone = StoredClip { object: missing, stream: Stream::Main, start: now, end: now };
    edge.store().attach_clip(gone, ClipOutcome::Stored(clip_gone)).await.unwrap();
    edge.until_delivered().await;

    assert_eq!(centre.count("ai.detections").await, 121);
    assert_eq!(centre.count("ai.alerts").await, 1);
    assert_eq!(centre.count("streaming.clips").await, 2);
    assert_eq!(centre.count("cidades.cameras WHERE name = 'Gate'").await, 1);
    assert_eq!(centre.count("sync.objects WHERE checked = 'lost'").await, 1);
    assert_eq!(centre.count("sync.incidents").await, 0);
    centre.assert_chains_are_whole().await;
    for (_, crop) in &crops {
        let stored = centre.stored(&edge.identity, crop).await;
        assert_eq!(hex::encode(Sha256::digest(stored)), crop.sha256);
    }
    assert_eq!(centre.stored(&edge.identity, &clip).await, large);
    let status = edge.until("told", |status| status.pending() == 0).await;
    assert_eq!((status.centre, status.objects, status.conflict), (None, None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn outages_and_kills_lose_nothing_and_repeat_nothing() {
    let seed: u64 = std::env::var("GTV_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("GTV_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut centre = Centre::start();
    let mut edge = EdgeBox::new(centre.center.url(), None);
    edge.until("connected", |status| status.connected).await;
    let mut crops = Vec::new();
    for round in 0..20 {
        for _ in 0..random.random_range(1..30) {
            let (id, crop) = edge.detect(crops.len() as u64).await;
            if random.random_bool(0.3) {
                edge.attach_clip(id, format!("clip {}", crops.len()).into_bytes()).await;
            }
            crops.push(crop);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        match round % 5 {
            0 | 3 => {
                centre.center.kill();
                centre.center.start();
            }
            1 => {
                centre.garage.kill();
                edge.detect(9000 + round).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                centre.garage.start();
            }
            2 => {
                centre.postgres.kill();
                tokio::time::sleep(Duration::from_millis(500)).await;
                centre.postgres.start();
            }
            _ => {
                edge.stop().await;
                edge.start();
            }
        }
    }
    edge.until_delivered().await;
    let detections = edge.store().detections_count().await.unwrap() as i64;
    assert_eq!(centre.count("ai.detections").await, detections);
    assert_eq!(
        centre
            .sql()
            .await
            .query_one("SELECT count(DISTINCT id) FROM ai.detections", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        detections
    );
    assert_eq!(centre.count("sync.chains").await, 1, "nothing of this needs a new epoch");
    centre.assert_chains_are_whole().await;
    for crop in &crops {
        assert_eq!(hex::encode(Sha256::digest(centre.stored(&edge.identity, crop).await)), crop.sha256);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_refusal_says_what_to_do_and_loses_nothing() {
    let centre = Centre::start();
    let mut edge = EdgeBox::new(centre.center.url(), Some(static_access(&centre, "wrong")));
    edge.detect(1).await;
    let status = edge.until("refused", |status| status.objects.is_some()).await;
    let message = status.objects.unwrap().message;
    assert!(message.contains("sync.s3.secret_key") && message.contains(&centre.garage.endpoint()), "{message}");
    edge.until("still connected", |status| status.connected && status.blocked == 1).await;
    // An alert does not wait for the object store.
    edge.alert(DetectionId::new()).await;
    tokio::time::timeout(PATIENCE, async {
        while centre.count("ai.alerts").await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(centre.count("ai.detections").await, 0);

    edge.stop().await;
    edge.config.sync.s3 =
        Some(S3Config { bucket_prefix: "nowhere-".to_owned(), ..static_access(&centre, support::garage::SECRET_KEY) });
    edge.start();
    let status = edge.until("refused", |status| status.objects.is_some()).await;
    let message = status.objects.unwrap().message;
    assert!(message.contains("nowhere-lpr-images"), "{message}");

    edge.stop().await;
    edge.config.sync.s3 = Some(static_access(&centre, support::garage::SECRET_KEY));
    edge.start();
    edge.until_delivered().await;
    assert_eq!(centre.count("ai.detections").await, 1);
    assert_eq!(edge.status().objects, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn restored_backups_on_either_side_are_named_and_healed() {
    let mut centre = Centre::start();
    let mut edge = EdgeBox::new(centre.center.url(), None);
    for number in 0..10 {
        edge.detect(number).await;
    }
    edge.until_delivered().await;

    // The centre goes back to the state after the fifth record.
    centre.center.stop();
    let sql = centre.sql().await;
    sql.batch_execute(
        "DELETE FROM ai.detections WHERE seq > 5;
         DELETE FROM sync.heads WHERE seq > 5;
         DELETE FROM sync.records WHERE seq > 5;
         UPDATE sync.chains SET seq = 5, hash = (SELECT hash FROM sync.records WHERE seq = 5);",
    )
    .await
    .unwrap();
    centre.center.start();
    let status = edge.until("told", |status| status.conflict.is_some()).await;
    let message = status.conflict.unwrap().message;
    assert!(message.contains("restored") && message.contains("sent again"), "{message}");
    edge.until_delivered().await;
    assert_eq!(centre.count("ai.detections").await, 10);
    assert_eq!(centre.count("sync.chains").await, 1);
    centre.assert_chains_are_whole().await;

    // The box goes back to a copy of its database that is older than what it delivered.
    edge.stop().await;
    let backup = tempfile::tempdir().unwrap();
    copy_database(edge.folder.path(), backup.path());
    edge.start();
    edge.detect(10).await;
    edge.until_delivered().await;
    edge.stop().await;
    copy_database(backup.path(), edge.folder.path());
    edge.start();
    edge.until("told", |status| status.conflict.is_some()).await;
    edge.detect(11).await;
    edge.until_delivered().await;
    assert_eq!(centre.count("sync.chains").await, 2);
    assert_eq!(centre.count("ai.detections").await, 12);
    centre.assert_chains_are_whole().await;
    let query = AuditQuery { action: Some("sync.conflict".to_owned()), ..AuditQuery::default() };
    assert_eq!(edge.store().audit(query).await.unwrap().len(), 2, "both are in the audit log");

    // The box loses its database altogether: the next one is a later epoch by itself.
    edge.stop().await;
    for name in ["gtv.db", "gtv.db-wal", "gtv.db-shm"] {
        let _ = std::fs::remove_file(edge.folder.path().join(name));
    }
    edge.start();
    edge.detect(12).await;
    edge.until_delivered().await;
    assert_eq!(centre.count("sync.chains").await, 3);
    assert_eq!(centre.count("ai.detections").await, 13);
    centre.assert_chains_are_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_box_without_keys_uploads_what_the_centre_signs() {
    let mut centre = Centre::signing_uploads();
    let (_, health) = centre.center.get("/healthz").unwrap();
    assert!(health.contains("presigned"), "{health}");
    let edge = EdgeBox::new(centre.center.url(), None);
    let mut crops = Vec::new();
    for number in 0..40 {
        crops.push(edge.detect(number).await);
    }
    // Four parts, the last one short.
    let large = noise((17 << 20) + 5, 0);
    let clip = edge.attach_clip(crops[0].0, large.clone()).await;
    edge.until_delivered().await;
    assert_eq!(centre.stored(&edge.identity, &clip).await, large);
    for (_, crop) in &crops {
        assert_eq!(hex::encode(Sha256::digest(centre.stored(&edge.identity, crop).await)), crop.sha256);
    }
    assert_eq!(edge.status().objects, None);

    // A new session signs again; a file that is not what its name says is told apart from a failing store.
    centre.center.kill();
    let (_, damaged) = edge.detect(100).await;
    std::fs::write(edge.store().object_path(&damaged.sha256).unwrap(), b"altered!").unwrap();
    edge.detect(101).await;
    centre.center.start();
    edge.until_delivered().await;
    assert_eq!(centre.count("ai.detections").await, 42);
    assert_eq!(centre.count("sync.objects WHERE checked = 'lost'").await, 1);
    assert_eq!(centre.count("sync.incidents").await, 0);
}

fn copy_database(from: &Path, to: &Path) {
    for name in ["gtv.db", "gtv.db-wal"] {
        match std::fs::copy(from.join(name), to.join(name)) {
            Ok(_) => {}
            Err(_) => drop(std::fs::remove_file(to.join(name))),
        }
    }
    let _ = std::fs::remove_file(to.join("gtv.db-shm"));
}
