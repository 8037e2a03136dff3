//! Layer 3: recordings. What `docs/recording.md` promises is kept here: fragments are appended to segment files, made
//! durable, then get their rows; old segments go; any recorded span plays again; passages get their clips.

mod clips;
mod disks;
mod error;
mod group;
mod keys;
mod ledger;
mod plan;
mod playback;
mod recover;
mod retain;
mod retention;
mod rotate;
mod segment;
mod select;
mod storage;
mod tap;
mod trigger;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub use disks::{DiskState, DiskStatus};
pub use error::RecordError;
pub use ledger::Reasons;
pub use playback::{Playback, PlaybackEntry};
pub use recover::{Recovered, recover};
pub use retain::Forecast;
pub use storage::StorageStatus;

use crate::base::error::Kind;
use crate::base::ids::CameraId;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::config::{CameraConfig, ClipConfig, RecordConfig, StreamRecord};
use crate::media::{Fragment, FragmentSink, StreamKind};
use crate::store::{Interval, Store, Stream};
use disks::Disks;
use group::Group;
use plan::{Plans, StreamPlan};
use tap::Tap;
use trigger::Trigger;
use writer::Writer;

/// Key of the store's own id in its state: names the folder of this box on each disk.
const STORE_ID: &str = "record.store_id";
/// Fragments that may wait for the disk.
const QUEUE: usize = 4096;
/// Bytes that may wait: eight seconds of 128 cameras at 1 Mb/s, or of 32 at 4 Mb/s.
const QUEUE_BYTES: u64 = 128 << 20;

/// Whether recordings are being stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecorderState {
    Recording,
    /// Writing goes on by itself as soon as there is room.
    DiskFull,
    /// The disk does not keep up: what does not fit into memory is lost.
    Slow,
    Failing,
}

impl RecorderState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::DiskFull => "disk_full",
            Self::Slow => "slow",
            Self::Failing => "failing",
        }
    }
}

/// How the recorder is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecorderStatus {
    pub state: RecorderState,
    /// What is wrong and what to do; empty while all is well.
    pub reason: String,
    pub since: UtcMicros,
    /// Since the start of the daemon. Withheld is what a mode left out.
    pub withheld_bytes: u64,
    pub stored_fragments: u64,
    pub stored_frames: u64,
    pub stored_bytes: u64,
    pub dropped_fragments: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    camera: CameraId,
    stream: StreamKind,
}

impl Key {
    fn stored(camera: CameraId, stream: Stream) -> Self {
        Self { camera, stream: if stream == Stream::Main { StreamKind::Main } else { StreamKind::Sub } }
    }
}

/// A fragment on its way to the writer.
struct Queued {
    fragment: Arc<Fragment>,
    /// Nothing was wanted between the fragment before and this one but these spans.
    pause: Option<Vec<Interval>>,
}

/// The same stream as the store names it.
fn store_stream(kind: StreamKind) -> Stream {
    match kind {
        StreamKind::Main => Stream::Main,
        StreamKind::Sub => Stream::Sub,
    }
}

/// Takes the fragments of all cameras. Clones share it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    queue: SyncSender<Queued>,
}

struct Shared {
    store: Store,
    config: RwLock<(RecordConfig, ClipConfig)>,
    plans: RwLock<Arc<Plans>>,
    triggers: Mutex<BTreeMap<CameraId, Arc<Trigger>>>,
    /// Recorded because something happened, and not in the ledger yet.
    wanted: Mutex<BTreeMap<Key, Vec<Interval>>>,
    /// Since when fragments of a stream are lost on their way to the writer.
    lost: Mutex<BTreeMap<Key, UtcMicros>>,
    status: watch::Sender<RecorderStatus>,
    disks: Disks,
    storage: watch::Sender<StorageStatus>,
    queued_bytes: AtomicU64,
    last_ends: Mutex<BTreeMap<Key, UtcMicros>>,
    evict_now: Notify,
}

impl Recorder {
    /// Starts the writer, retention and the clip worker in `tasks`. What the last run left open is closed first.
    pub async fn start(
        store: &Store,
        record: &RecordConfig,
        clips: &ClipConfig,
        tasks: &Tasks,
    ) -> Result<Self, RecordError> {
        let mut last_ends = BTreeMap::new();
        for total in store.recording_totals().await? {
            last_ends.extend(total.newest.map(|end| (Key::stored(total.camera, total.stream), end)));
        }
        let status = RecorderStatus {
            state: RecorderState::Recording,
            reason: String::new(),
            since: UtcMicros::now(),
            withheld_bytes: 0,
            stored_fragments: 0,
            stored_frames: 0,
            stored_bytes: 0,
            dropped_fragments: 0,
        };
        let id = store.state_or_insert(STORE_ID, Uuid::now_v7().to_string()).await?;
        let disks = Disks::new(store.dir(), Uuid::try_parse(&id).unwrap_or_default());
        let paths = record.paths.clone();
        let disks = tokio::task::spawn_blocking(move || {
            disks.refresh(&paths);
            disks
        });
        let shared = Arc::new(Shared {
            store: store.clone(),
            disks: disks.await.map_err(|_| RecordError::Stopped)?,
            storage: watch::Sender::default(),
            config: RwLock::new((record.clone(), clips.clone())),
            plans: RwLock::default(),
            triggers: Mutex::default(),
            wanted: Mutex::default(),
            lost: Mutex::default(),
            status: watch::Sender::new(status),
            queued_bytes: AtomicU64::new(0),
            last_ends: Mutex::new(last_ends),
            evict_now: Notify::new(),
        });
        let (queue, receiver) = sync_channel(QUEUE);
        Self::spawn(&shared, receiver, tasks);
        Ok(Self { shared, queue })
    }

    fn spawn(shared: &Arc<Shared>, receiver: Receiver<Queued>, tasks: &Tasks) {
        let mut writer = Writer::new(shared.clone(), Handle::current());
        let watched = tasks.clone();
        tasks.spawn_thread("writer", OnExit::Restart, move |token| {
            writer.run(&receiver, &token, || watched.progress("writer"));
            Ok(())
        });
        let retained = shared.clone();
        tasks.spawn("retention", OnExit::Restart, move |token| {
            let shared = retained.clone();
            async move {
                retention::run(shared, token).await;
                Ok(())
            }
        });
        let clipped = shared.clone();
        tasks.spawn("clips", OnExit::Restart, move |token| {
            let shared = clipped.clone();
            async move {
                clips::run(shared, token).await;
                Ok(())
            }
        });
    }

    /// Where a camera's stream puts its fragments when all of them are recorded.
    pub fn sink(&self) -> Arc<dyn FragmentSink> {
        Arc::new(self.clone())
    }

    /// Where a camera's stream puts its fragments when it is recorded as `how` says.
    pub fn sink_of(&self, camera: &CameraId, stream: StreamKind, how: &StreamRecord) -> Arc<dyn FragmentSink> {
        let plan = StreamPlan::new(how.clone());
        if plan.is_always() {
            return self.sink();
        }
        let key = Key { camera: camera.clone(), stream };
        Arc::new(Tap::new(self.clone(), key, plan, self.trigger(camera)))
    }

    /// What happens in a camera's picture, for the modes that wait for it.
    fn trigger(&self, camera: &CameraId) -> Arc<Trigger> {
        let mut triggers = self.shared.triggers.lock().unwrap_or_else(PoisonError::into_inner);
        triggers.entry(camera.clone()).or_default().clone()
    }

    /// A picture of the camera was looked at, for those of its streams that are recorded by motion.
    pub fn looked(&self, camera: &CameraId, time: UtcMicros, moved: bool) {
        let trigger = self.shared.triggers.lock().unwrap_or_else(PoisonError::into_inner).get(camera).cloned();
        if let Some(trigger) = trigger {
            trigger.looked(time, moved);
        }
    }

    /// A plate was read, for those of its streams that are recorded by detection.
    pub fn passed(&self, camera: &CameraId, from: UtcMicros, to: UtcMicros) {
        let trigger = self.shared.triggers.lock().unwrap_or_else(PoisonError::into_inner).get(camera).cloned();
        if let Some(trigger) = trigger {
            trigger.passage(from, to);
        }
    }

    /// What the ledger expects and what a camera may keep, from now on.
    pub fn set_cameras(&self, cameras: &[CameraConfig]) {
        *self.shared.plans.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Plans::of_cameras(cameras));
        let mut triggers = self.shared.triggers.lock().unwrap_or_else(PoisonError::into_inner);
        triggers.retain(|id, _| cameras.iter().any(|camera| &camera.id == id));
    }

    /// Keeps the coverage ledger; `reasons` tells what a camera that delivers nothing says about itself.
    pub fn start_ledger(&self, reasons: Reasons, tasks: &Tasks) {
        let shared = self.shared.clone();
        tasks.spawn("ledger", OnExit::Restart, move |token| {
            let (shared, reasons) = (shared.clone(), reasons.clone());
            async move { Ok(ledger::run(shared, reasons, token).await?) }
        });
    }

    /// New limits, from the next group of pictures on.
    pub fn configure(&self, record: RecordConfig, clips: ClipConfig) {
        *self.shared.config.write().unwrap_or_else(PoisonError::into_inner) = (record, clips);
        self.shared.evict_now.notify_one();
    }

    /// Where the stored recording of a stream ends, for [`crate::media::StreamPipe`]'s `not_before`.
    pub fn last_end(&self, camera: &CameraId, stream: StreamKind) -> Option<UtcMicros> {
        self.shared.last_end(&Key { camera: camera.clone(), stream })
    }

    pub fn status(&self) -> watch::Receiver<RecorderStatus> {
        self.shared.status.subscribe()
    }

    /// How the disks stand, as the last pass of retention found them.
    pub fn storage(&self) -> watch::Receiver<StorageStatus> {
        self.shared.storage.subscribe()
    }

    /// What somebody must look after: recordings that are lost, disks that are missing; `None` while all is well.
    pub fn problem(&self) -> Option<String> {
        let status = self.shared.status.borrow();
        if status.state != RecorderState::Recording {
            return Some(status.reason.clone());
        }
        self.shared.storage.borrow().problem()
    }
}

impl Recorder {
    fn queue(&self, queued: Queued) {
        let bytes = queued.fragment.data.len() as u64;
        let waiting = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fragment = queued.fragment.clone();
        if waiting + bytes > QUEUE_BYTES || self.queue.try_send(queued).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.overflowed(&fragment);
        }
    }
}

impl FragmentSink for Recorder {
    fn push(&self, fragment: &Arc<Fragment>) {
        self.queue(Queued { fragment: fragment.clone(), pause: None });
    }
}

impl Shared {
    fn record_config(&self) -> RecordConfig {
        self.config.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn clip_config(&self) -> ClipConfig {
        self.config.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn plans(&self) -> Arc<Plans> {
        self.plans.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something happened then: it should be recorded.
    fn want(&self, key: &Key, span: Interval) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = wanted.entry(key.clone()).or_default();
        match spans.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => spans.push(span),
        }
    }

    fn take_wanted(&self) -> BTreeMap<Key, Vec<Interval>> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Left out because nothing happened.
    fn withheld(&self, key: &Key, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let labels = [("camera", key.camera.to_string()), ("stream", key.stream.to_string())];
        metrics::counter!("gtv_record_withheld_bytes_total", &labels).increment(bytes);
        self.status.send_modify(|status| status.withheld_bytes += bytes);
    }

    /// A fragment did not fit into the queue: the disk is slower than the cameras.
    fn overflowed(&self, fragment: &Fragment) {
        let key = Key { camera: fragment.camera.clone(), stream: fragment.stream };
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(fragment.start);
        self.count_dropped(fragment.camera.as_str(), 1, "queue_full");
        if self.status.borrow().state == RecorderState::Recording {
            let reason = "the disk is slower than the cameras: see `gtv_record_sync_seconds` and `dmesg`, lower bit \
                          rates, or add a disk to `record.paths`; recording goes on by itself";
            tracing::error!(reason, "recordings are being lost");
            self.report(RecorderState::Slow, reason);
        }
    }

    /// Since when fragments of the stream before `time` did not reach the writer; tells it once.
    fn take_overflow(&self, key: &Key, time: UtcMicros) -> Option<UtcMicros> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.get(key).is_some_and(|since| *since < time) { lost.remove(key) } else { None }
    }

    fn last_end(&self, key: &Key) -> Option<UtcMicros> {
        self.last_ends.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// A fragment left the queue.
    fn queue_room(&self, fragment: &Fragment) {
        self.queued_bytes.fetch_sub(fragment.data.len() as u64, Ordering::Relaxed);
    }

    fn stored(&self, key: &Key, end: UtcMicros, frames: u32, bytes: u64) {
        self.last_ends.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), end);
        let labels = [("camera", key.camera.to_string()), ("stream", key.stream.to_string())];
        metrics::counter!("gtv_record_frames_total", &labels).increment(u64::from(frames));
        metrics::counter!("gtv_record_bytes_total", &labels).increment(bytes);
        metrics::counter!("gtv_fragments_total", &labels).increment(1);
        // A slow disk is over when what waited is written.
        let waiting = self.queued_bytes.load(Ordering::Relaxed);
        let recovered = match self.status.borrow().state {
            RecorderState::Recording => false,
            RecorderState::Slow => waiting < QUEUE_BYTES / 4,
            RecorderState::DiskFull | RecorderState::Failing => true,
        };
        self.status.send_modify(|status| {
            status.stored_fragments += 1;
            status.stored_frames += u64::from(frames);
            status.stored_bytes += bytes;
        });
        if recovered {
            self.report(RecorderState::Recording, "");
            tracing::info!("recording goes on");
        }
    }

    fn count_drop(&self, group: &Group, reason: &'static str) {
        self.count_dropped(group.first().camera.as_str(), group.fragments.len() as u64, reason);
    }

    fn count_dropped(&self, camera: &str, fragments: u64, reason: &'static str) {
        let labels = [("stage", "record".to_owned()), ("reason", reason.to_owned()), ("camera", camera.to_owned())];
        metrics::counter!("gtv_dropped_total", &labels).increment(fragments);
        self.status.send_modify(|status| status.dropped_fragments += fragments);
    }

    fn report_loss(&self, error: &RecordError) {
        metrics::counter!("gtv_record_errors_total", "kind" => error.label()).increment(1);
        let state = if error.kind() == Kind::Full {
            self.evict_now.notify_one();
            RecorderState::DiskFull
        } else {
            RecorderState::Failing
        };
        if self.status.borrow().state != state {
            tracing::error!(%error, "recordings are being lost");
        }
        self.report(state, &error.to_string());
    }

    fn report(&self, state: RecorderState, reason: &str) {
        self.status.send_modify(|status| {
            if status.state != state {
                status.since = UtcMicros::now();
            }
            status.state = state;
            reason.clone_into(&mut status.reason);
        });
    }
}
