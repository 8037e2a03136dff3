//! One stream of a camera: connects, reads, and comes back with jittered backoff. `retina` reads on a shared thread; what
//! it does not speak is read by libavformat, on a thread of the stream's own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::CameraSettings;
use super::credentials::Credentials;
use super::flow::{Flow, STALL};
use super::lane::{Lane, Prompt};
use crate::base::backoff::Backoff;
use crate::base::tasks::{CancellationToken, TaskError};
use crate::config::Transport;
use crate::media::{
    self, Input, MediaError, OpenOptions, RtspItem, RtspOptions, RtspSession, StreamKind, Track, arrival_now,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// A stream that ran this long starts over with the shortest delay.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// Packets taken from one connection at a look before the others have their turn: 5 MB.
const PACKETS_A_LOOK: usize = 4096;

/// See the module.
pub struct StreamWorker {
    pub settings: Arc<CameraSettings>,
    pub kind: StreamKind,
    pub url: String,
    pub place: String,
    pub credentials: Arc<Credentials>,
    pub lane: Arc<Lane>,
    /// What outlives a connection, and a panic.
    pub flow: Arc<Mutex<Flow>>,
}

enum Connection {
    Retina(Box<RtspSession>),
    Libavformat(Input),
}

impl StreamWorker {
    /// Until cancelled. `progress` is called while pictures come.
    pub async fn run(
        self,
        token: CancellationToken,
        progress: impl Fn() + Clone + Send + 'static,
    ) -> Result<(), TaskError> {
        let mut attempt = 0u32;
        // Why `retina` cannot read this stream.
        let mut refused = self.never_retina();
        while pause(self.settings.connects.turn(), &token).await {
            let started = Instant::now();
            // Handshakes are questions and answers, not to be slept through.
            let prompt = Prompt::new(&self.lane);
            let connection = self.credentials.attempt(self.connect(&mut refused, &token)).await;
            let error = match connection {
                Ok(Connection::Retina(session)) => self.read(*session, prompt, &token, &progress).await,
                Ok(Connection::Libavformat(input)) => {
                    drop(prompt);
                    self.read_on_thread(input, refused.clone(), token.clone(), progress.clone()).await?
                }
                Err(Some(error)) => error,
                Err(None) => MediaError::Unauthorised { place: self.place.clone() },
            };
            if error == MediaError::Cancelled {
                break;
            }
            if started.elapsed() >= STABLE_AFTER {
                attempt = 0;
                // It was long ago; the camera may have been mended since.
                refused = self.never_retina();
            }
            if let MediaError::Protocol { cause, .. } = &error {
                refused.get_or_insert_with(|| cause.clone());
            }
            self.flow().fail(error);
            let backoff = RETRY.delay(attempt, rand::random());
            attempt = attempt.saturating_add(1);
            if !pause(self.credentials.wait().await.unwrap_or(backoff), &token).await {
                break;
            }
        }
        Ok(())
    }

    fn never_retina(&self) -> Option<String> {
        if self.settings.transport == Transport::Udp {
            Some("UDP".to_owned())
        } else {
            self.url.starts_with("rtsps:").then(|| "TLS".to_owned())
        }
    }

    async fn connect(&self, refused: &mut Option<String>, token: &CancellationToken) -> Result<Connection, MediaError> {
        if refused.is_none() {
            let opening = RtspSession::open(RtspOptions {
                address: &self.url,
                username: &self.settings.username,
                password: &self.settings.password,
                place: &self.place,
                audio: self.settings.audio,
                timeout: CONNECT_TIMEOUT,
            });
            let opened = tokio::select! {
                opened = opening => opened,
                () = token.cancelled() => return Err(MediaError::Cancelled),
            };
            match opened {
                Ok(session) => return Ok(Connection::Retina(Box::new(session))),
                Err(MediaError::Protocol { cause, .. }) => {
                    tracing::info!(camera = %self.settings.id, stream = %self.kind, cause, "read by libavformat");
                    *refused = Some(cause);
                }
                Err(error) => return Err(error),
            }
        }
        let options = OpenOptions {
            url: media::stream_url(&self.url, &self.settings.username, &self.settings.password)?,
            place: self.place.clone(),
            transport: self.settings.transport,
            audio: self.settings.audio,
            timeout: CONNECT_TIMEOUT,
            token: token.clone(),
        };
        let opened = tokio::task::spawn_blocking(|| Input::open(options)).await;
        opened.map_or(Err(MediaError::Cancelled), |input| input.map(Connection::Libavformat))
    }

    /// Until the connection ends; says why it did.
    async fn read(
        &self,
        mut session: RtspSession,
        prompt: Prompt,
        token: &CancellationToken,
        progress: &impl Fn(),
    ) -> MediaError {
        let audio_refused = session.audio_refused.as_deref();
        self.flow().begin(&session.video, session.audio.as_ref(), audio_refused, "retina".to_owned());
        let mut prompt = Some(prompt);
        let error = loop {
            let first = if prompt.is_some() {
                tokio::select! {
                    item = session.next() => Some(item),
                    () = self.lane.look() => None,
                }
            } else {
                self.lane.look().await;
                None
            };
            if token.is_cancelled() {
                break MediaError::Cancelled;
            }
            if let Err(error) = self.take(&mut session, first, progress) {
                break error;
            }
            let urgent = self.flow().is_urgent();
            if urgent != prompt.is_some() {
                prompt = urgent.then(|| Prompt::new(&self.lane));
            }
        };
        self.flow().end();
        error
    }

    /// Takes what has come. All of it is dated by this moment; `media::wall` knows that delays differ.
    fn take(
        &self,
        session: &mut RtspSession,
        first: Option<Result<RtspItem, MediaError>>,
        progress: &impl Fn(),
    ) -> Result<(), MediaError> {
        let mut flow = self.flow();
        let (mut arrival, mut video_came) = (None, false);
        let mut next = first.or_else(|| session.next_now());
        for _ in 0..PACKETS_A_LOOK {
            let Some(item) = next else { break };
            let arrival = *arrival.get_or_insert_with(arrival_now);
            match item? {
                RtspItem::Video(packet) => {
                    flow.video_payload(packet.payload(), packet.lost(), packet.pts(), arrival);
                    video_came = true;
                }
                RtspItem::Audio(packet) => flow.audio_payload(packet.payload(), packet.pts(), arrival),
                RtspItem::Report(report) => flow.video_report(report),
                RtspItem::Other => {}
            }
            next = session.next_now();
        }
        if video_came {
            flow.video_came();
        }
        flow.check(progress)
    }

    async fn read_on_thread(
        &self,
        mut input: Input,
        reason: Option<String>,
        token: CancellationToken,
        progress: impl Fn() + Send + 'static,
    ) -> Result<MediaError, TaskError> {
        let flow = self.flow.clone();
        let (done, ended) = tokio::sync::oneshot::channel();
        let name = format!("{}/{}", self.settings.id, self.kind);
        std::thread::Builder::new().name(name).spawn(move || {
            let mut flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
            let client = format!("libavformat ({})", reason.unwrap_or_default());
            flow.begin(&input.video, input.audio.as_ref(), input.audio_refused.as_deref(), client);
            let error = loop {
                let packet = match input.read(STALL) {
                    Ok(packet) => packet,
                    Err(error) => break error,
                };
                if token.is_cancelled() {
                    break MediaError::Cancelled;
                }
                match packet.track {
                    Track::Video => flow.video(packet.data(), packet.pts, packet.arrival),
                    Track::Audio => flow.audio(packet.data(), packet.pts, packet.arrival),
                    Track::Other => {}
                }
                input.recycle(packet);
                if let Err(error) = flow.check(&progress) {
                    break error;
                }
            };
            flow.end();
            // The receiver is gone only while the process ends.
            let _ = done.send(error);
        })?;
        ended.await.map_err(|_| "thread panicked".into())
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// False when cancelled.
async fn pause(delay: Duration, token: &CancellationToken) -> bool {
    if delay.is_zero() {
        return !token.is_cancelled();
    }
    tokio::time::timeout(delay, token.cancelled()).await.is_err()
}
