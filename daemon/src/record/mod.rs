//! Layer 3: recordings. What `docs/recording.md` promises is kept here: fragments are appended to segment files, made
//! durable, then get their rows; old segments go; any recorded span plays again; passages get their clips.

mod clips;
mod error;
mod group;
mod keys;
mod playback;
mod recover;
mod retain;
mod retention;
mod rotate;
mod segment;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

pub use error::RecordError;
pub use playback::{Playback, PlaybackEntry};
pub use recover::{Recovered, recover};

use crate::base::error::Kind;
use crate::base::ids::CameraId;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::config::{ClipConfig, RecordConfig};
use crate::media::{Fragment, FragmentSink, StreamKind};
use crate::store::{Store, Stream};
use group::Group;
use writer::Writer;

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
    Failing,
}

/// How the recorder is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecorderStatus {
    pub state: RecorderState,
    /// What is wrong and what to do; empty while all is well.
    pub reason: String,
    pub since: UtcMicros,
    /// Since the start of the daemon.
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
    queue: SyncSender<Arc<Fragment>>,
}

struct Shared {
    store: Store,
    config: RwLock<(RecordConfig, ClipConfig)>,
    status: watch::Sender<RecorderStatus>,
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
            let stream = if total.stream == Stream::Main { StreamKind::Main } else { StreamKind::Sub };
            last_ends.extend(total.newest.map(|end| (Key { camera: total.camera, stream }, end)));
        }
        let status = RecorderStatus {
            state: RecorderState::Recording,
            reason: String::new(),
            since: UtcMicros::now(),
            stored_fragments: 0,
            stored_frames: 0,
            stored_bytes: 0,
            dropped_fragments: 0,
        };
        let shared = Arc::new(Shared {
            store: store.clone(),
            config: RwLock::new((record.clone(), clips.clone())),
            status: watch::Sender::new(status),
            queued_bytes: AtomicU64::new(0),
            last_ends: Mutex::new(last_ends),
            evict_now: Notify::new(),
        });
        let (queue, receiver) = sync_channel(QUEUE);
        Self::spawn(&shared, receiver, tasks);
        Ok(Self { shared, queue })
    }

    fn spawn(shared: &Arc<Shared>, receiver: Receiver<Arc<Fragment>>, tasks: &Tasks) {
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

    /// Where a camera's stream puts its fragments.
    pub fn sink(&self) -> Arc<dyn FragmentSink> {
        Arc::new(self.clone())
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
}

impl FragmentSink for Recorder {
    fn push(&self, fragment: &Arc<Fragment>) {
        let bytes = fragment.data.len() as u64;
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if queued + bytes > QUEUE_BYTES || self.queue.try_send(fragment.clone()).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.count_dropped(fragment.camera.as_str(), 1, "queue_full");
        }
    }
}

impl Shared {
    fn record_config(&self) -> RecordConfig {
        self.config.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn clip_config(&self) -> ClipConfig {
        self.config.read().unwrap_or_else(PoisonError::into_inner).1.clone()
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
        let recovered = self.status.borrow().state != RecorderState::Recording;
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
