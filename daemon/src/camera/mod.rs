//! Layer 3: one supervised pipeline per camera. Each stream in use has one RTSP connection; recorder, live hub and plate
//! reader share what comes out of it.

mod connect;
mod credentials;
mod flow;
mod lane;
mod status;
mod stream;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

pub use connect::ConnectGate;
pub use status::{CameraState, CameraStatus, StreamInfo};

use crate::base::ids::CameraId;
use crate::base::secret::Secret;
use crate::base::tasks::{OnExit, TaskError, Tasks};
use crate::base::time::UtcMicros;
use crate::config::{CameraClock, CameraConfig, LprStream, Transport};
use crate::media::{self, DecoderWorker, FragmentSinks, FrameSlot, StreamKind};
use credentials::Credentials;
use flow::{Flow, Output};
use lane::Seat;
use status::Board;
use stream::StreamWorker;

/// One camera as its pipeline needs it. A change of any of it is a new pipeline.
pub struct CameraSettings {
    pub id: CameraId,
    pub main_url: String,
    pub sub_url: Option<String>,
    pub username: String,
    pub password: Secret,
    pub transport: Transport,
    pub audio: bool,
    pub lpr: LprStream,
    pub clock: CameraClock,
    /// Length of a part while somebody watches.
    pub part: Duration,
    /// Shared by all cameras of the box.
    pub connects: ConnectGate,
    /// What the camera's clock is ahead of the box's, in milliseconds, once somebody has measured it.
    pub clock_offset_ms: watch::Receiver<Option<i64>>,
    /// Where the stored recordings of the streams end: no frame is dated before that (R3).
    pub main_not_before: Option<UtcMicros>,
    pub sub_not_before: Option<UtcMicros>,
}

impl CameraSettings {
    /// From the configuration; the clock offset stays unknown and the recordings begin afresh unless set afterwards.
    pub fn from_config(config: &CameraConfig, part: Duration, connects: ConnectGate) -> Self {
        Self {
            id: config.id.clone(),
            main_url: config.main_url.clone(),
            sub_url: config.sub_url.clone(),
            username: config.username.clone(),
            password: config.password.clone(),
            transport: config.transport,
            audio: config.audio,
            lpr: config.lpr,
            clock: config.clock,
            part,
            connects,
            clock_offset_ms: watch::channel(None).1,
            main_not_before: None,
            sub_not_before: None,
        }
    }
}

/// Where everything goes. A stream that nobody takes is not connected.
pub struct CameraOutputs {
    pub main: FragmentSinks,
    pub sub: FragmentSinks,
    /// Decoded frames of the stream that `lpr` names; for the sub stream also the pictures of the main stream.
    pub frames: Option<Arc<FrameSlot>>,
    pub status: watch::Sender<CameraStatus>,
}

/// Starts the pipeline in `tasks`; cancelling them stops it.
pub fn run(settings: CameraSettings, outputs: CameraOutputs, tasks: &Tasks) {
    let CameraOutputs { main, sub, frames, status } = outputs;
    let settings = Arc::new(settings);
    let board = Arc::new(Board::new(status));
    let credentials = Arc::new(Credentials::default());
    // A camera without a second stream is read from its first.
    let lpr_stream = match settings.lpr {
        LprStream::Off => None,
        LprStream::Sub if settings.sub_url.is_some() => Some(StreamKind::Sub),
        LprStream::Main | LprStream::Sub => Some(StreamKind::Main),
    };
    let streams = [
        (StreamKind::Main, Some(settings.main_url.clone()), main, settings.main_not_before),
        (StreamKind::Sub, settings.sub_url.clone(), sub, settings.sub_not_before),
    ];
    for (kind, url, sinks, not_before) in streams {
        let slot = frames.clone().filter(|_| lpr_stream == Some(kind));
        let ring = (kind == StreamKind::Main && lpr_stream == Some(StreamKind::Sub))
            .then(|| frames.as_ref().map(|slot| slot.main().clone()))
            .flatten();
        let Some(url) = url.filter(|_| slot.is_some() || !sinks.is_empty()) else { continue };
        let decoder = slot.map(|slot| {
            let (worker, mut run) = DecoderWorker::new(settings.id.clone(), slot);
            tasks.spawn_thread("decode", OnExit::Restart, move |token| run(token).map_err(TaskError::from));
            worker
        });
        board.expect(kind);
        let place = media::place(&url);
        let output = Output { sinks, decoder, ring };
        let flow = Flow::new(settings.clone(), kind, place.clone(), board.clone(), output, not_before);
        let flow = Arc::new(Mutex::new(flow));
        let (settings, credentials, watched) = (settings.clone(), credentials.clone(), tasks.clone());
        tasks.spawn(kind.as_str(), OnExit::Restart, move |token| {
            let (settings, url, place) = (settings.clone(), url.clone(), place.clone());
            let (credentials, flow, watched) = (credentials.clone(), flow.clone(), watched.clone());
            async move {
                let seat = Seat::take().ok_or("no thread to read RTSP on could be started")?;
                let lane = seat.lane().clone();
                let worker = StreamWorker { settings, kind, url, place, credentials, lane, flow };
                let reading = seat.lane().handle().spawn(worker.run(token, move || watched.progress(kind.as_str())));
                reading.await.map_err(TaskError::from)?
            }
        });
    }
}
