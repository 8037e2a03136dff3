//! AAC of a camera as Opus for WebRTC: one transcoder a stream, shared by its listeners, and none while nobody listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::hub::{Hub, Sounds};
use crate::base::ids::CameraId;
use crate::media::{MediaError, OpusPacket, OpusTranscoder, SoundConfig, StreamKind};

/// Two seconds of packets of 20 ms.
const PACKETS: usize = 100;

type Sender = broadcast::Sender<OpusPacket>;
type Running = HashMap<(CameraId, StreamKind), Weak<Sender>>;

/// One listener; the transcoder ends with the last of them.
pub struct Listener {
    packets: broadcast::Receiver<OpusPacket>,
    _keeps: Arc<Sender>,
}

impl Listener {
    /// `None`: the sound has ended.
    pub async fn next(&mut self) -> Option<OpusPacket> {
        loop {
            match self.packets.recv().await {
                Ok(packet) => return Some(packet),
                Err(RecvError::Lagged(count)) => crate::base::metrics::dropped("live", "slow_sound", count),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// The transcoders of the box. Clones share them.
#[derive(Clone)]
pub struct Voices {
    hub: Hub,
    running: Arc<Mutex<Running>>,
}

impl Voices {
    pub fn new(hub: Hub) -> Self {
        Self { hub, running: Arc::default() }
    }

    pub fn listen(
        &self,
        camera: &CameraId,
        stream: StreamKind,
        config: &Arc<SoundConfig>,
    ) -> Result<Listener, MediaError> {
        let mut running = lock(&self.running);
        running.retain(|_, sender| sender.strong_count() > 0);
        let key = (camera.clone(), stream);
        if let Some(sender) = running.get(&key).and_then(Weak::upgrade) {
            return Ok(Listener { packets: sender.subscribe(), _keeps: sender });
        }
        let transcoder = OpusTranscoder::open(config)?;
        let missing = || MediaError::Library { what: "a camera's sound", cause: "it has ended".to_owned() };
        let sounds = self.hub.sounds(camera, stream).ok_or_else(missing)?;
        let sender = Arc::new(Sender::new(PACKETS));
        running.insert(key, Arc::downgrade(&sender));
        let (weak, config) = (Arc::downgrade(&sender), config.clone());
        let listener = Listener { packets: sender.subscribe(), _keeps: sender };
        std::thread::Builder::new()
            .name(format!("opus-{camera}"))
            .spawn(move || transcode(sounds, transcoder, config, &weak))
            .map_err(|error| MediaError::Library { what: "a thread for Opus", cause: error.to_string() })?;
        Ok(listener)
    }
}

/// Until nobody listens any more, or the camera is removed.
fn transcode(mut sounds: Sounds, mut transcoder: OpusTranscoder, mut config: Arc<SoundConfig>, to: &Weak<Sender>) {
    while let Some(sound) = sounds.wait() {
        let Some(sender) = to.upgrade() else { return };
        if sound.config != config {
            config = sound.config.clone();
            match OpusTranscoder::open(&config) {
                Ok(fresh) => transcoder = fresh,
                Err(error) => {
                    tracing::warn!(%error, "a camera's new sound cannot be heard by WebRTC");
                    return;
                }
            }
        }
        match transcoder.push(&sound) {
            // Fails only when the last listener has just gone.
            Ok(packets) => packets.into_iter().for_each(|packet| drop(sender.send(packet))),
            Err(error) => {
                tracing::warn!(%error, "a camera's sound cannot be heard by WebRTC");
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
