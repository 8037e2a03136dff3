//! The plate reader of a box: loads the models, watches cameras, stores passages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::mpsc;

use super::models::{Models, ModelsStatus};
use super::motion::Looks;
use super::row::{Job, store_passage};
use super::stats::{StageMs, Stats};
use super::watch::{Shared, Watch, ZonesInForce};
use super::zones::Zones;
use crate::base::ids::CameraId;
use crate::base::metrics::dropped;
use crate::base::tasks::{CancellationToken, OnExit, TaskResult, Tasks};
use crate::config::{CameraConfig, LprConfig};
use crate::media::{FrameSlot, Wanted};
use crate::store::Store;

/// Passages that may wait for the store; a camera that finds it full waits itself.
const ROWS_WAITING: usize = 64;
/// Passages stored side by side: their fsyncs share group commits.
const ROWS_AT_ONCE: usize = 4;
/// How long the last passages may take when the box stops.
const DRAIN: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LprState {
    /// `lpr.enabled = false`.
    Off,
    Starting,
    Running,
    /// The models cannot be loaded; it is tried again.
    Failed,
}

/// What the page and the fleet see.
#[derive(Clone, Debug, Serialize)]
pub struct LprStatus {
    pub state: LprState,
    /// Why it is not running; or which provider runs and why not an earlier one.
    pub reason: String,
    /// `tensorrt`, `cuda` or `cpu`; empty until it runs.
    pub provider: String,
    pub models: Option<ModelsStatus>,
    /// Sets of models that work side by side.
    pub workers: usize,
    pub cameras: usize,
    /// Milliseconds since the start.
    pub stages: Vec<StageMs>,
}

struct Watched {
    slot: Arc<FrameSlot>,
    zones: Arc<ZonesInForce>,
    tasks: Tasks,
}

#[derive(Clone)]
struct Loaded {
    state: LprState,
    reason: String,
    models: Option<ModelsStatus>,
}

struct Inner {
    shared: Arc<Shared>,
    tasks: Tasks,
    loaded: Mutex<Loaded>,
    cameras: Mutex<BTreeMap<CameraId, Watched>>,
}

/// Clones share the engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Engine {
    /// Starts at once; the models are loaded in the background and tried again where they fail, and no frame is
    /// decoded until they are there. Without `lpr.enabled` nothing is ever loaded.
    pub fn start(config: &LprConfig, store: Store, tasks: &Tasks) -> Self {
        let (rows, waiting) = mpsc::channel(ROWS_WAITING);
        let shared = Arc::new(Shared {
            config: config.clone(),
            pool: Arc::default(),
            stats: Stats::default(),
            rows,
            told: Mutex::default(),
            looks: OnceLock::new(),
        });
        let state = if config.enabled { LprState::Starting } else { LprState::Off };
        let reason = if config.enabled { "the models are being loaded" } else { "lpr.enabled is false" };
        let loaded = Loaded { state, reason: reason.to_owned(), models: None };
        let inner = Arc::new(Inner {
            shared: Arc::clone(&shared),
            tasks: tasks.child("lpr"),
            loaded: Mutex::new(loaded),
            cameras: Mutex::default(),
        });
        if config.enabled {
            let loading = Arc::clone(&inner);
            inner.tasks.spawn("models", OnExit::Restart, move |token| load(Arc::clone(&loading), token));
        }
        let token = inner.tasks.token();
        inner.tasks.spawn_once(async move { store_rows(waiting, &store, &shared, token).await });
        Self { inner }
    }

    /// Puts a camera under watch and gives the mailbox that its decoder fills; the same one while it is watched.
    pub fn camera(&self, id: &CameraId) -> Arc<FrameSlot> {
        let mut cameras = lock(&self.inner.cameras);
        if let Some(watched) = cameras.get(id) {
            return Arc::clone(&watched.slot);
        }
        let running = lock(&self.inner.loaded).state == LprState::Running;
        let slot = Arc::new(FrameSlot::new(if running { Wanted::All } else { Wanted::Nothing }));
        let tasks = self.inner.tasks.child(id.as_str());
        let zones = Arc::<ZonesInForce>::default();
        let (camera, watched_slot, shared) = (id.clone(), Arc::clone(&slot), Arc::clone(&self.inner.shared));
        let watched_zones = Arc::clone(&zones);
        let progress = tasks.clone();
        tasks.spawn_thread("watch", OnExit::Restart, move |token| {
            let (slot, zones) = (Arc::clone(&watched_slot), Arc::clone(&watched_zones));
            Watch::new(camera.clone(), slot, zones, Arc::clone(&shared)).run(&token, || progress.progress("watch"))
        });
        cameras.insert(id.clone(), Watched { slot: Arc::clone(&slot), zones, tasks });
        slot
    }

    /// Tells of motion in the pictures of all cameras under watch, from now on; the first caller is told.
    pub fn on_look(&self, looks: Looks) {
        let _ = self.inner.shared.looks.set(looks);
    }

    /// Where plates of this camera count from its next frame on; without effect where it is not watched.
    pub fn set_zones(&self, camera: &CameraConfig) {
        if let Some(watched) = lock(&self.inner.cameras).get(&camera.id) {
            *lock(&watched.zones) = Arc::new(Zones::of(camera));
        }
    }

    /// Ends the watch; what is in view is stored.
    pub fn remove(&self, id: &CameraId) {
        if let Some(watched) = lock(&self.inner.cameras).remove(id) {
            watched.slot.set_wanted(Wanted::Nothing);
            watched.tasks.cancel();
        }
    }

    pub fn status(&self) -> LprStatus {
        let Loaded { state, reason, models } = lock(&self.inner.loaded).clone();
        LprStatus {
            state,
            reason,
            provider: models.as_ref().map_or(String::new(), |m| m.detector.provider.to_string()),
            workers: if models.is_some() { workers(&self.inner.shared.config) } else { 0 },
            models,
            cameras: lock(&self.inner.cameras).len(),
            stages: self.inner.shared.stats.all(),
        }
    }

    /// Stores what is in view and ends; for an ordered stop.
    pub async fn stop(&self) {
        let cameras: Vec<Watched> = std::mem::take(&mut *lock(&self.inner.cameras)).into_values().collect();
        for watched in &cameras {
            watched.slot.set_wanted(Wanted::Nothing);
            watched.tasks.cancel();
        }
        for watched in cameras {
            watched.tasks.shutdown(DRAIN).await;
        }
        self.inner.tasks.shutdown(DRAIN).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Readers that run side by side, each on one core; the recorder keeps the others.
fn workers(config: &LprConfig) -> usize {
    match config.threads {
        0 => (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1),
        threads => threads,
    }
}

async fn load(inner: Arc<Inner>, token: CancellationToken) -> TaskResult {
    let config = inner.shared.config.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let sets = Models::open_sets(&config, 1, workers(&config), None)?;
        let status = sets.first().map(|models| models.status(&config));
        Ok::<_, super::LprError>((sets, status))
    })
    .await?;
    match loaded {
        Ok((sets, status)) => {
            for models in sets {
                inner.shared.pool.add(models);
            }
            let reason = status.as_ref().map_or(String::new(), explain);
            tracing::info!(reason, "plate reader runs");
            *lock(&inner.loaded) = Loaded { state: LprState::Running, reason, models: status };
            for watched in lock(&inner.cameras).values() {
                watched.slot.set_wanted(Wanted::All);
            }
            token.cancelled().await;
            Ok(())
        }
        Err(error) => {
            *lock(&inner.loaded) = Loaded { state: LprState::Failed, reason: error.to_string(), models: None };
            Err(error.into())
        }
    }
}

/// The provider in use, and why no earlier one.
fn explain(models: &ModelsStatus) -> String {
    let skipped: Vec<String> =
        models.detector.skipped.iter().map(|s| format!("{} not used: {}", s.provider, s.reason)).collect();
    let used = format!("on {} with {}", models.detector.provider, models.library.display());
    if skipped.is_empty() { used } else { format!("{used}; {}", skipped.join("; ")) }
}

async fn store_rows(waiting: mpsc::Receiver<Job>, store: &Store, shared: &Arc<Shared>, token: CancellationToken) {
    let stats: &Stats = &shared.stats;
    // The senders live as long as the engine: a stop closes the queue, and what is in it is stored.
    let jobs = stream::unfold((waiting, token.clone()), |(mut waiting, token)| async move {
        let job = tokio::select! {
            biased;
            job = waiting.recv() => job,
            () = token.cancelled() => {
                waiting.close();
                waiting.recv().await
            }
        };
        job.map(|job| (job, (waiting, token)))
    });
    let all = jobs.for_each_concurrent(ROWS_AT_ONCE, |job| async {
        if let Err(error) = store_passage(store, job, stats).await {
            dropped("lpr", "store", 1);
            tracing::error!(error = %error, "a passage was lost");
        }
    });
    // A store that does not answer must not hold up the stop.
    tokio::select! {
        () = all => {}
        () = async { token.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::base::time::UtcMicros;
    use crate::config::ZoneConfig;
    use crate::lpr::fixtures::{config, street};
    use crate::lpr::stats::Stage;
    use crate::media::DecodedFrame;
    use crate::store::{DetectionRow, StoreEvent};

    const WAIT: Duration = Duration::from_secs(20);

    async fn running(engine: &Engine) {
        let began = Instant::now();
        while engine.status().state != LprState::Running {
            assert!(began.elapsed() < WAIT, "{:?}", engine.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Puts a frame once the one before was taken, so that a busy machine misses none.
    async fn feed(slot: &FrameSlot, frame: DecodedFrame) {
        slot.put(frame);
        let began = Instant::now();
        while !slot.is_empty() {
            assert!(began.elapsed() < WAIT, "the frame is not looked at");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Frames 100 ms apart of a plate that drives by at 32 px a frame, fed faster than that.
    async fn drive_by(slot: &FrameSlot, camera: &CameraId, first_us: i64, text: &str) -> i64 {
        let mut time_us = first_us;
        for i in 0..26_usize {
            let plates: &[(usize, usize, &str)] = if i < 15 { &[(32 + 32 * i, 160, text)] } else { &[] };
            let frame = DecodedFrame::from_rgb(camera.clone(), UtcMicros(time_us), i == 0, &street(640, 384, plates));
            feed(slot, frame.unwrap()).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
            time_us += 100_000;
        }
        time_us
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_passage_becomes_one_row_with_its_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let tasks = Tasks::new();
        let mut events = store.events();
        let engine = Engine::start(&config("manifest.toml"), store.clone(), &tasks);
        let cameras: [CameraId; 2] = ["gate".parse().unwrap(), "yard".parse().unwrap()];
        let slots: Vec<_> = cameras.iter().map(|c| engine.camera(c)).collect();
        assert!(Arc::ptr_eq(&slots[0], &engine.camera(&cameras[0])), "one mailbox a camera");
        running(&engine).await;
        assert_eq!(slots[0].wanted(), Wanted::All);
        let start_us = 1_790_000_000_000_000;
        tokio::join!(
            drive_by(&slots[0], &cameras[0], start_us, "ABC1D23"),
            drive_by(&slots[1], &cameras[1], start_us, "QRS4567"),
        );
        drive_by(&slots[0], &cameras[0], start_us + 20_000_000, "XYZ9876").await;
        let mut rows: Vec<Arc<DetectionRow>> = Vec::new();
        while rows.len() < 3 {
            let event = tokio::time::timeout(WAIT, events.recv()).await.expect("three passages").unwrap();
            if let StoreEvent::Detection(row) = event {
                rows.push(row);
            }
        }
        rows.sort_by_key(|r| (r.camera.clone(), r.first_seen));
        let texts: Vec<_> = rows.iter().map(|r| (r.camera.as_str(), r.plate.as_str())).collect();
        assert_eq!(texts, [("gate", "ABC1D23"), ("gate", "XYZ9876"), ("yard", "QRS4567")]);
        let row = &rows[0];
        assert_eq!((row.layout.as_str(), row.direction.as_deref()), ("br-mercosul", Some("left_to_right")));
        assert!(row.confidence > 0.8 && row.reads >= 2, "{} {}", row.confidence, row.reads);
        assert_eq!((row.frame_width, row.frame_height), (640, 384));
        assert!(row.first_seen.0 >= start_us && row.last_seen > row.first_seen);
        for object in [&row.crop, &row.frame] {
            let object = object.as_ref().expect("a picture");
            let path = store.object_path(&object.sha256).expect("its path");
            assert_eq!(std::fs::metadata(path).unwrap().len(), object.bytes);
        }
        let status = engine.status();
        assert_eq!((status.cameras, status.provider.as_str()), (2, "cpu"));
        let count = |stage: Stage| status.stages.iter().find(|s| s.stage == stage.name()).unwrap().count;
        // The last row is told before its latency is counted.
        assert!(count(Stage::Detect) > 0 && count(Stage::FrameToRow) >= 2);
        engine.stop().await;
        assert_eq!(store.detections_count().await.unwrap(), 3, "nothing was told twice");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn zones_take_effect_on_a_camera_that_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let engine = Engine::start(&config("manifest.toml"), store.clone(), &Tasks::new());
        let camera: CameraId = "gate".parse().unwrap();
        let slot = engine.camera(&camera);
        running(&engine).await;
        let start_us = 1_790_000_000_000_000;
        let below =
            ZoneConfig { points: vec![[0.0, 0.7], [1.0, 0.7], [1.0, 1.0], [0.0, 1.0]], ..ZoneConfig::default() };
        let mut zoned = CameraConfig { id: camera.clone(), zones: vec![below], ..CameraConfig::default() };
        engine.set_zones(&zoned);
        drive_by(&slot, &camera, start_us, "ABC1D23").await;
        zoned.zones.clear();
        engine.set_zones(&zoned);
        drive_by(&slot, &camera, start_us + 20_000_000, "XYZ9876").await;
        engine.stop().await;
        let rows = store.detections_count().await.unwrap();
        assert_eq!(rows, 1, "the plate that passed above the zone does not count");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_in_view_is_stored_when_the_engine_stops() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let engine = Engine::start(&config("manifest.toml"), store.clone(), &Tasks::new());
        let camera: CameraId = "gate".parse().unwrap();
        let slot = engine.camera(&camera);
        running(&engine).await;
        for i in 0..6_usize {
            let image = street(640, 384, &[(64 + 32 * i, 160, "ABC1234")]);
            let time = UtcMicros(1_790_000_000_000_000 + i as i64 * 100_000);
            feed(&slot, DecodedFrame::from_rgb(camera.clone(), time, true, &image).unwrap()).await;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        engine.stop().await;
        assert_eq!(store.detections_count().await.unwrap(), 1);
        assert_eq!(slot.wanted(), Wanted::Nothing);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn models_that_do_not_load_are_reported_and_nothing_is_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut broken = config("manifest.toml");
        broken.manifest = folder.path().join("absent.toml");
        let engine = Engine::start(&broken, store.clone(), &Tasks::new());
        let slot = engine.camera(&"gate".parse().unwrap());
        let began = Instant::now();
        while engine.status().state == LprState::Starting {
            assert!(began.elapsed() < WAIT);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let status = engine.status();
        assert_eq!(status.state, LprState::Failed);
        assert!(status.reason.contains("absent.toml") && status.reason.contains("lpr.manifest"), "{}", status.reason);
        assert_eq!(slot.wanted(), Wanted::Nothing);
        let off = LprConfig { enabled: false, ..broken };
        assert_eq!(Engine::start(&off, store, &Tasks::new()).status().state, LprState::Off);
    }
}
