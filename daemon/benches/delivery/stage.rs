//! A box with its store and delivery, the servers it delivers to, and the clock beside its alerts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gtv_edge::base::identity::Identity;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::secret::Secret;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::{Config, S3Config, SyncConfig};
use gtv_edge::store::{AlertRow, Bucket, ClipOutcome, OutboxStatus, Severity, Store, StoredClip, Stream};
use gtv_edge::sync;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use rand::RngExt;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::common::{Plates, passage};
use crate::support::garage::{ACCESS_KEY, REGION, SECRET_KEY};
use crate::support::{Center, Garage, Postgres};

/// As many as the box has on their way.
const AT_A_TIME: usize = 4;
/// Passages made at a time, so that one fsync is for many.
const SEEDED_AT_A_TIME: usize = 64;

pub struct Stage {
    postgres: Postgres,
    pub garage: Garage,
    pub center: Center,
}

impl Stage {
    pub fn new() -> Self {
        let postgres = Postgres::start_durable();
        let garage = Garage::start_empty();
        let center = Center::start_new(&postgres, &garage);
        Self { postgres, garage, center }
    }

    pub fn edge_box() -> EdgeBox {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let identity = Identity::open_or_create(folder.path()).expect("a fresh folder");
        let store = Store::open(folder.path()).expect("a fresh store");
        EdgeBox { folder, identity, store, objects: Vec::new(), tasks: None }
    }

    /// Looks every few milliseconds which alerts are committed.
    pub async fn watch_alerts(&self) -> Watcher {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        let state: Arc<Mutex<Latencies>> = Arc::default();
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let open: Vec<String> = shared.lock().expect("no panic").open.keys().cloned().collect();
                let committed = "SELECT id FROM ai.alerts WHERE id = ANY($1)";
                let rows = client.query(committed, &[&open]).await.expect("the table exists");
                let now = Instant::now();
                let mut state = shared.lock().expect("no panic");
                for id in rows.iter().map(|row| row.get::<_, String>(0)) {
                    if let Some(at) = state.open.remove(&id) {
                        state.done_ms.push((now - at).as_secs_f64() * 1000.0);
                    }
                }
            }
        });
        Watcher { state, task }
    }
}

#[derive(Default)]
struct Latencies {
    open: HashMap<String, Instant>,
    done_ms: Vec<f64>,
}

pub struct Watcher {
    state: Arc<Mutex<Latencies>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    pub fn raised(&self, (id, at): (Uuid, Instant)) {
        self.state.lock().expect("no panic").open.insert(id.to_string(), at);
    }

    /// Milliseconds of every alert, from the call that raised it to the row at the centre.
    pub async fn finish(self) -> Vec<f64> {
        while !self.state.lock().expect("no panic").open.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.task.abort();
        std::mem::take(&mut self.state.lock().expect("no panic").done_ms)
    }
}

pub struct EdgeBox {
    folder: tempfile::TempDir,
    identity: Identity,
    store: Store,
    objects: Vec<String>,
    tasks: Option<Tasks>,
}

impl EdgeBox {
    /// Passages that wait, each with a crop of random bytes, and the first of them with clips.
    pub async fn passages(&mut self, count: usize, crop_bytes: usize, clips: usize, clip_bytes: usize) {
        let mut plates = Plates::new(7);
        let texts: Vec<String> = (0..count).map(|_| plates.next()).collect();
        let store = &self.store;
        let made = stream::iter(texts.into_iter().enumerate()).map(|(number, plate)| async move {
            let clip_bytes = if number < clips { clip_bytes } else { 0 };
            wait_for_delivery(store, &plate, crop_bytes, clip_bytes).await
        });
        self.objects = made.buffered(SEEDED_AT_A_TIME).collect().await;
    }

    pub fn object_paths(&self) -> Vec<PathBuf> {
        self.objects.iter().filter_map(|sha256| self.store.object_path(sha256)).collect()
    }

    pub fn start(&mut self, url: &str, endpoint: &str) {
        let s3 = S3Config {
            endpoint: endpoint.to_owned(),
            region: REGION.to_owned(),
            bucket_prefix: String::new(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: Secret::new(SECRET_KEY),
            allow_http: true,
        };
        let sync = SyncConfig { url: url.to_owned(), s3: Some(s3), ..SyncConfig::default() };
        let config = Config { data_dir: self.folder.path().to_owned(), sync, ..Config::default() };
        let tasks = Tasks::new();
        let _ = sync::start(&config, self.store.clone(), self.identity.clone(), &tasks);
        self.tasks = Some(tasks);
    }

    pub async fn stop(&mut self) {
        if let Some(tasks) = self.tasks.take() {
            assert!(tasks.shutdown(Duration::from_secs(20)).await, "delivery did not stop");
        }
    }

    /// Looks `every` so often: counting a long backlog costs the box some milliseconds each time.
    pub async fn until(&self, every: Duration, reached: impl Fn(&OutboxStatus) -> bool) {
        while !reached(&self.store.outbox_status(self.identity.box_id).await.expect("the store answers")) {
            tokio::time::sleep(every).await;
        }
    }

    pub async fn alert(&self) -> (Uuid, Instant) {
        let row = AlertRow {
            id: Uuid::new_v4(),
            at: UtcMicros::now(),
            kind: "watchlist".to_owned(),
            severity: Severity::Critical,
            camera: Some("gate".parse().expect("a camera id")),
            detection: None,
            title: "A watched plate passed".to_owned(),
            detail: serde_json::Value::Null,
            acknowledged_at: None,
            acknowledged_by: None,
        };
        let (id, at) = (row.id, Instant::now());
        self.store.insert_alert(row, Some(Plate::normalize("ABC1D23"))).await.expect("disk");
        (id, at)
    }
}

/// A passage with its crop and, with more than no bytes, its clip; the digest of the crop.
async fn wait_for_delivery(store: &Store, plate: &str, crop_bytes: usize, clip_bytes: usize) -> String {
    let crop = store.put_object(noise(crop_bytes), "image/jpeg", Bucket::LprImages).await.expect("disk");
    let sha256 = crop.sha256.clone();
    let mut row = passage(plate, UtcMicros::now().0);
    row.crop = Some(crop);
    let (id, start, end) = (row.id, row.first_seen, row.last_seen);
    store.insert_detection(row).await.expect("disk");
    if clip_bytes > 0 {
        let object = store.put_object(noise(clip_bytes), "video/mp4", Bucket::Recordings).await.expect("disk");
        let clip = StoredClip { object, stream: Stream::Main, start, end };
        store.attach_clip(id, ClipOutcome::Stored(clip)).await.expect("disk");
    }
    sha256
}

fn noise(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    rand::rng().fill(&mut bytes[..]);
    bytes.into()
}

/// The S3 client alone: the same files, as many at a time.
pub async fn raw_upload(stage: &Stage, paths: &[PathBuf]) {
    let bucket = AmazonS3Builder::new()
        .with_endpoint(stage.garage.endpoint())
        .with_region(REGION)
        .with_bucket_name("lpr-images")
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_virtual_hosted_style_request(false)
        .with_allow_http(true)
        .build()
        .expect("settings");
    let bucket = &bucket;
    stream::iter(paths)
        .for_each_concurrent(AT_A_TIME, |path| async move {
            let bytes = tokio::fs::read(path).await.expect("the file is there");
            let key = Path::from(format!("raw/{}", Uuid::new_v4()));
            bucket.put(&key, PutPayload::from(bytes)).await.expect("S3 takes it");
        })
        .await;
}
