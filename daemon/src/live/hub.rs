//! Passes fragments and single pictures from cameras to viewers. A viewer that falls behind loses them alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::pictures::Pictures;
use super::ring::Ring;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::media::{Fragment, FragmentSink, Picture, Sound, SoundConfig, StreamKind};

/// About ten seconds of parts: a viewer that is further behind starts again at a key frame.
const FRAGMENTS: usize = 64;
/// Four seconds at 30 pictures a second.
const PICTURES: usize = 120;
/// Two seconds and more: frames of sound last some 20 ms.
const SOUNDS: usize = 128;
/// A camera without sound for this long has none.
const MUTE_AFTER: Duration = Duration::from_secs(5);
/// A stream that sent nothing for this long has nothing live to show.
const SILENT_AFTER: Duration = Duration::from_secs(15);

/// Why nobody can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The stream does not run now.
    Silent,
    /// So many people watch this stream already.
    Full { viewers: usize },
}

/// One viewer's share of a stream in fragments; dropping it ends the watching.
#[derive(Debug)]
pub struct Subscription {
    /// From the last key frame on.
    pub recent: Vec<Arc<Fragment>>,
    /// What comes after `recent`; `Lagged(n)` says how many fragments this viewer was too slow for.
    pub next: broadcast::Receiver<Arc<Fragment>>,
    _seat: Seat,
}

/// One viewer's share of a stream in single pictures; dropping it ends the watching.
#[derive(Debug)]
pub struct PictureSubscription {
    /// From the last key frame on.
    pub recent: Vec<Picture>,
    /// What comes after `recent`.
    pub next: broadcast::Receiver<Picture>,
    /// The camera sends B-frames.
    pub reordered: bool,
    /// What the camera's sound is like, where it sends some.
    pub sound: Option<Arc<SoundConfig>>,
    pub sounds: Sounds,
    seat: Seat,
}

/// The sound of a stream, from now on.
#[derive(Debug)]
pub struct Sounds(broadcast::Receiver<Sound>);

impl Sounds {
    /// `None`: the camera was removed.
    pub async fn next(&mut self) -> Option<Sound> {
        loop {
            let received = self.0.recv().await;
            if let Some(end) = heard(received) {
                return end;
            }
        }
    }

    /// As [`Sounds::next`], on a thread of its own.
    pub fn wait(&mut self) -> Option<Sound> {
        loop {
            let received = self.0.blocking_recv();
            if let Some(end) = heard(received) {
                return end;
            }
        }
    }
}

/// `None`: something was lost, and what follows is to be asked for.
#[allow(clippy::option_option, reason = "lost, ended and heard are three answers")]
fn heard(received: Result<Sound, RecvError>) -> Option<Option<Sound>> {
    match received {
        Ok(sound) => Some(Some(sound)),
        Err(RecvError::Closed) => Some(None),
        Err(RecvError::Lagged(count)) => {
            crate::base::metrics::dropped("live", "slow_sound", count);
            None
        }
    }
}

impl PictureSubscription {
    /// Begins again at the last key frame, in the same seat.
    pub fn restart(&mut self) {
        let state = lock(&self.seat.state);
        self.recent = state.pictures.recent();
        self.reordered = state.pictures.reordered();
        self.next = self.next.resubscribe();
    }
}

/// A stream in fragments for one who serves several viewers, each of whom has a seat of its own.
#[derive(Debug)]
pub struct Follower {
    /// From the last key frame on.
    pub recent: Vec<Arc<Fragment>>,
    /// What comes after `recent`.
    pub next: broadcast::Receiver<Arc<Fragment>>,
}

/// One viewer's place at a stream. It does not keep the stream's channels open: viewers must see them end.
#[derive(Debug)]
pub struct Seat {
    state: Arc<Mutex<State>>,
    parts: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.viewers -= 1;
        state.part_viewers -= usize::from(self.parts);
    }
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
    state: Arc<Mutex<State>>,
    fragments: broadcast::Sender<Arc<Fragment>>,
    pictures: broadcast::Sender<Picture>,
    sounds: broadcast::Sender<Sound>,
}

#[derive(Debug, Default)]
struct State {
    ring: Ring,
    pictures: Pictures,
    last: Option<Instant>,
    /// What the sound is like, and when some came last.
    sound: Option<(Arc<SoundConfig>, Instant)>,
    viewers: usize,
    /// Those of them who wait for parts.
    part_viewers: usize,
}

impl Hub {
    /// `max_viewers` a stream.
    pub fn new(max_viewers: usize) -> Self {
        Self { channels: Arc::default(), max_viewers }
    }

    /// Where the camera's thread puts what it makes.
    pub fn sink(&self, camera: &CameraId, stream: StreamKind) -> Arc<dyn FragmentSink> {
        let mut channels = lock(&self.channels);
        let channel = channels.entry((camera.clone(), stream)).or_insert_with(|| {
            Arc::new(Channel {
                state: Arc::default(),
                fragments: broadcast::Sender::new(FRAGMENTS),
                pictures: broadcast::Sender::new(PICTURES),
                sounds: broadcast::Sender::new(SOUNDS),
            })
        });
        channel.clone()
    }

    /// Forgets the streams of a camera; its viewers see the end.
    pub fn remove(&self, camera: &CameraId) {
        lock(&self.channels).retain(|(id, _), _| id != camera);
    }

    /// Forgets one stream; its viewers see the end.
    pub fn end(&self, camera: &CameraId, stream: StreamKind) {
        lock(&self.channels).remove(&(camera.clone(), stream));
    }

    pub fn watch(&self, camera: &CameraId, stream: StreamKind) -> Result<Subscription, Refusal> {
        let channel = self.channel(camera, stream).ok_or(Refusal::Silent)?;
        // Under the lock that `push` takes: nothing falls between the recent fragments and the next one.
        let mut state = lock(&channel.state);
        state.admit(self.max_viewers, true)?;
        let (recent, next) = (state.ring.recent(), channel.fragments.subscribe());
        drop(state);
        Ok(Subscription { recent, next, _seat: Seat { state: channel.state.clone(), parts: true } })
    }

    /// For viewers that take each picture the moment it is complete.
    pub fn watch_pictures(&self, camera: &CameraId, stream: StreamKind) -> Result<PictureSubscription, Refusal> {
        let channel = self.channel(camera, stream).ok_or(Refusal::Silent)?;
        let mut state = lock(&channel.state);
        state.admit(self.max_viewers, false)?;
        let (recent, reordered) = (state.pictures.recent(), state.pictures.reordered());
        let sound = state.sound.as_ref().filter(|(_, at)| at.elapsed() <= MUTE_AFTER).map(|(config, _)| config.clone());
        let (next, sounds) = (channel.pictures.subscribe(), Sounds(channel.sounds.subscribe()));
        drop(state);
        let seat = Seat { state: channel.state.clone(), parts: false };
        Ok(PictureSubscription { recent, next, reordered, sound, sounds, seat })
    }

    /// A seat for a viewer of parts who is served by a follower.
    pub fn sit(&self, camera: &CameraId, stream: StreamKind) -> Result<Seat, Refusal> {
        let channel = self.channel(camera, stream).ok_or(Refusal::Silent)?;
        lock(&channel.state).admit(self.max_viewers, true)?;
        Ok(Seat { state: channel.state.clone(), parts: true })
    }

    pub fn follow(&self, camera: &CameraId, stream: StreamKind) -> Result<Follower, Refusal> {
        let channel = self.channel(camera, stream).ok_or(Refusal::Silent)?;
        let state = lock(&channel.state);
        Ok(Follower { recent: state.ring.recent(), next: channel.fragments.subscribe() })
    }

    /// The sound of a stream for one who serves several listeners.
    pub fn sounds(&self, camera: &CameraId, stream: StreamKind) -> Option<Sounds> {
        Some(Sounds(self.channel(camera, stream)?.sounds.subscribe()))
    }

    /// The newest picture: its time on the stream's own timeline, and when it was taken.
    pub fn newest(&self, camera: &CameraId, stream: StreamKind) -> Option<(i64, UtcMicros)> {
        lock(&self.channel(camera, stream)?.state).pictures.newest()
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

impl State {
    fn admit(&mut self, max_viewers: usize, parts: bool) -> Result<(), Refusal> {
        if self.last.is_none_or(|last| last.elapsed() > SILENT_AFTER) {
            return Err(Refusal::Silent);
        }
        if self.viewers >= max_viewers {
            return Err(Refusal::Full { viewers: self.viewers });
        }
        self.viewers += 1;
        self.part_viewers += usize::from(parts);
        Ok(())
    }
}

impl FragmentSink for Channel {
    fn push(&self, fragment: &Arc<Fragment>) {
        let mut state = lock(&self.state);
        state.ring.push(fragment);
        state.last = Some(Instant::now());
        // Fails only when nobody watches.
        let _ = self.fragments.send(fragment.clone());
    }

    fn picture(&self, picture: &Picture) {
        let mut state = lock(&self.state);
        state.pictures.push(picture);
        state.last = Some(Instant::now());
        let _ = self.pictures.send(picture.clone());
    }

    fn sound(&self, sound: &Sound) {
        lock(&self.state).sound = Some((sound.config.clone(), Instant::now()));
        let _ = self.sounds.send(sound.clone());
    }

    fn wants_parts(&self) -> bool {
        lock(&self.state).part_viewers > 0
    }

    fn wants_pictures(&self) -> bool {
        lock(&self.state).viewers > 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
