//! Passes fragments from cameras to viewers. A viewer that falls behind loses fragments alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use super::ring::Ring;
use crate::base::ids::CameraId;
use crate::media::{Fragment, FragmentSink, StreamKind};

/// About ten seconds of parts: a viewer that is further behind starts again at a key frame.
const QUEUE: usize = 64;
/// A stream that sent nothing for this long has nothing live to show.
const SILENT_AFTER: Duration = Duration::from_secs(15);

/// Why nobody can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The stream does not run now.
    Silent,
    /// So many people watch this camera already.
    Full { viewers: usize },
}

/// One viewer's share of a stream; dropping it ends the watching.
#[derive(Debug)]
pub struct Subscription {
    /// From the last key frame on.
    pub recent: Vec<Arc<Fragment>>,
    /// What comes after `recent`; `Lagged(n)` says how many fragments this viewer was too slow for.
    pub next: broadcast::Receiver<Arc<Fragment>>,
}

type Channels = HashMap<(CameraId, StreamKind), Arc<Channel>>;

/// All live streams of the box. Clones share it.
#[derive(Clone, Debug)]
pub struct Hub {
    channels: Arc<Mutex<Channels>>,
    max_viewers: usize,
}

#[derive(Debug)]
struct Channel {
    state: Mutex<State>,
    viewers: broadcast::Sender<Arc<Fragment>>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    last: Option<Instant>,
}

impl Hub {
    /// `max_viewers` a stream.
    pub fn new(max_viewers: usize) -> Self {
        Self { channels: Arc::default(), max_viewers }
    }

    /// Where the camera's thread puts its fragments.
    pub fn sink(&self, camera: &CameraId, stream: StreamKind) -> Arc<dyn FragmentSink> {
        let mut channels = lock(&self.channels);
        let channel = channels.entry((camera.clone(), stream)).or_insert_with(|| {
            let state = Mutex::new(State { ring: Ring::default(), last: None });
            Arc::new(Channel { state, viewers: broadcast::Sender::new(QUEUE) })
        });
        channel.clone()
    }

    /// Forgets the streams of a camera; its viewers see the end.
    pub fn remove(&self, camera: &CameraId) {
        lock(&self.channels).retain(|(id, _), _| id != camera);
    }

    pub fn watch(&self, camera: &CameraId, stream: StreamKind) -> Result<Subscription, Refusal> {
        let channel = self.channel(camera, stream).ok_or(Refusal::Silent)?;
        // Under the lock that `push` takes: nothing falls between the recent fragments and the next one.
        let state = lock(&channel.state);
        if state.last.is_none_or(|last| last.elapsed() > SILENT_AFTER) {
            return Err(Refusal::Silent);
        }
        let viewers = channel.viewers.receiver_count();
        if viewers >= self.max_viewers {
            return Err(Refusal::Full { viewers });
        }
        Ok(Subscription { recent: state.ring.recent(), next: channel.viewers.subscribe() })
    }

    /// The newest fragment that begins with a key frame, for a still.
    pub fn last_key(&self, camera: &CameraId, stream: StreamKind) -> Option<Arc<Fragment>> {
        let channel = self.channel(camera, stream)?;
        let state = lock(&channel.state);
        state.last.filter(|last| last.elapsed() <= SILENT_AFTER)?;
        state.ring.last_key()
    }

    fn channel(&self, camera: &CameraId, stream: StreamKind) -> Option<Arc<Channel>> {
        lock(&self.channels).get(&(camera.clone(), stream)).cloned()
    }
}

impl FragmentSink for Channel {
    fn push(&self, fragment: &Arc<Fragment>) {
        let mut state = lock(&self.state);
        state.ring.push(fragment);
        state.last = Some(Instant::now());
        // Fails only when nobody watches.
        let _ = self.viewers.send(fragment.clone());
    }

    fn wants_parts(&self) -> bool {
        self.viewers.receiver_count() > 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
