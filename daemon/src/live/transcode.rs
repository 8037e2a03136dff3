//! Streams that a viewer's browser cannot show, as H.264: one transcoder a stream, shared by its viewers, and none while
//! nobody watches. How many run at a time is the configuration's to say; each takes about a core.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::RecvError;

use super::hub::{Hub, PictureSubscription, Refusal};
use crate::base::ids::CameraId;
use crate::media::{FragmentSink, MediaError, Picture, StreamKind, VideoTranscoder};

/// The first picture must come in this time; decoding begins at the last key frame.
const FIRST: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(40);
/// A transcoder that nobody watches ends after this; a reload of the page must not begin it anew.
const ABANDONED: Duration = Duration::from_secs(10);

type Key = (CameraId, StreamKind);

/// Why a stream is not transcoded.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    #[error("`live.transcode` allows {most} at a time, and as many run")]
    Busy { most: usize },
    #[error("no picture came out of it")]
    NoPicture,
    #[error("the stream cannot be watched: {0:?}")]
    Source(Refusal),
    #[error("no thread for it: {0}")]
    Thread(std::io::Error),
}

/// The transcoders of the box. Clones share them.
#[derive(Clone)]
pub struct Transcoders {
    from: Hub,
    /// What comes out, for as many viewers as the streams themselves may have.
    made: Hub,
    running: Arc<Mutex<HashSet<Key>>>,
    most: usize,
}

impl Transcoders {
    pub fn new(from: Hub, max_viewers: usize, most: usize) -> Self {
        Self { from, made: Hub::new(max_viewers), running: Arc::default(), most }
    }

    /// Whether any may run.
    pub fn are_on(&self) -> bool {
        self.most > 0
    }

    /// A share of the stream as H.264, once its first picture is there.
    pub async fn watch(&self, camera: &CameraId, stream: StreamKind) -> Result<PictureSubscription, TranscodeError> {
        self.start(camera, stream)?;
        let limit = Instant::now() + FIRST;
        loop {
            match self.made.watch_pictures(camera, stream) {
                Ok(viewer) if !viewer.recent.is_empty() => return Ok(viewer),
                Err(Refusal::Full { viewers }) => return Err(TranscodeError::Source(Refusal::Full { viewers })),
                _ if Instant::now() > limit => return Err(TranscodeError::NoPicture),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn start(&self, camera: &CameraId, stream: StreamKind) -> Result<(), TranscodeError> {
        let Some(place) = self.take((camera.clone(), stream))? else { return Ok(()) };
        let source = self.from.watch_pictures(camera, stream).map_err(TranscodeError::Source)?;
        let sink = self.made.sink(camera, stream);
        std::thread::Builder::new()
            .name(format!("h264-{camera}"))
            .spawn(move || place.fill(|| transcode(source, sink.as_ref())))
            .map_err(TranscodeError::Thread)?;
        metrics::counter!("gtv_live_transcodes_total", "camera" => camera.to_string()).increment(1);
        Ok(())
    }

    /// A place for the stream's transcoder; `None` where it has one already.
    fn take(&self, key: Key) -> Result<Option<Place>, TranscodeError> {
        let mut running = lock(&self.running);
        if running.contains(&key) {
            return Ok(None);
        }
        if running.len() >= self.most {
            return Err(TranscodeError::Busy { most: self.most });
        }
        running.insert(key.clone());
        Ok(Some(Place { shared: self.clone(), key }))
    }
}

/// One of the transcoders that may run. Given back when it ends, also by a panic.
struct Place {
    shared: Transcoders,
    key: Key,
}

impl Place {
    fn fill(self, work: impl FnOnce() -> Result<(), MediaError>) {
        if let Err(error) = work() {
            tracing::warn!(camera = %self.key.0, stream = %self.key.1, %error, "a stream cannot be transcoded");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.made.end(&self.key.0, self.key.1);
        lock(&self.shared.running).remove(&self.key);
    }
}

/// Until nobody has watched for a while, or the stream ends.
fn transcode(mut source: PictureSubscription, sink: &dyn FragmentSink) -> Result<(), MediaError> {
    let mut transcoder = VideoTranscoder::default();
    let mut watched = Instant::now();
    loop {
        for picture in std::mem::take(&mut source.recent) {
            give(&mut transcoder, &picture, sink)?;
        }
        if sink.wants_pictures() {
            watched = Instant::now();
        } else if watched.elapsed() > ABANDONED {
            return Ok(());
        }
        match source.next.blocking_recv() {
            Ok(picture) => give(&mut transcoder, &picture, sink)?,
            Err(RecvError::Lagged(count)) => {
                // The machine is too slow for it: on from the last key frame.
                crate::base::metrics::dropped("live", "slow_transcoder", count);
                source.restart();
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn give(transcoder: &mut VideoTranscoder, picture: &Picture, sink: &dyn FragmentSink) -> Result<(), MediaError> {
    transcoder.push(picture)?.iter().for_each(|made| sink.picture(made));
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_ends_a_transcoder_its_place_is_free_again() {
        let transcoders = Transcoders::new(Hub::new(1), 1, 1);
        let take = |camera: &str| transcoders.take((camera.parse().unwrap(), StreamKind::Main));
        let place = take("a").unwrap().unwrap();
        assert!(take("a").unwrap().is_none(), "it has one");
        assert!(matches!(take("b"), Err(TranscodeError::Busy { most: 1 })));
        let ended = std::thread::spawn(|| place.fill(|| panic!("as a codec might"))).join();
        assert!(ended.is_err());
        take("b").unwrap().unwrap().fill(|| Ok(()));
        assert!(take("a").unwrap().is_some());
    }
}
