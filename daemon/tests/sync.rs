//! Delivery to a real gtv-sync with a real PostgreSQL and a real S3: what arrives, what outages of each of them and
//! kills do to it, and what a refusal looks like to the person at the box.

#[path = "../../central/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chrono::{Datelike, Local};
use gtv_edge::base::identity::Identity;
use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::secret::Secret;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::{CameraConfig, Config, LaneConfig, LanesConfig, S3Config, SyncConfig};
use gtv_edge::store::{
    AlertRow, AuditQuery, Bucket, ClipOutcome, DetectionRow, ObjectRef, Severity, Store, StoredClip, Stream,
};
use gtv_edge::sync::{self, SyncHandle, SyncStatus};
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use support::{Center, Garage, Postgres};
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(120);

/// PostgreSQL, S3 and gtv-sync.
struct Centre {
    postgres: Postgres,
    garage: Garage,
    center: Center,
}

impl Centre {
    fn start() -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let center = Center::start_vending(&postgres, &garage);
        Self { postgres, garage, center }
    }

    fn signing_uploads() -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let center = Center::start_with(&postgres, &garage, &[("GTV_SYNC_BOX_S3_ACCESS", "presigned")]);
        Self { postgres, garage, center }
    }

    async fn sql(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn count(&self, what: &str) -> i64 {
        self.sql().await.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }

    /// The bytes that S3 has of an object.
    async fn stored(&self, identity: &Identity, object: &ObjectRef) -> Vec<u8> {
        let bucket = AmazonS3Builder::new()
            .with_endpoint(self.garage.endpoint())
            .with_region(support::garage::REGION)
            .with_bucket_name(object.bucket.as_str())
            .with_access_key_id(support::garage::ACCESS_KEY)
            .with_secret_access_key(support::garage::SECRET_KEY)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .build()
            .unwrap();
        let digest = gtv_protocol::Hash::parse(&object.sha256).unwrap();
        let key = gtv_protocol::record::object_key(identity.box_id.0, &digest);
        bucket.get(&key.into()).await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// Each epoch is gapless from 1 and each record continues the one before it.
    async fn assert_chains_are_whole(&self) {
        let broken = "SELECT count(*) FROM (
                SELECT seq, prev_hash, lag(hash) OVER w AS before, row_number() OVER w AS n
                FROM sync.records WINDOW w AS (PARTITION BY box_id, epoch ORDER BY seq)) r
            WHERE seq <> n OR before IS NOT NULL AND before <> prev_hash";
        assert_eq!(self.sql().await.query_one(broken, &[]).await.unwrap().get::<_, i64>(0), 0, "chain");
    }
}

/// A box with its delivery running.
struct EdgeBox {
    folder: tempfile::TempDir,
    config: Config,
    identity: Identity,
    running: Option<(Store, Tasks, SyncHandle)>,
}

impl EdgeBox {
    fn new(url: String, s3: Option<S3Config>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gate = CameraConfig { id: "gate".parse().unwrap(), name: "Gate".to_owned(), ..CameraConfig::default() };
        let config = Config {
            data_dir: folder.path().to_owned(),
            sync: SyncConfig { url, batch_records: 50, s3, ..SyncConfig::default() },
            cameras: vec![gate],
            ..Config::default()
        };
        let identity = Identity::open_or_create(folder.path()).unwrap();
        let mut this = Self { folder, config, identity, running: None };
        this.start();
        this
    }

    fn start(&mut self) {
        let store = Store::open(self.folder.path()).unwrap();
        let tasks = Tasks::new();
        let handle = sync::start(&self.config, store.clone(), self.identity.clone(), &tasks);
        self.running = Some((store, tasks, handle));
    }

    async fn stop(&mut self) {
        let (store, tasks, handle) = self.running.take().unwrap();
        assert!(tasks.shutdown(Duration::from_secs(20)).await);
        drop((store, tasks, handle));
    }

    fn store(&self) -> &Store {
        &self.running.as_ref().unwrap().0
    }

    fn status(&self) -> SyncStatus {
        self.running.as_ref().unwrap().2.status().borrow().clone()
    }

    /// Waits until `wanted` holds for the status.
    async fn until(&self, what: &str, wanted: impl Fn(&SyncStatus) -> bool) -> SyncStatus {
        let mut status = self.running.as_ref().unwrap().2.status();
        let found = tokio::time::timeout(PATIENCE, status.wait_for(|status| wanted(status))).await;
        found.unwrap_or_else(|_| panic!("not {what} in time: {:#?}", self.status())).unwrap().clone()
    }

    async fn until_delivered(&self) {
        let delivered = async {
            while self.store().outbox_status(self.identity.box_id).await.unwrap().pending() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, delivered).await.is_ok();
        assert!(in_time, "not delivered in time: {:#?}", self.status());
    }

    async fn detect(&self, number: u64) -> (DetectionId, ObjectRef) {
        let store = self.store();
        let crop =
            store.put_object(Bytes::from(format!("crop {number}")), "image/jpeg", Bucket::LprImages).await.unwrap();
        let now = UtcMicros::now();
        let row = DetectionRow {
            id: DetectionId::new(),
            camera: "gate".parse().unwrap(),
            plate: Plate::normalize(&format!("ABC{number:04}")),
            layout: "br-old".to_owned(),
            category: Some("commercial".to_owned()),
            confidence: 0.97,
            alternatives: vec![("ABC1D23".to_owned(), 0.02)],
            first_seen: now.add_micros(-1_000_000),
            last_seen: now,
            best_at: now,
            quad: [[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]],
            bbox: [1.0, 2.0, 3.0, 4.0],
            frame_width: 1920,
            frame_height: 1080,
            direction: None,
            reads: 5,
            single: false,
            crop: Some(crop.clone()),
            frame: None,
            clip: None,
            clip_unavailable: None,
            slots: serde_json::Value::Null,
        };
        store.insert_detection(row.clone()).await.unwrap();
        (row.id, crop)
    }

    async fn attach_clip(&self, id: DetectionId, bytes: Vec<u8>) -> ObjectRef {
        let object = self.store().put_object(bytes.into(), "video/mp4", Bucket::Recordings).await.unwrap();
        let now = UtcMicros::now();
        let clip =
            StoredClip { object: object.clone(), stream: Stream::Main, start: now.add_micros(-5_000_000), end: now };
        self.store().attach_clip(id, ClipOutcome::Stored(clip)).await.unwrap();
        object
    }

    async fn alert(&self, detection: DetectionId) {
        let row = AlertRow {
            id: uuid::Uuid::new_v4(),
            at: UtcMicros::now(),
            kind: "watchlist".to_owned(),
            severity: Severity::Critical,
            camera: Some("gate".parse().unwrap()),
            detection: Some(detection),
            title: "A watched plate passed".to_owned(),
            detail: serde_json::Value::Null,
            acknowledged_at: None,
            acknowledged_by: None,
        };
        self.store().insert_alert(row, Some(Plate::normalize("ABC1D23"))).await.unwrap();
    }
}

fn static_access(centre: &Centre, secret_key: &str) -> S3Config {
    S3Config {
        endpoint: centre.garage.endpoint(),
        region: support::garage::REGION.to_owned(),
        bucket_prefix: String::new(),
        access_key: support::garage::ACCESS_KEY.to_owned(),
        secret_key: Secret::new(secret_key),
        allow_http: true,
    }
}

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
    let large: Vec<u8> = (0..(17 << 20) + 5).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
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
    // Three parts, the last one short.
    let large: Vec<u8> = (0..(17 << 20) + 5).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn lanes_keep_to_their_hours_and_limits_and_change_at_once() {
    let centre = Centre::start();
    let mut edge = EdgeBox::new(centre.center.url(), None);
    edge.stop().await;
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let another_day = days[(Local::now().weekday().num_days_from_monday() as usize + 3) % 7];
    let closed = LaneConfig { kbit_per_s: 0, windows: vec![format!("{another_day} 10:00-11:00")] };
    edge.config.sync.lanes = LanesConfig { clips: closed, ..LanesConfig::default() };
    edge.start();
    let (first, _) = edge.detect(1).await;
    edge.attach_clip(first, vec![7; 50_000]).await;
    edge.alert(first).await;
    edge.until("all but the clip", |status| status.waiting == [0, 0, 1, 0] && status.last_seq == status.acked_seq)
        .await;
    assert_eq!(centre.count("ai.detections").await, 1);
    assert_eq!(centre.count("streaming.clips").await, 0, "not at this hour");

    edge.running.as_ref().unwrap().2.set(&SyncConfig::default());
    edge.until_delivered().await;
    assert_eq!(centre.count("streaming.clips").await, 1);

    let slow = LaneConfig { kbit_per_s: 160, windows: Vec::new() };
    let lanes = LanesConfig { clips: slow, ..LanesConfig::default() };
    edge.running.as_ref().unwrap().2.set(&SyncConfig { lanes, ..SyncConfig::default() });
    let (second, _) = edge.detect(2).await;
    let started = std::time::Instant::now();
    edge.attach_clip(second, vec![8; 60_000]).await;
    edge.detect(3).await;
    edge.until_delivered().await;
    // 20,000 bytes a second; the last piece leaves when those before it are through.
    assert!(started.elapsed() > Duration::from_millis(2500), "{:?}", started.elapsed());
    assert_eq!(centre.count("streaming.clips").await, 2);
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
