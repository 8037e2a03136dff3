//! WebRTC by WHEP (draft-ietf-wish-whep): an offer in, an answer out, then the camera's pictures as RTP, packed as they
//! came. The box speaks ICE-lite: viewers reach it on the addresses it names, so neither STUN nor TURN is needed.

mod negotiate;
mod session;
mod sockets;
mod sound;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hub::{Hub, PictureSubscription, Refusal};
use super::transcode::Transcoders;
use super::voice::Voices;
use crate::base::ids::CameraId;
use crate::config::LiveConfig;
use crate::media::{AudioCodec, StreamKind, VideoCodec};
use sockets::Sockets;

/// Asked now and then whether the viewer's session still stands.
pub type StillAllowed = Box<dyn Fn() -> bool + Send + Sync>;

/// Why there is no session. Each leaves the viewer the other ways to watch.
#[derive(Debug, thiserror::Error)]
pub enum WhepError {
    #[error("the stream does not run now")]
    Silent,
    #[error("{viewers} people watch this camera already")]
    Full { viewers: usize },
    #[error("the offer cannot be read: {0}")]
    Offer(String),
    #[error("the offer has no video to receive in {0}, as the camera sends it")]
    Codec(VideoCodec),
    #[error("the camera sends B-frames, which WebRTC cannot show")]
    Reordered,
    #[error("no UDP port for WebRTC: {0}")]
    Port(std::io::Error),
}

impl From<Refusal> for WhepError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Silent => Self::Silent,
            Refusal::Full { viewers } => Self::Full { viewers },
        }
    }
}

/// A session that has begun.
pub struct Opened {
    pub id: Uuid,
    /// SDP.
    pub answer: String,
    /// What the viewer gets is H.264 made from what the camera sends.
    pub transcoded: bool,
}

struct Running {
    camera: CameraId,
    /// Who opened it; nobody else ends it.
    owner: Uuid,
    stop: CancellationToken,
}

/// All WebRTC sessions of the box. Clones share them.
#[derive(Clone)]
pub struct Whep {
    hub: Hub,
    voices: Voices,
    transcoders: Transcoders,
    sockets: Sockets,
    running: Arc<Mutex<HashMap<Uuid, Running>>>,
    stop: CancellationToken,
}

impl Whep {
    /// All sessions end with `stop`.
    pub fn new(hub: Hub, config: &LiveConfig, stop: CancellationToken) -> Self {
        let voices = Voices::new(hub.clone());
        let transcoders = Transcoders::new(hub.clone(), config.max_viewers, config.transcode);
        let sockets = Sockets::new(config.webrtc_port, stop.clone());
        Self { hub, voices, transcoders, sockets, running: Arc::default(), stop }
    }

    /// Begins a session. `loopback`: the viewer is on the box itself.
    pub async fn open(
        &self,
        camera: &CameraId,
        stream: StreamKind,
        offer: &str,
        owner: Uuid,
        loopback: bool,
        still_allowed: StillAllowed,
    ) -> Result<Opened, WhepError> {
        let mut viewer = self.hub.watch_pictures(camera, stream)?;
        let bound = self.sockets.open(loopback).map_err(WhepError::Port)?;
        let (negotiated, transcoded) = match negotiate(offer, &viewer, &bound) {
            Err(error @ (WhepError::Codec(_) | WhepError::Reordered)) if self.may_transcode(&viewer) => {
                match self.transcoders.watch(camera, stream).await {
                    Ok(mut made) => {
                        made.sound = viewer.sound.take();
                        viewer = made;
                    }
                    Err(reason) => {
                        tracing::warn!(%camera, %stream, %reason, "a viewer's browser cannot show this stream");
                        return Err(error);
                    }
                }
                (negotiate(offer, &viewer, &bound)?, true)
            }
            negotiated => (negotiated?, false),
        };
        let sound = negotiated.sound.and_then(|track| Some((track, self.sound(camera, stream, &viewer)?)));
        let (queue, datagrams) = tokio::sync::mpsc::channel(session::DATAGRAMS);
        let registered = self.sockets.register(negotiated.ufrag, queue);
        let (id, stop) = (Uuid::now_v7(), self.stop.child_token());
        let session =
            session::Session::new(negotiated.rtc, negotiated.track, viewer, sound, datagrams, bound, still_allowed);
        let running = Running { camera: camera.clone(), owner, stop: stop.clone() };
        lock(&self.running).insert(id, running);
        let sessions = self.running.clone();
        let (camera, gauge) = (camera.clone(), metrics::gauge!("gtv_live_viewers", "protocol" => "webrtc"));
        tokio::spawn(async move {
            gauge.increment(1.0);
            // The state of ICE, DTLS and SRTP makes it large.
            let reason = Box::pin(session.run(stop)).await;
            tracing::debug!(%camera, session = %id, reason, "WebRTC session ended");
            gauge.decrement(1.0);
            drop(registered);
            lock(&sessions).remove(&id);
        });
        Ok(Opened { id, answer: negotiated.answer, transcoded })
    }

    /// H.264 plays by MSE everywhere, B-frames and all: no reason to make it anew.
    fn may_transcode(&self, viewer: &PictureSubscription) -> bool {
        let codec = viewer.recent.last().map(|picture| picture.config.codec);
        self.transcoders.are_on() && codec != Some(VideoCodec::H264)
    }

    /// Where the sound of a session comes from; without it there is still the picture.
    fn sound(&self, camera: &CameraId, stream: StreamKind, viewer: &PictureSubscription) -> Option<sound::Source> {
        let config = viewer.sound.clone()?;
        if config.codec != AudioCodec::Aac {
            let sounds = self.hub.sounds(camera, stream)?;
            return Some(sound::Source::AsItIs(sounds, config));
        }
        match self.voices.listen(camera, stream, &config) {
            Ok(listener) => Some(sound::Source::Opus(listener)),
            Err(error) => {
                tracing::warn!(%camera, %error, "a camera's sound cannot be heard by WebRTC");
                None
            }
        }
    }

    /// Ends a session of `owner`, where there is one.
    pub fn close(&self, camera: &CameraId, id: Uuid, owner: Uuid) {
        let running = lock(&self.running);
        if let Some(session) = running.get(&id).filter(|session| session.camera == *camera && session.owner == owner) {
            session.stop.cancel();
        }
    }
}

fn negotiate(
    offer: &str,
    viewer: &PictureSubscription,
    bound: &[sockets::Bound],
) -> Result<negotiate::Negotiated, WhepError> {
    // A stream that runs and has no picture to begin with is one with an endless group of pictures.
    let config = viewer.recent.last().map(|picture| &picture.config).ok_or(WhepError::Silent)?;
    if viewer.reordered {
        return Err(WhepError::Reordered);
    }
    let voice = viewer.sound.as_deref().and_then(negotiate::Voice::of);
    negotiate::answer(offer, config.codec, &config.codec_string, voice, bound)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
