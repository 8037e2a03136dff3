//! The box of the chaos test: store and delivery as in the daemon, fed with passages, clips and alerts as fast as a busy
//! street gives them, until it is killed. What it was told is kept it says on its standard output.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use gtv_edge::base::identity::Identity;
use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::ByteSize;
use gtv_edge::config::{CameraConfig, Config, SyncConfig};
use gtv_edge::store::{AlertRow, Bucket, ClipOutcome, Severity, Store, StoreError, StoredClip, Stream};
use gtv_edge::sync;
use gtv_protocol::body::HOUR_US;
use rand::RngExt;

use crate::support::passage::passage;

pub const DIR: &str = "GTV_CHAOS_DIR";
pub const URL: &str = "GTV_CHAOS_URL";
/// `sync.spool_max` and `sync.records_max`; absent: as delivered.
pub const SPOOL_MAX: &str = "GTV_CHAOS_SPOOL_MAX";
pub const RECORDS_MAX: &str = "GTV_CHAOS_RECORDS_MAX";
/// Of 10,000 passages, those with a clip of 9 to 20 MiB, which goes in parts.
pub const LARGE: &str = "GTV_CHAOS_LARGE";
/// Set: nothing new happens, and the process ends when everything is delivered and every hour is stated.
pub const DRAIN: &str = "GTV_CHAOS_DRAIN";

/// Pictures of which the boxes have the same ones, and each box has them several times.
const SAME_PICTURES: u64 = 40;

/// Does nothing without its variables.
pub async fn run() {
    let (Some(dir), Ok(url)) = (std::env::var_os(DIR).map(PathBuf::from), std::env::var(URL)) else { return };
    let gate = CameraConfig { id: "gate".parse().unwrap(), name: "Gate".to_owned(), ..CameraConfig::default() };
    let mut sync_config = SyncConfig { url, batch_records: 20, ..SyncConfig::default() };
    if let Some(bytes) = number(SPOOL_MAX) {
        sync_config.spool_max = ByteSize(bytes);
    }
    if let Some(records) = number(RECORDS_MAX) {
        sync_config.records_max = records;
    }
    let config = Config { data_dir: dir.clone(), sync: sync_config, cameras: vec![gate], ..Config::default() };
    let identity = Identity::open_or_create(&dir).expect("the box's identity");
    let store = open(&dir).await;
    let tasks = Tasks::new();
    let _handle = sync::start(&config, store.clone(), identity.clone(), &tasks);
    println!("\nrunning");
    if std::env::var_os(DRAIN).is_some() {
        drain(&store, &identity, tasks).await;
        return;
    }
    let large = number(LARGE).unwrap_or(0);
    loop {
        match happen(&store, large).await {
            Ok(kept) => println!("kept {kept}"),
            // Of a full disk: what is not kept was not confirmed either.
            Err(error) => println!("refused {error}"),
        }
        let pause = rand::rng().random_range(1..25);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// A disk that is full at the start is tried again, as systemd would.
async fn open(dir: &Path) -> Store {
    loop {
        match Store::open(dir) {
            Ok(store) => return store,
            Err(error) => println!("refused {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn happen(store: &Store, large: u64) -> Result<DetectionId, StoreError> {
    let (number, kind): (u64, u64) = (rand::random(), rand::rng().random_range(0..10_000));
    let crop = store.put_object(picture(number), "image/jpeg", Bucket::LprImages).await?;
    let row = passage(&format!("ABC{:04}", number % 10_000), Some(crop));
    let (id, now) = (row.id, row.last_seen);
    store.insert_detection(row).await?;
    if kind < 1000 {
        alert(store, id, now).await?;
    }
    match kind {
        _ if kind < large => {
            let bytes = rand::rng().random_range(9 << 20..20 << 20);
            clip(store, id, now, bytes).await?;
        }
        500..1500 => clip(store, id, now, 60 << 10).await?,
        2000..2100 => lost_clip(store, id, now).await?,
        _ => {}
    }
    Ok(id)
}

/// 2 to 12 KiB as a plate has them; one in ten is of those that both boxes have.
fn picture(number: u64) -> Bytes {
    if number.is_multiple_of(10) {
        return Bytes::from(format!("picture {}", number / 10 % SAME_PICTURES).repeat(300));
    }
    let mut content = vec![0; rand::rng().random_range(2 << 10..12 << 10)];
    rand::fill(&mut content[..]);
    content.into()
}

async fn alert(store: &Store, detection: DetectionId, at: UtcMicros) -> Result<(), StoreError> {
    let row = AlertRow {
        id: uuid::Uuid::new_v4(),
        at,
        kind: "watchlist".to_owned(),
        severity: Severity::Critical,
        camera: Some("gate".parse().expect("an id")),
        detection: Some(detection),
        title: "A watched plate passed".to_owned(),
        detail: serde_json::Value::Null,
        acknowledged_at: None,
        acknowledged_by: None,
    };
    store.insert_alert(row, Some(Plate::normalize("ABC1D23"))).await
}

async fn clip(store: &Store, id: DetectionId, at: UtcMicros, bytes: usize) -> Result<(), StoreError> {
    let mut content = vec![0; bytes];
    rand::fill(&mut content[..]);
    let object = store.put_object(content.into(), "video/mp4", Bucket::Recordings).await?;
    let outcome = ClipOutcome::Stored(StoredClip { object, stream: Stream::Main, start: at, end: at });
    store.attach_clip(id, outcome).await
}

/// A clip whose file is gone before it can be sent: the centre is told so.
async fn lost_clip(store: &Store, id: DetectionId, at: UtcMicros) -> Result<(), StoreError> {
    let content = Bytes::from(format!("lost {id}"));
    let object = store.put_object(content, "video/mp4", Bucket::Recordings).await?;
    if let Some(path) = store.object_path(&object.sha256) {
        println!("damaged {}", object.sha256);
        let _ = std::fs::remove_file(path);
    }
    let outcome = ClipOutcome::Stored(StoredClip { object, stream: Stream::Main, start: at, end: at });
    store.attach_clip(id, outcome).await
}

async fn drain(store: &Store, identity: &Identity, tasks: Tasks) {
    delivered(store, identity).await;
    // As its housekeeping does hours later, when no wrong clock of the test can have made a record in them.
    let later = UtcMicros::now().add_micros(4 * HOUR_US);
    while store.prove(identity, later).await.expect("the store answers") {}
    delivered(store, identity).await;
    tasks.shutdown(Duration::from_secs(20)).await;
    println!("drained");
}

async fn delivered(store: &Store, identity: &Identity) {
    let mut quiet = 0;
    while quiet < 10 {
        let owed = store.outbox_status(identity.box_id).await.expect("the store answers").pending();
        quiet = if owed == 0 { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
