//! Streams and their viewers. Each viewer has a bounded share: one that is too slow loses fragments alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use crate::base::ids::CameraId;
use crate::config::LiveConfig;
use crate::media::{Fragment, FragmentSink, StreamKind};

/// Fragments a viewer may fall behind: at parts of 200 ms, about 13 s.
const BEHIND: usize = 64;
/// A stream that brought nothing for this long is not running; groups of pictures are cut at 4 s.
const SILENT: Duration = Duration::from_secs(12);
/// Parts of one group kept for those who join in its middle.
const GROUP: usize = 128;

type Key = (CameraId, StreamKind);

/// Where viewers find streams. Clones share it.
#[derive(Clone)]
pub struct Hub {
    streams: Arc<Mutex<BTreeMap<Key, Arc<Stream>>>>,
    max_viewers: usize,
}

struct Stream {
    newest: Mutex<Newest>,
    viewers: broadcast::Sender<Arc<Fragment>>,
}

#[derive(Default)]
struct Newest {
    /// From the last key frame on.
    group: Vec<Arc<Fragment>>,
    /// Nothing of it was left out; otherwise it cannot be joined in its middle.
    whole: bool,
    arrived: Option<Instant>,
}

/// Why nobody can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWatching {
    #[error("this stream is not running now")]
    Silent,
    #[error("{0} people watch this camera already, which is all that `live.max_viewers` allows")]
    TooMany(usize),
}

/// What a viewer gets next.
#[derive(Clone, Debug)]
pub enum Received {
    Fragment(Arc<Fragment>),
    /// The viewer was too slow for this many fragments; it can go on at the next key frame.
    Missed(u64),
}

/// One viewer's share of a stream; watching ends when it is dropped.
#[derive(Debug)]
pub struct LiveSubscription {
    /// What belongs to the current group already, from its key frame on. Empty where the next fragment begins one.
    pub recent: Vec<Arc<Fragment>>,
    fragments: broadcast::Receiver<Arc<Fragment>>,
}

impl LiveSubscription {
    /// `None`: the camera was removed.
    pub async fn next(&mut self) -> Option<Received> {
        match self.fragments.recv().await {
            Ok(fragment) => Some(Received::Fragment(fragment)),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                metrics::counter!("gtv_dropped_total", "stage" => "live", "reason" => "slow_viewer").increment(count);
                Some(Received::Missed(count))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Hub {
    pub fn new(config: &LiveConfig) -> Self {
        Self { streams: Arc::default(), max_viewers: config.max_viewers }
    }

    /// Where a camera's stream puts its fragments.
    pub fn sink(&self, camera: &CameraId, stream: StreamKind) -> Arc<dyn FragmentSink> {
        let mut streams = self.lock();
        streams.entry((camera.clone(), stream)).or_insert_with(|| Arc::new(Stream::new())).clone()
    }

    /// Begins to watch. From now on the stream is cut into parts.
    pub fn subscribe(&self, camera: &CameraId, stream: StreamKind) -> Result<LiveSubscription, NotWatching> {
        let stream = self.stream(camera, stream).ok_or(NotWatching::Silent)?;
        // Under this lock nothing is published, so that a fragment is either recent or comes next, never both.
        let newest = stream.lock();
        if newest.arrived.is_none_or(|arrived| arrived.elapsed() > SILENT) {
            return Err(NotWatching::Silent);
        }
        if stream.viewers.receiver_count() >= self.max_viewers {
            return Err(NotWatching::TooMany(self.max_viewers));
        }
        // A group that ended is old: with the first viewer the camera gives out what it has of the next one at once.
        let ended = newest.group.last().is_some_and(|last| last.gop_end);
        let recent = if ended || !newest.whole { Vec::new() } else { newest.group.clone() };
        Ok(LiveSubscription { recent, fragments: stream.viewers.subscribe() })
    }

    /// The newest fragment that begins with a key frame.
    pub fn last_key(&self, camera: &CameraId, stream: StreamKind) -> Option<Arc<Fragment>> {
        let stream = self.stream(camera, stream)?;
        let newest = stream.lock();
        let running = newest.arrived.is_some_and(|arrived| arrived.elapsed() <= SILENT);
        newest.group.first().filter(|_| running).cloned()
    }

    /// People who watch a camera now.
    pub fn viewers(&self, camera: &CameraId) -> usize {
        let streams = self.lock();
        let of_camera = streams.iter().filter(|((id, _), _)| id == camera);
        of_camera.map(|(_, stream)| stream.viewers.receiver_count()).sum()
    }

    /// The camera is gone: ends the streams of those who watch it.
    pub fn remove(&self, camera: &CameraId) {
        self.lock().retain(|(id, _), _| id != camera);
    }

    fn stream(&self, camera: &CameraId, stream: StreamKind) -> Option<Arc<Stream>> {
        self.lock().get(&(camera.clone(), stream)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn new() -> Self {
        Self { newest: Mutex::default(), viewers: broadcast::Sender::new(BEHIND) }
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FragmentSink for Stream {
    fn push(&self, fragment: &Arc<Fragment>) {
        let mut newest = self.lock();
        newest.arrived = Some(Instant::now());
        if fragment.key {
            newest.group.clear();
            newest.whole = true;
        }
        newest.whole &= newest.group.len() < GROUP;
        if newest.whole {
            newest.group.push(fragment.clone());
        } else {
            // Its key frame stays for stills.
            newest.group.truncate(1);
        }
        // Without viewers there is nobody to tell.
        let _ = self.viewers.send(fragment.clone());
    }

    fn wants_parts(&self) -> bool {
        self.viewers.receiver_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::time::UtcMicros;
    use crate::media::{InitSegment, VideoCodec};

    fn fragment(sequence: u64, key: bool, gop_end: bool) -> Arc<Fragment> {
        let init = InitSegment {
            data: Bytes::new(),
            id: [0; 32],
            mime: String::new(),
            video_codec: VideoCodec::H264,
            width: 2,
            height: 2,
            has_audio: false,
        };
        Arc::new(Fragment {
            camera: "gate".parse().unwrap(),
            stream: StreamKind::Main,
            init: Arc::new(init),
            data: Bytes::new(),
            start: UtcMicros(0),
            duration_us: 1,
            frames: 1,
            key,
            gop_end,
            sequence,
            tfdt: 0,
            gap: None,
        })
    }

    fn hub() -> (Hub, CameraId, Arc<dyn FragmentSink>) {
        let hub = Hub::new(&LiveConfig { max_viewers: 2, ..LiveConfig::default() });
        let camera: CameraId = "gate".parse().unwrap();
        let sink = hub.sink(&camera, StreamKind::Main);
        (hub, camera, sink)
    }

    #[tokio::test]
    async fn a_viewer_joins_at_the_key_frame_and_misses_nothing() {
        let (hub, camera, sink) = hub();
        assert_eq!(hub.subscribe(&camera, StreamKind::Main).unwrap_err(), NotWatching::Silent);
        sink.push(&fragment(1, true, true));
        assert!(!sink.wants_parts());
        let mut early = hub.subscribe(&camera, StreamKind::Main).unwrap();
        assert!(early.recent.is_empty() && sink.wants_parts());
        sink.push(&fragment(2, true, false));
        sink.push(&fragment(3, false, false));
        let mut late = hub.subscribe(&camera, StreamKind::Main).unwrap();
        assert_eq!(late.recent.iter().map(|fragment| fragment.sequence).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(hub.subscribe(&camera, StreamKind::Main).unwrap_err(), NotWatching::TooMany(2));
        sink.push(&fragment(4, false, true));
        for (viewer, first) in [(&mut early, 2), (&mut late, 4)] {
            match viewer.next().await {
                Some(Received::Fragment(fragment)) => assert_eq!(fragment.sequence, first),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(hub.last_key(&camera, StreamKind::Main).unwrap().sequence, 2);
        assert_eq!(hub.viewers(&camera), 2);
    }

    #[tokio::test]
    async fn a_slow_viewer_loses_alone_and_a_removed_camera_ends() {
        let (hub, camera, sink) = hub();
        sink.push(&fragment(1, true, true));
        let mut slow = hub.subscribe(&camera, StreamKind::Main).unwrap();
        let mut quick = hub.subscribe(&camera, StreamKind::Main).unwrap();
        for sequence in 2..BEHIND as u64 * 2 {
            sink.push(&fragment(sequence, false, false));
            assert!(matches!(quick.next().await, Some(Received::Fragment(found)) if found.sequence == sequence));
        }
        assert!(matches!(slow.next().await, Some(Received::Missed(62))));
        hub.remove(&camera);
        drop(sink);
        while slow.next().await.is_some_and(|received| matches!(received, Received::Fragment(_))) {}
        assert!(slow.next().await.is_none());
    }
}
