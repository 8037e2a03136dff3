//! HLS and LL-HLS: a window of the newest segments for each stream that somebody watches this way. A session is whoever
//! asks for playlists; it counts as a viewer, and ends when it has not asked for a while.

mod playlist;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::hub::{Follower, Hub, Refusal, Seat};
use crate::base::ids::CameraId;
use crate::media::StreamKind;
use window::Window;

/// A player asks several times a second, or once in a segment; paused ones give their place back.
const SESSION_IDLE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A reload waits this long for its part, then is answered with what there is.
const BLOCK_MAX: Duration = Duration::from_secs(6);
/// The first playlist waits this long for a key frame.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// Pictures last longer than the configured part: it ends with the picture that reaches its length.
const PART_SLACK_US: i64 = 150_000;

/// Why there is nothing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HlsError {
    #[error("the stream does not run now")]
    Silent,
    #[error("{0} people watch this camera already")]
    Full(usize),
    #[error("it has left the window, or never was in it")]
    Gone,
    #[error("it lies too far ahead to be waited for")]
    Ahead,
}

impl From<Refusal> for HlsError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Silent => Self::Silent,
            Refusal::Full { viewers } => Self::Full(viewers),
        }
    }
}

/// Which window.
pub type StreamKey = (CameraId, StreamKind);

struct Session {
    heard: Instant,
    _seat: Seat,
}

struct Live {
    window: Mutex<Window>,
    /// Counts up with each fragment.
    version: watch::Sender<u64>,
    sessions: Mutex<HashMap<String, Session>>,
}

/// All HLS windows of the box. Clones share them.
#[derive(Clone)]
pub struct Hls {
    hub: Hub,
    part_us: i64,
    streams: Arc<Mutex<HashMap<StreamKey, Arc<Live>>>>,
    stop: CancellationToken,
}

impl Hls {
    pub fn new(hub: Hub, part: Duration, stop: CancellationToken) -> Self {
        let part_us = i64::try_from(part.as_micros()).unwrap_or(i64::MAX / 2).saturating_add(PART_SLACK_US);
        Self { hub, part_us, streams: Arc::default(), stop }
    }

    /// The playlist that a player begins with. `query` goes behind every address in it.
    pub async fn multivariant(&self, key: &StreamKey, session: &str, query: &str) -> Result<String, HlsError> {
        let live = self.enter(key, session)?;
        live.wait(BEGIN_MAX, |window| window.newest().is_some()).await;
        let window = lock(&live.window);
        let newest = window.segments().last().ok_or(HlsError::Silent)?;
        let bytes: usize = window.segments().flat_map(|s| &s.fragments).map(|part| part.data.len()).sum();
        let us: i64 = window.segments().map(window::Segment::duration_us).sum();
        let bits_per_s = bytes as u64 * 8_000_000 / us.max(1) as u64;
        Ok(playlist::multivariant(&newest.init, bits_per_s.max(1), query))
    }

    /// The media playlist; `wanted`: not before it has this segment, or this part of it.
    pub async fn media(
        &self,
        key: &StreamKey,
        session: &str,
        query: &str,
        wanted: Option<(u64, Option<usize>)>,
    ) -> Result<String, HlsError> {
        let live = self.enter(key, session)?;
        live.wait(BEGIN_MAX, |window| window.newest().is_some()).await;
        if let Some((number, part)) = wanted {
            if number > lock(&live.window).next_number() + 1 {
                return Err(HlsError::Ahead);
            }
            live.wait(BLOCK_MAX, |window| window.reached(number, part)).await;
        }
        let window = lock(&live.window);
        if window.newest().is_none() { Err(HlsError::Silent) } else { Ok(playlist::media(&window, query)) }
    }

    pub fn init(&self, key: &StreamKey, id_hex: &str) -> Result<Bytes, HlsError> {
        let live = self.find(key)?;
        let window = lock(&live.window);
        window.init(id_hex).map(|init| init.data.clone()).ok_or(HlsError::Gone)
    }

    pub fn segment(&self, key: &StreamKey, number: u64) -> Result<Bytes, HlsError> {
        let live = self.find(key)?;
        let window = lock(&live.window);
        window.segment(number).map(window::Segment::data).ok_or(HlsError::Gone)
    }

    /// A part; the next one is waited for, as the playlist hints at it.
    pub async fn part(&self, key: &StreamKey, sequence: u64) -> Result<Bytes, HlsError> {
        let live = self.find(key)?;
        let newest = lock(&live.window).newest().ok_or(HlsError::Gone)?;
        if sequence > newest + 1 {
            return Err(HlsError::Ahead);
        }
        live.wait(BLOCK_MAX, |window| window.newest().is_some_and(|newest| newest >= sequence)).await;
        let window = lock(&live.window);
        window.part(sequence).map(|part| part.data.clone()).ok_or(HlsError::Gone)
    }

    fn find(&self, key: &StreamKey) -> Result<Arc<Live>, HlsError> {
        lock(&self.streams).get(key).cloned().ok_or(HlsError::Gone)
    }

    /// The window of a stream for this session, begun where nobody watched it so far.
    fn enter(&self, key: &StreamKey, session: &str) -> Result<Arc<Live>, HlsError> {
        let mut streams = lock(&self.streams);
        let known = streams.get(key).cloned();
        if let Some(live) = &known
            && let Some(session) = lock(&live.sessions).get_mut(session)
        {
            session.heard = Instant::now();
            return Ok(live.clone());
        }
        let seat = self.hub.sit(&key.0, key.1)?;
        let live = if let Some(live) = known {
            live
        } else {
            let follower = self.hub.follow(&key.0, key.1)?;
            let live = Arc::new(Live {
                window: Mutex::new(Window::new(self.part_us)),
                version: watch::Sender::new(0),
                sessions: Mutex::default(),
            });
            streams.insert(key.clone(), live.clone());
            tokio::spawn(self.clone().feed(key.clone(), live.clone(), follower));
            live
        };
        metrics::gauge!("gtv_live_viewers", "protocol" => "hls").increment(1.0);
        lock(&live.sessions).insert(session.to_owned(), Session { heard: Instant::now(), _seat: seat });
        Ok(live)
    }

    /// Fills a window until nobody watches it or the stream ends.
    async fn feed(self, key: StreamKey, live: Arc<Live>, mut follower: Follower) {
        for fragment in std::mem::take(&mut follower.recent) {
            live.push(|window| window.push(&fragment));
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                fragment = follower.next.recv() => match fragment {
                    Ok(fragment) => live.push(|window| window.push(&fragment)),
                    Err(RecvError::Lagged(count)) => {
                        crate::base::metrics::dropped("live", "hls_behind", count);
                        live.push(Window::interrupt);
                    }
                    Err(RecvError::Closed) => break,
                },
                _ = look.tick() => if !self.still_watched(&key, &live) {
                    return;
                },
            }
        }
        lock(&self.streams).remove(&key);
        live.leave(|_| false);
    }

    /// Ends sessions that are silent; the window goes with the last of them, under the lock that `enter` takes.
    fn still_watched(&self, key: &StreamKey, live: &Live) -> bool {
        let mut streams = lock(&self.streams);
        live.leave(|session| session.heard.elapsed() < SESSION_IDLE);
        let watched = !lock(&live.sessions).is_empty();
        if !watched {
            streams.remove(key);
        }
        watched
    }
}

impl Live {
    fn push(&self, change: impl FnOnce(&mut Window)) {
        change(&mut lock(&self.window));
        self.version.send_modify(|version| *version += 1);
    }

    /// Until `reached`, at most this long.
    async fn wait(&self, most: Duration, reached: impl Fn(&Window) -> bool) {
        let mut version = self.version.subscribe();
        let waiting = async {
            while !reached(&lock(&self.window)) {
                if version.changed().await.is_err() {
                    return;
                }
            }
        };
        // What did not come in time is left out of the answer, which the player sees.
        let _ = timeout(most, waiting).await;
    }

    fn leave(&self, stays: impl Fn(&Session) -> bool) {
        let mut sessions = lock(&self.sessions);
        let before = sessions.len();
        sessions.retain(|_, session| stays(session));
        metrics::gauge!("gtv_live_viewers", "protocol" => "hls").decrement((before - sessions.len()) as f64);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
