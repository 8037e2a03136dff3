//! One RTSP connection: requests in, answers and packets out. A client that does not take its packets is cut alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rtsp_types::headers::{self, HeaderName};
use rtsp_types::{Message, Method, ParseError, Request, Response, ResponseBuilder, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::auth::{self, Proof};
use super::describe::{self, Wanted};
use super::stream::{Packets, Track, Wire, interleaved};
use super::{Admission, Counted, Server};
use crate::base::ids::CameraId;
use crate::live::{PictureSubscription, Refusal};
use crate::media::{Picture, Sound, StreamKind};

/// Requests are short; what is longer is none.
const REQUEST_MAX: usize = 64 * 1024;
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A client over UDP shows that it is there by requests (RFC 2326 12.37).
const SESSION_TIMEOUT_S: u64 = 60;
/// Nobody keeps a connection without playing.
const IDLE: Duration = Duration::from_secs(30);
/// An answer to a challenge that is older asks for a new one.
const NONCE_LIFE: Duration = Duration::from_secs(60);
/// How often a client is looked for that may not read any more.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// A client that still has no right password has none.
const ATTEMPTS_MAX: u32 = 5;

/// Where packets go.
enum Way {
    Interleaved(u8),
    Udp { rtp: UdpSocket, rtcp: UdpSocket },
}

struct Playing {
    viewer: PictureSubscription,
    packets: Packets,
    _counted: Counted,
}

/// What a client is asked to answer.
struct Nonce {
    text: String,
    made: Instant,
}

impl Nonce {
    fn new() -> Self {
        Self { text: hex::encode(rand::random::<[u8; 16]>()), made: Instant::now() }
    }
}

/// See the module.
pub struct Connection {
    server: Arc<Server>,
    socket: TcpStream,
    peer: SocketAddr,
    input: BytesMut,
    nonce: Nonce,
    attempts: u32,
    admission: Option<Admission>,
    session: String,
    target: Option<(CameraId, StreamKind)>,
    /// Of picture and sound.
    ways: [Option<Way>; 2],
    playing: Option<Playing>,
    heard: Instant,
}

type Answer = (StatusCode, Vec<(HeaderName, String)>, Vec<u8>);

fn plain(status: StatusCode) -> Answer {
    (status, Vec::new(), Vec::new())
}

impl Connection {
    pub fn new(server: Arc<Server>, socket: TcpStream, peer: SocketAddr) -> Self {
        Self {
            server,
            socket,
            peer,
            input: BytesMut::with_capacity(4096),
            nonce: Nonce::new(),
            attempts: 0,
            admission: None,
            session: format!("{:016X}", rand::random::<u64>()),
            target: None,
            ways: [None, None],
            playing: None,
            heard: Instant::now(),
        }
    }

    /// Until one side ends it; says why it did.
    pub async fn run(mut self, stop: CancellationToken) -> &'static str {
        let mut look = tokio::time::interval(Duration::from_secs(5));
        let mut ask = tokio::time::interval(ASK_EVERY);
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return "the box is restarting",
                read = self.socket.read_buf(&mut self.input) => match read {
                    Ok(0) | Err(_) => return "the client left",
                    Ok(_) => {
                        self.heard = Instant::now();
                        self.take_requests().await
                    }
                },
                next = next(&mut self.playing) => match next {
                    Ok(Next::Picture(picture)) => self.send_picture(&picture).await,
                    Ok(Next::Sound(sound)) => self.send_sound(&sound).await,
                    Err(RecvError::Lagged(count)) => {
                        crate::base::metrics::dropped("live", "slow_viewer", count);
                        if let Some(playing) = &mut self.playing {
                            playing.packets.interrupt();
                        }
                        Ok(())
                    }
                    Err(RecvError::Closed) => return "the camera was removed",
                },
                _ = look.tick() => self.still_there(),
                _ = ask.tick() => self.still_admitted().await,
            };
            if let Err(reason) = done {
                return reason;
            }
        }
    }

    fn still_there(&self) -> Result<(), &'static str> {
        let silent = self.heard.elapsed();
        let interleaved = self.ways.iter().flatten().all(|way| matches!(way, Way::Interleaved(_)));
        match &self.playing {
            // Over TCP the connection itself tells.
            Some(_) if interleaved => Ok(()),
            Some(_) if silent <= Duration::from_secs(SESSION_TIMEOUT_S + 10) => Ok(()),
            None if silent <= IDLE => Ok(()),
            _ => Err("nothing was heard"),
        }
    }

    async fn still_admitted(&self) -> Result<(), &'static str> {
        let Some(admission) = &self.admission else { return Ok(()) };
        if (admission.still)().await { Ok(()) } else { Err("the client may not read any more") }
    }

    async fn take_requests(&mut self) -> Result<(), &'static str> {
        loop {
            let (message, used) = match Message::<Vec<u8>>::parse(&self.input[..]) {
                Ok(parsed) => parsed,
                Err(ParseError::Incomplete(_)) if self.input.len() < REQUEST_MAX => return Ok(()),
                Err(_) => return Err("no RTSP"),
            };
            self.input.advance(used);
            // Anything else is feedback of the client, which a camera could not use.
            if let Message::Request(request) = message {
                let teardown = *request.method() == Method::Teardown;
                let answer = self.answer(&request).await;
                self.reply(&request, answer).await?;
                if teardown {
                    return Err("the client ended it");
                }
                if self.attempts >= ATTEMPTS_MAX {
                    return Err("the client has no right password");
                }
            }
        }
    }

    async fn reply(&mut self, request: &Request<Vec<u8>>, answer: Answer) -> Result<(), &'static str> {
        let (status, fields, body) = answer;
        let mut builder: ResponseBuilder = Response::builder(Version::V1_0, status);
        if let Some(number) = request.header(&headers::CSEQ) {
            builder = builder.header(headers::CSEQ, number.as_str());
        }
        for (name, value) in fields {
            builder = builder.header(name, value);
        }
        let mut out = Vec::new();
        builder.build(body).write(&mut out).map_err(|_| "an answer that cannot be written")?;
        self.write(&out).await?;
        // The first pictures follow the answer to PLAY, never come before it.
        let recent = self.playing.as_mut().map(|playing| std::mem::take(&mut playing.viewer.recent));
        for picture in recent.unwrap_or_default() {
            self.send_picture(&picture).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, request: &Request<Vec<u8>>) -> Answer {
        let method = request.method();
        if *method == Method::Options {
            let methods = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, TEARDOWN".to_owned();
            return (StatusCode::Ok, vec![(headers::PUBLIC, methods)], Vec::new());
        }
        if let Err(stale) = self.admitted(request).await {
            if self.nonce.made.elapsed() > NONCE_LIFE {
                self.nonce = Nonce::new();
            }
            // Each in a line of its own, as most clients want them; the library would join them in one.
            let asked = auth::challenges(&self.nonce.text, stale, self.server.gate.basic());
            let lines = asked.join(&format!("\r\n{}: ", headers::WWW_AUTHENTICATE.as_str()));
            return (StatusCode::Unauthorized, vec![(headers::WWW_AUTHENTICATE, lines)], Vec::new());
        }
        if let Some((camera, ..)) = self.target(request)
            && !self.admission.as_ref().is_some_and(|admission| admission.covers(&camera))
        {
            return plain(StatusCode::Forbidden);
        }
        match method {
            Method::Describe => self.describe(request),
            Method::Setup => self.setup(request).await,
            Method::Play => self.play(request),
            Method::Pause => {
                self.playing = None;
                self.in_session(StatusCode::Ok)
            }
            Method::GetParameter | Method::SetParameter | Method::Teardown => self.in_session(StatusCode::Ok),
            _ => plain(StatusCode::NotImplemented),
        }
    }

    /// Asked once for a connection: clients send their credentials with each request. `Err` tells whether the
    /// challenge that the client answered is too old.
    async fn admitted(&mut self, request: &Request<Vec<u8>>) -> Result<(), bool> {
        if self.admission.is_some() {
            return Ok(());
        }
        let header = request.header(&headers::AUTHORIZATION).ok_or(false)?;
        let attempt = auth::attempt(header.as_str(), request.method().into()).ok_or(false)?;
        if let Proof::Digest(answer) = &attempt.proof
            && (answer.nonce != self.nonce.text || self.nonce.made.elapsed() > NONCE_LIFE)
        {
            // Nobody is tried with an answer to somebody else's question.
            return Err(true);
        }
        self.attempts += 1;
        self.admission = self.server.gate.admit(attempt, self.peer.ip().to_canonical()).await;
        if self.admission.is_none() {
            return Err(false);
        }
        self.attempts = 0;
        Ok(())
    }

    fn target(&self, request: &Request<Vec<u8>>) -> Option<(CameraId, StreamKind, Option<Track>)> {
        let target = describe::target(request.request_uri()?.path())?;
        self.server.gate.knows(&target.0).then_some(target)
    }

    fn describe(&mut self, request: &Request<Vec<u8>>) -> Answer {
        let Some((camera, stream, _)) = self.target(request) else { return plain(StatusCode::NotFound) };
        let (config, sound) = match self.server.hub.watch_pictures(&camera, stream) {
            Ok(viewer) => (viewer.recent.last().map(|picture| picture.config.clone()), viewer.sound),
            Err(refusal) => return plain(status_of(refusal)),
        };
        let Some(config) = config else { return plain(StatusCode::ServiceUnavailable) };
        let Some(text) = describe::sdp(&camera, &config, sound.as_deref()) else {
            return plain(StatusCode::UnsupportedMediaType);
        };
        let base = request.request_uri().map(|url| format!("{}/", url.as_str().trim_end_matches('/')));
        let fields = vec![
            (headers::CONTENT_TYPE, "application/sdp".to_owned()),
            (headers::CONTENT_BASE, base.unwrap_or_default()),
        ];
        (StatusCode::Ok, fields, text.into_bytes())
    }

    async fn setup(&mut self, request: &Request<Vec<u8>>) -> Answer {
        let Some((camera, stream, track)) = self.target(request) else { return plain(StatusCode::NotFound) };
        let other = self.target.as_ref().is_some_and(|target| *target != (camera.clone(), stream));
        if self.playing.is_some() || other {
            return plain(StatusCode::MethodNotValidInThisState);
        }
        let wanted = request.header(&headers::TRANSPORT).and_then(|value| describe::transport(value.as_str()));
        let Some(wanted) = wanted else { return plain(StatusCode::UnsupportedTransport) };
        let (way, text) = match wanted {
            Wanted::Interleaved(first) => {
                let text = format!("RTP/AVP/TCP;unicast;interleaved={first}-{}", u16::from(first) + 1);
                (Way::Interleaved(first), text)
            }
            Wanted::Udp(rtp, rtcp) => match self.sockets(rtp, rtcp).await {
                Ok(opened) => opened,
                Err(error) => {
                    tracing::warn!(%error, "no UDP port for an RTSP client");
                    return plain(StatusCode::InternalServerError);
                }
            },
        };
        self.target = Some((camera, stream));
        self.ways[track.unwrap_or(Track::Video) as usize] = Some(way);
        let mut answer = self.in_session(StatusCode::Ok);
        answer.1.push((headers::TRANSPORT, text));
        answer
    }

    async fn sockets(&self, rtp: u16, rtcp: u16) -> std::io::Result<(Way, String)> {
        // From the address that the client asked, to the one that it asked from and no other.
        let (local, peer) = (self.socket.local_addr()?.ip(), self.peer.ip());
        let (first, second) = (UdpSocket::bind((local, 0)).await?, UdpSocket::bind((local, 0)).await?);
        first.connect((peer, rtp)).await?;
        second.connect((peer, rtcp)).await?;
        let ports = (first.local_addr()?.port(), second.local_addr()?.port());
        let text = format!("RTP/AVP;unicast;client_port={rtp}-{rtcp};server_port={}-{}", ports.0, ports.1);
        Ok((Way::Udp { rtp: first, rtcp: second }, text))
    }

    fn play(&mut self, request: &Request<Vec<u8>>) -> Answer {
        let Some((camera, stream)) = self.target.clone() else {
            return plain(StatusCode::MethodNotValidInThisState);
        };
        if self.playing.is_some() {
            return self.in_session(StatusCode::Ok);
        }
        let viewer = match self.server.hub.watch_pictures(&camera, stream) {
            Ok(viewer) => viewer,
            Err(refusal) => return plain(status_of(refusal)),
        };
        let packets = Packets::new();
        let first = viewer.recent.first().map_or(0, |picture| picture.pts);
        let url = request.request_uri().map_or_else(String::new, |url| url.as_str().trim_end_matches('/').to_owned());
        // Both tracks count from the same zero, each in its own unit.
        let rate = viewer.sound.as_ref().map_or(0, |sound| i128::from(sound.rate));
        let info = [
            (describe::VIDEO, Track::Video, first as u32),
            (describe::SOUND, Track::Sound, (i128::from(first) * rate / 90_000) as u32),
        ];
        let info = info.iter().filter(|(_, track, _)| self.ways[*track as usize].is_some());
        let info =
            info.map(|(name, track, time)| format!("url={url}/{name};seq={};rtptime={time}", packets.sequence(*track)));
        let info = info.collect::<Vec<_>>().join(",");
        self.playing = Some(Playing { viewer, packets, _counted: Counted::new("rtsp") });
        let mut answer = self.in_session(StatusCode::Ok);
        answer.1.push((headers::RANGE, "npt=now-".to_owned()));
        answer.1.push((headers::RTP_INFO, info));
        answer
    }

    fn in_session(&self, status: StatusCode) -> Answer {
        let session = format!("{};timeout={SESSION_TIMEOUT_S}", self.session);
        (status, vec![(headers::SESSION, session)], Vec::new())
    }

    async fn send_picture(&mut self, picture: &Picture) -> Result<(), &'static str> {
        let Some(playing) = self.playing.as_mut().filter(|_| self.ways[Track::Video as usize].is_some()) else {
            return Ok(());
        };
        let wires = playing.packets.of(picture);
        self.send(&wires).await
    }

    async fn send_sound(&mut self, sound: &Sound) -> Result<(), &'static str> {
        let Some(playing) = self.playing.as_mut().filter(|_| self.ways[Track::Sound as usize].is_some()) else {
            return Ok(());
        };
        if playing.viewer.sound.as_ref() != Some(&sound.config) {
            // The client would not know how to read it; it asks anew.
            return Err("the camera's sound changed");
        }
        let wires = playing.packets.of_sound(sound);
        self.send(&wires).await
    }

    async fn send(&mut self, wires: &[Wire]) -> Result<(), &'static str> {
        let channel = |way: &Option<Way>| match way {
            Some(Way::Interleaved(channel)) => Some(*channel),
            _ => None,
        };
        let within = interleaved(wires, [channel(&self.ways[0]), channel(&self.ways[1])]);
        for wire in wires {
            let Some(Way::Udp { rtp, rtcp }) = &self.ways[wire.track as usize] else { continue };
            let sent = if wire.rtcp { rtcp.try_send(&wire.data) } else { rtp.try_send(&wire.data) };
            if sent.is_err() {
                crate::base::metrics::dropped("live", "rtsp_output", 1);
            }
        }
        if within.is_empty() { Ok(()) } else { self.write(&within).await }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), &'static str> {
        match timeout(SEND_TIMEOUT, self.socket.write_all(data)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the client left"),
            Err(_) => {
                crate::base::metrics::dropped("live", "slow_viewer", 1);
                Err("the client is too slow")
            }
        }
    }
}

enum Next {
    Picture(Picture),
    Sound(Sound),
}

async fn next(playing: &mut Option<Playing>) -> Result<Next, RecvError> {
    let Some(Playing { viewer, .. }) = playing else { return std::future::pending().await };
    tokio::select! {
        picture = viewer.next.recv() => picture.map(Next::Picture),
        sound = viewer.sounds.next() => sound.map(Next::Sound).ok_or(RecvError::Closed),
    }
}

/// The fuzz target of what clients send; see `crate::fuzz`.
#[cfg(any(test, fuzzing))]
pub fn fuzz_request(data: &[u8]) {
    let proof = auth::Ha1::of("vms", "secret");
    let Ok((Message::Request(request), used)) = Message::<Vec<u8>>::parse(data) else { return };
    assert!(used <= data.len());
    if let Some(header) = request.header(&headers::AUTHORIZATION)
        && let Some(attempt) = auth::attempt(header.as_str(), request.method().into())
    {
        proof.proves(&attempt);
    }
    if let Some(header) = request.header(&headers::TRANSPORT) {
        describe::transport(header.as_str());
    }
    if let Some(url) = request.request_uri() {
        describe::target(url.path());
    }
}

fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::Silent => StatusCode::ServiceUnavailable,
        Refusal::Full { .. } => StatusCode::NotEnoughBandwidth,
    }
}
