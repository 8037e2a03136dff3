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
        let key = (camera.clone(), stream);
        let mut running = lock(&self.running);
        if running.contains(&key) {
            return Ok(());
        }
        if running.len() >= self.most {
            return Err(TranscodeError::Busy { most: self.most });
        }
        let source = self.from.watch_pictures(camera, stream).map_err(TranscodeError::Source)?;
        let sink = self.made.sink(camera, stream);
        let (shared, ended) = (self.clone(), key.clone());
        std::thread::Builder::new()
            .name(format!("h264-{camera}"))
            .spawn(move || {
                if let Err(error) = transcode(source, sink.as_ref()) {
                    tracing::warn!(camera = %ended.0, stream = %ended.1, %error, "a stream cannot be transcoded");
                }
                shared.made.end(&ended.0, ended.1);
                lock(&shared.running).remove(&ended);
            })
            .map_err(TranscodeError::Thread)?;
        metrics::counter!("gtv_live_transcodes_total", "camera" => camera.to_string()).increment(1);
        running.insert(key);
        Ok(())
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
