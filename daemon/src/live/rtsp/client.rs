//! One connection of a push: ANNOUNCE, SETUP, RECORD (RFC 2326 10.3, 10.11), then packets within the connection.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_auth::{PasswordClient, PasswordParams};
use rtsp_types::headers::{self, HeaderName};
use rtsp_types::{Message, Method, ParseError, Request, Response, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use url::Url;

use super::describe;
use super::push::{Board, PushState, Target};
use super::stream::{Packets, Track, Wire, interleaved};
use crate::base::ids::CameraId;
use crate::live::hub::{Hub, PictureSubscription, Refusal};

const DEFAULT_PORT: u16 = 554;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that takes nothing for this long is left; pictures that it missed are lost for it alone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers are short; what is longer is none.
const ANSWER_MAX: usize = 64 * 1024;

/// Why a push ended. None of them names user or password.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the camera sends no picture now")]
    Silent,
    #[error("{viewers} viewers watch this stream already; raise live.max_viewers")]
    Full { viewers: usize },
    #[error("{0:?} cannot be sent by RTSP; choose the camera's other stream")]
    Codec(crate::media::VideoCodec),
    #[error("the address cannot be read: {0}")]
    Address(String),
    #[error("{place} cannot be reached: {cause}; check address, network and firewall")]
    Connect { place: String, cause: String },
    #[error("{place} refuses user and password; check both")]
    Unauthorised { place: String },
    #[error("{place} answered {method} with {status}; check the path and whether it accepts streams")]
    Refused { place: String, method: String, status: u16 },
    #[error("{place} did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    NoAnswer { place: String },
    #[error("{place} does not speak RTSP")]
    Protocol { place: String },
    #[error("{place} takes the stream too slowly")]
    Slow { place: String },
    #[error("{place} closed the connection")]
    Closed { place: String },
    #[error("the camera's sound changed")]
    Changed,
}

/// See the module.
pub struct Session {
    socket: TcpStream,
    place: String,
    url: Url,
    input: BytesMut,
    number: u32,
    session: Option<String>,
    username: String,
    password: crate::base::secret::Secret,
    auth: Option<PasswordClient>,
}

impl Session {
    /// Until it ends; says why it did.
    pub async fn run(hub: &Hub, camera: &CameraId, target: &Target, board: &Board) -> Failure {
        match Self::attempt(hub, camera, target, board).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    async fn attempt(
        hub: &Hub,
        camera: &CameraId,
        target: &Target,
        board: &Board,
    ) -> Result<std::convert::Infallible, Failure> {
        let viewer = hub.watch_pictures(camera, target.stream).map_err(|refusal| match refusal {
            Refusal::Silent => Failure::Silent,
            Refusal::Full { viewers } => Failure::Full { viewers },
        })?;
        let config = viewer.recent.last().map(|picture| picture.config.clone()).ok_or(Failure::Silent)?;
        let sdp = describe::sdp(camera, &config, viewer.sound.as_deref()).ok_or(Failure::Codec(config.codec))?;
        let mut session = Self::connect(target).await?;
        let tracks = if viewer.sound.is_some() { 2 } else { 1 };
        session.announce(sdp, tracks).await?;
        board.set(PushState::Sending, "");
        tracing::info!(%camera, place = session.place, "RTSP push began");
        let _counted = super::Counted::new("rtsp-push");
        session.send_all(viewer).await
    }

    async fn connect(target: &Target) -> Result<Self, Failure> {
        let url = Url::parse(&target.url).map_err(|error| Failure::Address(error.to_string()))?;
        let host = url.host().ok_or_else(|| Failure::Address("it names no host".to_owned()))?.to_owned();
        let port = url.port().unwrap_or(DEFAULT_PORT);
        let place = format!("{host}:{port}");
        let failed = |cause: String| Failure::Connect { place: place.clone(), cause };
        let connecting = TcpStream::connect(place.as_str());
        let socket = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("no answer".to_owned())),
        };
        let _ = socket.set_nodelay(true);
        Ok(Self {
            socket,
            place,
            url,
            input: BytesMut::with_capacity(4096),
            number: 0,
            session: None,
            username: target.username.clone(),
            password: target.password.clone(),
            auth: None,
        })
    }

    async fn announce(&mut self, sdp: String, tracks: u8) -> Result<(), Failure> {
        let url = self.url.clone();
        let content = vec![(headers::CONTENT_TYPE, "application/sdp".to_owned())];
        self.demand(Method::Announce, &url, content, sdp.into_bytes()).await?;
        for track in 0..tracks {
            let name = if track == 0 { describe::VIDEO } else { describe::SOUND };
            let control = Url::parse(&format!("{}/{name}", url.as_str().trim_end_matches('/')));
            let control = control.map_err(|error| Failure::Address(error.to_string()))?;
            let way = format!("RTP/AVP/TCP;unicast;interleaved={}-{};mode=record", track * 2, track * 2 + 1);
            let answer = self.demand(Method::Setup, &control, vec![(headers::TRANSPORT, way)], Vec::new()).await?;
            if let Some(session) = answer.header(&headers::SESSION) {
                self.session = session.as_str().split(';').next().map(|id| id.trim().to_owned());
            }
        }
        let range = vec![(headers::RANGE, "npt=0.000-".to_owned())];
        self.demand(Method::Record, &url, range, Vec::new()).await?;
        Ok(())
    }

    /// Asks, with user and password where the server wants them, and takes nothing but success.
    async fn demand(
        &mut self,
        method: Method,
        url: &Url,
        fields: Vec<(HeaderName, String)>,
        body: Vec<u8>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut answer = self.ask(&method, url, &fields, &body).await?;
        if answer.status() == StatusCode::Unauthorized {
            // A challenge may also be a new one in place of one that is too old.
            let asked = answer.header(&headers::WWW_AUTHENTICATE).map(|value| value.as_str().to_owned());
            let client = asked.and_then(|asked| PasswordClient::try_from(asked.as_str()).ok());
            self.auth = Some(client.ok_or_else(|| Failure::Unauthorised { place: self.place.clone() })?);
            answer = self.ask(&method, url, &fields, &body).await?;
        }
        match answer.status() {
            StatusCode::Unauthorized => Err(Failure::Unauthorised { place: self.place.clone() }),
            status if status.is_success() => Ok(answer),
            status => {
                let method = <&str>::from(&method).to_owned();
                Err(Failure::Refused { place: self.place.clone(), method, status: status.into() })
            }
        }
    }

    async fn ask(
        &mut self,
        method: &Method,
        url: &Url,
        fields: &[(HeaderName, String)],
        body: &[u8],
    ) -> Result<Response<Vec<u8>>, Failure> {
        self.number += 1;
        let mut builder = Request::builder(method.clone(), Version::V1_0)
            .request_uri(url.clone())
            .header(headers::CSEQ, self.number.to_string())
            .header(headers::USER_AGENT, concat!("gtv-edge/", env!("CARGO_PKG_VERSION")));
        for (name, value) in fields {
            builder = builder.header(name.clone(), value.as_str());
        }
        if let Some(session) = &self.session {
            builder = builder.header(headers::SESSION, session.as_str());
        }
        if let Some(auth) = &mut self.auth {
            let params = PasswordParams {
                username: &self.username,
                password: self.password.expose(),
                uri: url.as_str(),
                method: method.into(),
                body: Some(body),
            };
            let answer = auth.respond(&params).map_err(|_| Failure::Unauthorised { place: self.place.clone() })?;
            builder = builder.header(headers::AUTHORIZATION, answer);
        }
        let mut out = Vec::new();
        let written = builder.build(body).write(&mut out);
        written.map_err(|_| Failure::Address("it cannot be written into a request".to_owned()))?;
        self.write(&out).await?;
        let answer = timeout(ANSWER_TIMEOUT, self.answer()).await;
        answer.unwrap_or_else(|_| Err(Failure::NoAnswer { place: self.place.clone() }))
    }

    async fn answer(&mut self) -> Result<Response<Vec<u8>>, Failure> {
        loop {
            if let Some(Message::Response(response)) = self.parse()? {
                return Ok(response);
            }
            self.read().await?;
        }
    }

    /// The next whole message that has come, which may be feedback that nobody needs.
    fn parse(&mut self) -> Result<Option<Message<Vec<u8>>>, Failure> {
        match Message::<Vec<u8>>::parse(&self.input[..]) {
            Ok((message, used)) => {
                self.input.advance(used);
                Ok(Some(message))
            }
            Err(ParseError::Incomplete(_)) if self.input.len() < ANSWER_MAX => Ok(None),
            Err(_) => Err(Failure::Protocol { place: self.place.clone() }),
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match self.socket.read_buf(&mut self.input).await {
            Ok(0) | Err(_) => Err(Failure::Closed { place: self.place.clone() }),
            Ok(_) => Ok(()),
        }
    }

    async fn send_all(&mut self, mut viewer: PictureSubscription) -> Result<std::convert::Infallible, Failure> {
        let mut packets = Packets::new();
        for picture in std::mem::take(&mut viewer.recent) {
            self.send(&packets.of(&picture)).await?;
        }
        loop {
            tokio::select! {
                picture = viewer.next.recv() => match picture {
                    Ok(picture) => self.send(&packets.of(&picture)).await?,
                    Err(RecvError::Lagged(count)) => {
                        crate::base::metrics::dropped("live", "slow_viewer", count);
                        packets.interrupt();
                    }
                    Err(RecvError::Closed) => return Err(Failure::Silent),
                },
                sound = viewer.sounds.next(), if viewer.sound.is_some() => match sound {
                    Some(sound) if viewer.sound.as_ref() == Some(&sound.config) => {
                        self.send(&packets.of_sound(&sound)).await?;
                    }
                    Some(_) => return Err(Failure::Changed),
                    None => return Err(Failure::Silent),
                },
                read = self.read() => {
                    read?;
                    while let Some(message) = self.parse()? {
                        let ends = |request: &Request<Vec<u8>>| *request.method() == Method::Teardown;
                        if matches!(&message, Message::Request(request) if ends(request)) {
                            return Err(Failure::Closed { place: self.place.clone() });
                        }
                    }
                }
            }
        }
    }

    async fn send(&mut self, wires: &[Wire]) -> Result<(), Failure> {
        let channels = [Some(Track::Video as u8 * 2), Some(Track::Sound as u8 * 2)];
        self.write(&interleaved(wires, channels)).await
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        match timeout(SEND_TIMEOUT, self.socket.write_all(data)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Failure::Closed { place: self.place.clone() }),
            Err(_) => {
                crate::base::metrics::dropped("live", "slow_viewer", 1);
                Err(Failure::Slow { place: self.place.clone() })
            }
        }
    }
}
