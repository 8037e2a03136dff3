//! One RTSP connection through `retina`: RTP over TCP, read in large pieces on the caller's runtime, no thread of its
//! own. What it does not speak is said as [`MediaError::Protocol`], for `input` to try.

use std::io::Error as IoError;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use retina::client::{
    Credentials, InitialSequenceNumberPolicy, InitialTimestampPolicy, PacketItem, PlayOptions, Playing, Session,
    SessionIdPolicy, SessionOptions, SetupOptions, UnassignedChannelDataPolicy,
};
use retina::codec::ParametersRef;
use retina::rtcp::{ReceivedCompoundPacket, TypedPacketRef};

use super::audio::{AudioCodec, AudioParams};
use super::codec::VideoCodec;
use super::error::MediaError;
use super::input::{VideoParams, connect_cause, no_answer};
use super::rtp::described_sets;
use super::url::bare_url;
use crate::base::clocks::SenderReport;
use crate::base::secret::Secret;

/// How to connect.
pub struct RtspOptions<'a> {
    pub address: &'a str,
    pub username: &'a str,
    pub password: &'a Secret,
    /// What messages call the camera.
    pub place: &'a str,
    pub audio: bool,
    pub timeout: Duration,
}

/// A piece of what the camera sends.
#[derive(Debug)]
pub enum RtspItem {
    Video(RtpPacket),
    Audio(RtpPacket),
    /// Of the video track.
    Report(SenderReport),
    Other,
}

/// One RTP packet.
#[derive(Debug)]
pub struct RtpPacket(retina::rtp::ReceivedPacket);

impl RtpPacket {
    pub fn payload(&self) -> &[u8] {
        self.0.payload()
    }

    /// In ticks of the track's clock, counted on beyond 32 bits.
    pub fn pts(&self) -> i64 {
        self.0.timestamp().timestamp()
    }

    /// Packets are missing before this one.
    pub fn lost(&self) -> bool {
        self.0.loss() > 0
    }
}

/// A connection that plays.
pub struct RtspSession {
    session: Session<Playing>,
    place: String,
    video_index: usize,
    audio_index: Option<usize>,
    pub video: VideoParams,
    pub audio: Option<AudioParams>,
    /// Why an audio track that the camera offers is left out.
    pub audio_refused: Option<String>,
}

impl RtspSession {
    /// Until the camera plays, at most for the timeout. Tries the credentials once.
    pub async fn open(options: RtspOptions<'_>) -> Result<Self, MediaError> {
        let (place, timeout) = (options.place.to_owned(), options.timeout);
        tokio::time::timeout(timeout, Self::negotiate(options))
            .await
            .unwrap_or_else(|_| Err(MediaError::Unreachable { place, cause: no_answer(timeout) }))
    }

    async fn negotiate(options: RtspOptions<'_>) -> Result<Self, MediaError> {
        let RtspOptions { address, username, password, place, audio, timeout } = options;
        let failed = |error: retina::Error| open_error(&error, place, timeout);
        let credentials = (!username.is_empty())
            .then(|| Credentials { username: username.to_owned(), password: password.expose().to_owned() });
        // Whatever is not needed is not insisted on: cameras get these details wrong.
        let settings = SessionOptions::default()
            .creds(credentials)
            .user_agent("gtv-edge".to_owned())
            .unassigned_channel_data(UnassignedChannelDataPolicy::Ignore)
            .session_id(SessionIdPolicy::UseFirst);
        let mut session = Session::describe(bare_url(address)?, settings).await.map_err(failed)?;
        let (video_index, codec) = find_video(&session, place)?;
        let clock_hz = i64::from(session.streams()[video_index].clock_rate_hz()).max(1);
        let video = VideoParams { codec, parameter_sets: described_sets(session.sdp(), codec), clock_hz };
        let (audio, audio_refused) = if audio { find_audio(&session) } else { (None, None) };
        session.setup(video_index, SetupOptions::default()).await.map_err(failed)?;
        let (audio_index, audio) = audio.unzip();
        if let Some(index) = audio_index {
            session.setup(index, SetupOptions::default()).await.map_err(failed)?;
        }
        let policy = PlayOptions::default()
            .initial_timestamp(InitialTimestampPolicy::Ignore)
            .initial_seq(InitialSequenceNumberPolicy::Ignore);
        let session = session.play(policy).await.map_err(failed)?;
        Ok(Self { session, place: place.to_owned(), video_index, audio_index, video, audio, audio_refused })
    }

    /// The next piece, whenever it comes.
    pub async fn next(&mut self) -> Result<RtspItem, MediaError> {
        let item = self.session.next().await;
        self.item(item)
    }

    /// The next piece if it is here already. Asks nobody to be woken.
    pub fn next_now(&mut self) -> Option<Result<RtspItem, MediaError>> {
        let item = self.session.next().now_or_never()?;
        Some(self.item(item))
    }

    fn item(&self, item: Option<<Session<Playing> as Stream>::Item>) -> Result<RtspItem, MediaError> {
        match item {
            Some(Ok(PacketItem::Rtp(packet))) => {
                let stream = packet.stream_id();
                Ok(if stream == self.video_index {
                    RtspItem::Video(RtpPacket(packet))
                } else if Some(stream) == self.audio_index {
                    RtspItem::Audio(RtpPacket(packet))
                } else {
                    RtspItem::Other
                })
            }
            Some(Ok(PacketItem::Rtcp(packet))) if packet.stream_id() == self.video_index => {
                Ok(sender_report(&packet).map_or(RtspItem::Other, RtspItem::Report))
            }
            Some(Ok(_)) => Ok(RtspItem::Other),
            Some(Err(error)) => Err(self.read_error(&error)),
            None => {
                let cause = "the camera closed the connection".to_owned();
                Err(MediaError::Ended { place: self.place.clone(), cause })
            }
        }
    }

    fn read_error(&self, error: &retina::Error) -> MediaError {
        let place = self.place.clone();
        let cause = first_line(error);
        // A connection that breaks says so with a number of the system, or ends within a packet; anything else is about
        // what was sent.
        let broke = os_error(&cause).is_some() || cause.contains("at EOF");
        if broke { MediaError::Ended { place, cause } } else { MediaError::Protocol { place, cause } }
    }
}

fn sender_report(packet: &ReceivedCompoundPacket) -> Option<SenderReport> {
    packet.pkts().find_map(|part| match part.as_typed() {
        Ok(Some(TypedPacketRef::SenderReport(report))) => {
            Some(SenderReport { ntp: report.ntp_timestamp().0, rtp: report.rtp_timestamp() })
        }
        _ => None,
    })
}

fn find_video<S: retina::client::State>(session: &Session<S>, place: &str) -> Result<(usize, VideoCodec), MediaError> {
    let mut found = Vec::new();
    for (index, stream) in session.streams().iter().enumerate().filter(|(_, stream)| stream.media() == "video") {
        match stream.encoding_name() {
            "h264" => return Ok((index, VideoCodec::H264)),
            "h265" => return Ok((index, VideoCodec::H265)),
            other => found.push(other),
        }
    }
    // MJPEG, and descriptions in which this client sees no video at all: the other one says what it thinks of them.
    let cause = if found.is_empty() { "no video is described".to_owned() } else { found.join(", ") };
    Err(MediaError::Protocol { place: place.to_owned(), cause })
}

/// The first audio track that can be recorded, or why there is none.
fn find_audio<S: retina::client::State>(session: &Session<S>) -> (Option<(usize, AudioParams)>, Option<String>) {
    let mut refused = None;
    for (index, stream) in session.streams().iter().enumerate().filter(|(_, stream)| stream.media() == "audio") {
        let codec = match (stream.encoding_name(), stream.parameters()) {
            ("mpeg4-generic", Some(ParametersRef::Audio(audio))) => {
                Some((AudioCodec::Aac, audio.extra_data().to_vec()))
            }
            ("pcma", _) => Some((AudioCodec::PcmALaw, Vec::new())),
            ("pcmu", _) => Some((AudioCodec::PcmMuLaw, Vec::new())),
            (other, _) => {
                refused = Some(format!("{other} audio is not supported, set AAC or G.711"));
                None
            }
        };
        if let Some((codec, specific)) = codec {
            let clock_hz = i64::from(stream.clock_rate_hz()).max(1);
            return (Some((index, AudioParams { codec, specific, clock_hz })), None);
        }
    }
    (None, refused)
}

fn open_error(error: &retina::Error, place: &str, timeout: Duration) -> MediaError {
    let place = place.to_owned();
    let cause = first_line(error);
    match error.status_code() {
        // A challenge that this client does not understand is no refusal of the password.
        Some(401 | 403) if !cause.contains("Can't understand") => return MediaError::Unauthorised { place },
        Some(404) => return MediaError::NoSuchStream { place },
        _ => {}
    }
    match os_error(&cause) {
        Some(system) => {
            let cause = connect_cause(system.kind(), &system.to_string(), &no_answer(timeout));
            MediaError::Unreachable { place, cause }
        }
        None if cause.starts_with("Unable to connect") => {
            MediaError::Unreachable { place, cause: format!("{cause}: check the host name and the network") }
        }
        None => MediaError::Protocol { place, cause },
    }
}

/// `retina` describes its errors for people only: the first line says what, the others on which connection. An address
/// is cut off, because some makers put the password into it.
fn first_line(error: &retina::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split("rtsp://").next().unwrap_or_default().trim_end_matches([' ', ':']).to_owned()
}

/// The system's error number out of a message that quotes it.
fn os_error(text: &str) -> Option<IoError> {
    let number = text.split_once("(os error ")?.1.split_once(')')?.0;
    number.parse().ok().map(IoError::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn system_errors_are_recognized() {
        let refused = os_error("Unable to connect to RTSP server: Connection refused (os error 111)").unwrap();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(os_error("RTSP framing error: Invalid RTSP message").is_none());
    }
}
