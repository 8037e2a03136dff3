//! The servers of a centre, and a box that delivers to them.

use std::time::Duration;

use bytes::Bytes;
use gtv_edge::base::identity::Identity;
use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::secret::Secret;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::{CameraConfig, Config, S3Config, SyncConfig};
use gtv_edge::store::{AlertRow, Bucket, ClipOutcome, ObjectRef, Severity, Store, StoredClip, Stream};
use gtv_edge::sync::{self, SyncHandle, SyncStatus};
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use tokio_postgres::{Client, NoTls};

use crate::passage::passage;
use crate::support::{self, Center, Garage, Postgres};
use crate::throttle::{Forward, Line};

pub const PATIENCE: Duration = Duration::from_secs(120);

/// PostgreSQL, S3 and gtv-sync.
pub struct Centre {
    pub postgres: Postgres,
    pub garage: Garage,
    pub center: Center,
}

impl Centre {
    pub fn start() -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let center = Center::start_vending(&postgres, &garage);
        Self { postgres, garage, center }
    }

    pub fn signing_uploads() -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let center = Center::start_with(&postgres, &garage, &[("GTV_SYNC_BOX_S3_ACCESS", "presigned")]);
        Self { postgres, garage, center }
    }

    /// Boxes reach the object store over `line`, with `access` of `--box-s3-access`.
    pub fn behind(line: &Line, access: &str) -> (Self, Forward) {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let s3 = line.forward(garage.endpoint().trim_start_matches("http://"));
        let mut more = vec![("GTV_SYNC_BOX_S3_ACCESS", access.to_owned())];
        more.push(("GTV_SYNC_BOX_S3_ENDPOINT", format!("http://{}", s3.address)));
        more.push(("GTV_SYNC_BOX_S3_ACCESS_KEY", support::garage::ACCESS_KEY.to_owned()));
        more.push(("GTV_SYNC_BOX_S3_SECRET_KEY", support::garage::SECRET_KEY.to_owned()));
        let more: Vec<_> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let center = Center::start_with(&postgres, &garage, &more);
        (Self { postgres, garage, center }, s3)
    }

    pub async fn sql(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub async fn count(&self, what: &str) -> i64 {
        self.sql().await.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }

    /// Waits until a table of the centre has that many rows.
    pub async fn until_count(&self, what: &str, wanted: i64) {
        let counted = async {
            while self.count(what).await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, counted).await.is_ok();
        assert!(in_time, "{} of {what} instead of {wanted}", self.count(what).await);
    }

    /// The client of an object's bucket, on the direct way.
    pub fn bucket(&self, object: &ObjectRef) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(self.garage.endpoint())
            .with_region(support::garage::REGION)
            .with_bucket_name(object.bucket.as_str())
            .with_access_key_id(support::garage::ACCESS_KEY)
            .with_secret_access_key(support::garage::SECRET_KEY)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .build()
            .unwrap()
    }

    /// The bytes that S3 has of an object.
    pub async fn stored(&self, identity: &Identity, object: &ObjectRef) -> Vec<u8> {
        self.bucket(object).get(&key(identity, object)).await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// Each epoch is gapless from 1 and each record continues the one before it.
    pub async fn assert_chains_are_whole(&self) {
        let broken = "SELECT count(*) FROM (
                SELECT seq, prev_hash, lag(hash) OVER w AS before, row_number() OVER w AS n
                FROM sync.records WINDOW w AS (PARTITION BY box_id, epoch ORDER BY seq)) r
            WHERE seq <> n OR before IS NOT NULL AND before <> prev_hash";
        assert_eq!(self.sql().await.query_one(broken, &[]).await.unwrap().get::<_, i64>(0), 0, "chain");
    }
}

/// A box with its delivery running.
pub struct EdgeBox {
    pub folder: tempfile::TempDir,
    pub config: Config,
    pub identity: Identity,
    pub running: Option<(Store, Tasks, SyncHandle)>,
}

impl EdgeBox {
    pub fn new(url: String, s3: Option<S3Config>) -> Self {
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

    pub fn start(&mut self) {
        let store = Store::open(self.folder.path()).unwrap();
        let tasks = Tasks::new();
        let handle = sync::start(&self.config, store.clone(), self.identity.clone(), &tasks);
        self.running = Some((store, tasks, handle));
    }

    /// Starts it without a centre: what comes waits until it is started again.
    pub async fn rest(&mut self) {
        self.stop().await;
        let url = std::mem::take(&mut self.config.sync.url);
        self.start();
        self.config.sync.url = url;
    }

    pub async fn stop(&mut self) {
        let (store, tasks, handle) = self.running.take().unwrap();
        assert!(tasks.shutdown(Duration::from_secs(20)).await);
        drop((store, tasks, handle));
    }

    pub fn store(&self) -> &Store {
        &self.running.as_ref().unwrap().0
    }

    pub fn status(&self) -> SyncStatus {
        self.running.as_ref().unwrap().2.status().borrow().clone()
    }

    /// Waits until `wanted` holds for the status.
    pub async fn until(&self, what: &str, wanted: impl Fn(&SyncStatus) -> bool) -> SyncStatus {
        let mut status = self.running.as_ref().unwrap().2.status();
        let found = tokio::time::timeout(PATIENCE, status.wait_for(|status| wanted(status))).await;
        found.unwrap_or_else(|_| panic!("not {what} in time: {:#?}", self.status())).unwrap().clone()
    }

    pub async fn until_delivered(&self) {
        let delivered = async {
            while self.store().outbox_status(self.identity.box_id).await.unwrap().pending() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, delivered).await.is_ok();
        assert!(in_time, "not delivered in time: {:#?}", self.status());
    }

    pub async fn detect(&self, number: u64) -> (DetectionId, ObjectRef) {
        self.detect_with(number, Bytes::from(format!("crop {number}"))).await
    }

    pub async fn detect_with(&self, number: u64, crop: Bytes) -> (DetectionId, ObjectRef) {
        let store = self.store();
        let crop = store.put_object(crop, "image/jpeg", Bucket::LprImages).await.unwrap();
        let row = passage(&format!("ABC{number:04}"), Some(crop.clone()));
        store.insert_detection(row.clone()).await.unwrap();
        (row.id, crop)
    }

    pub async fn attach_clip(&self, id: DetectionId, bytes: Vec<u8>) -> ObjectRef {
        let object = self.store().put_object(bytes.into(), "video/mp4", Bucket::Recordings).await.unwrap();
        self.attach(id, &object).await;
        object
    }

    pub async fn attach(&self, id: DetectionId, object: &ObjectRef) {
        let now = UtcMicros::now();
        let clip =
            StoredClip { object: object.clone(), stream: Stream::Main, start: now.add_micros(-5_000_000), end: now };
        self.store().attach_clip(id, ClipOutcome::Stored(clip)).await.unwrap();
    }

    pub async fn alert(&self, detection: DetectionId) {
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

/// Where an object is in its bucket.
pub fn key(identity: &Identity, object: &ObjectRef) -> object_store::path::Path {
    let digest = gtv_protocol::Hash::parse(&object.sha256).unwrap();
    gtv_protocol::record::object_key(identity.box_id.0, &digest).into()
}

/// Bytes that repeat after a long time only, others for another `seed`.
pub fn noise(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|i| ((i ^ seed.rotate_left(20)).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

pub fn static_access(centre: &Centre, secret_key: &str) -> S3Config {
    S3Config {
        endpoint: centre.garage.endpoint(),
        region: support::garage::REGION.to_owned(),
        bucket_prefix: String::new(),
        access_key: support::garage::ACCESS_KEY.to_owned(),
        secret_key: Secret::new(secret_key),
        allow_http: true,
    }
}
