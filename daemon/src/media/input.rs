//! One RTSP connection through libavformat: demultiplexed, not parsed, not decoded. Every wait has a deadline. It takes
//! a thread, and more than twice the work of `rtsp`, but gets along with almost everything that calls itself a camera.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::io::ErrorKind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ffmpeg_next::ffi;
use zeroize::Zeroizing;

use super::audio::{AudioCodec, AudioParams};
use super::av::{self, AvPacket, Options};
use super::codec::VideoCodec;
use super::error::MediaError;
use super::wall::Arrival;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::config::Transport;

/// How to connect.
pub struct OpenOptions {
    /// With credentials, from [`super::stream_url`].
    pub url: Zeroizing<String>,
    /// What messages call the camera.
    pub place: String,
    pub transport: Transport,
    pub audio: bool,
    pub timeout: Duration,
    pub token: CancellationToken,
}

/// A piece of media as it came out of RTP.
pub struct Packet {
    inner: AvPacket,
    pub track: Track,
    /// In ticks of the track's clock.
    pub pts: Option<i64>,
    pub arrival: Arrival,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    Video,
    Audio,
    Other,
}

impl Packet {
    pub fn data(&self) -> &[u8] {
        self.inner.data()
    }
}

/// What the session description says about the video.
#[derive(Clone, Debug)]
pub struct VideoParams {
    pub codec: VideoCodec,
    /// Parameter sets behind start codes, where the description has them.
    pub parameter_sets: Vec<u8>,
    pub clock_hz: i64,
}

/// An open connection.
pub struct Input {
    context: *mut ffi::AVFormatContext,
    /// FFmpeg holds its address: boxed so that it never moves.
    interrupt: Box<Interrupt>,
    packet: Option<AvPacket>,
    place: String,
    video_index: c_int,
    audio_index: Option<c_int>,
    pub video: VideoParams,
    pub audio: Option<AudioParams>,
    /// Why an audio track that the camera offers is left out.
    pub audio_refused: Option<String>,
}

// SAFETY: the context is used by one thread at a time through `&mut`; its callback only reads atomics and the token.
unsafe impl Send for Input {}

struct Interrupt {
    epoch: Instant,
    deadline_us: AtomicI64,
    token: CancellationToken,
}

impl Interrupt {
    fn allow(&self, limit: Duration) {
        let until = self.epoch.elapsed() + limit;
        self.deadline_us.store(i64::try_from(until.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    fn expired(&self) -> bool {
        self.epoch.elapsed().as_micros() > self.deadline_us.load(Ordering::Relaxed).max(0) as u128
    }
}

/// FFmpeg asks this about every 100 ms while it waits; anything but 0 ends the wait.
unsafe extern "C" fn interrupted(opaque: *mut c_void) -> c_int {
    // SAFETY: `opaque` is the boxed `Interrupt`, which outlives the context that holds it.
    let interrupt = unsafe { &*opaque.cast::<Interrupt>() };
    c_int::from(interrupt.token.is_cancelled() || interrupt.expired())
}

impl Input {
    /// Blocks until the camera plays, at most for the timeout. Tries the credentials once.
    pub fn open(options: OpenOptions) -> Result<Self, MediaError> {
        av::init();
        let OpenOptions { url, place, transport, audio, timeout, token } = options;
        let interrupt = Box::new(Interrupt { epoch: Instant::now(), deadline_us: AtomicI64::new(0), token });
        interrupt.allow(timeout);
        let address = CString::new(url.as_bytes())
            .map(|text| Zeroizing::new(text.into_bytes_with_nul()))
            .map_err(|_| MediaError::Address { cause: "it has a zero byte".to_owned() })?;
        let mut settings = Options::new();
        settings.set(c"rtsp_transport", if transport == Transport::Udp { "udp" } else { "tcp" })?;
        settings.set(c"allowed_media_types", if audio { "video+audio" } else { "video" })?;
        settings.set(c"timeout", &timeout.as_micros().to_string())?;
        // A key frame of a 4K camera arrives in one burst of 1 to 2 MB.
        settings.set(c"buffer_size", "2097152")?;

        // SAFETY: null is checked before use.
        let mut context = unsafe { ffi::avformat_alloc_context() };
        if context.is_null() {
            return Err(av::out_of_memory("a connection"));
        }
        // SAFETY: the context is live and ours; the callback's box lives in `Input` as long as the context; the address
        // is zero-terminated. On failure `avformat_open_input` frees the context and nulls the pointer.
        let code = unsafe {
            (*context).interrupt_callback.callback = Some(interrupted);
            (*context).interrupt_callback.opaque = (&raw const *interrupt).cast_mut().cast();
            // Pieces as they come: pictures are put together in `access_unit`, times are made in `timeline`.
            (*context).flags |= ffi::AVFMT_FLAG_NOPARSE | ffi::AVFMT_FLAG_NOFILLIN | ffi::AVFMT_FLAG_NOBUFFER;
            ffi::avformat_open_input(&raw mut context, address.as_ptr().cast(), std::ptr::null(), settings.as_mut_ptr())
        };
        if code < 0 {
            return Err(open_error(code, place, &interrupt, timeout));
        }
        let mut input = Self {
            context,
            interrupt,
            packet: None,
            place,
            video_index: -1,
            audio_index: None,
            video: VideoParams { codec: VideoCodec::H264, parameter_sets: Vec::new(), clock_hz: 90_000 },
            audio: None,
            audio_refused: None,
        };
        input.find_tracks()?;
        Ok(input)
    }

    fn find_tracks(&mut self) -> Result<(), MediaError> {
        let mut refused = Vec::new();
        // SAFETY: an open context has `nb_streams` live streams, each with parameters.
        let streams = unsafe {
            let context = &*self.context;
            std::slice::from_raw_parts(context.streams, context.nb_streams as usize)
        };
        for (index, &stream) in streams.iter().enumerate() {
            // SAFETY: as above; the extradata has the given size.
            let (parameters, base, extradata) = unsafe {
                let parameters = &*(*stream).codecpar;
                let extradata = if parameters.extradata.is_null() {
                    &[]
                } else {
                    std::slice::from_raw_parts(parameters.extradata, parameters.extradata_size.max(0) as usize)
                };
                (parameters, (*stream).time_base, extradata)
            };
            let clock_hz = i64::from(base.den) / i64::from(base.num.max(1));
            match parameters.codec_type {
                ffi::AVMediaType::AVMEDIA_TYPE_VIDEO if self.video_index < 0 => {
                    let codec = match parameters.codec_id {
                        ffi::AVCodecID::AV_CODEC_ID_H264 => VideoCodec::H264,
                        ffi::AVCodecID::AV_CODEC_ID_HEVC => VideoCodec::H265,
                        ffi::AVCodecID::AV_CODEC_ID_MJPEG => VideoCodec::Mjpeg,
                        other => {
                            refused.push(format!("{other:?}"));
                            continue;
                        }
                    };
                    self.video_index = index as c_int;
                    self.video = VideoParams { codec, parameter_sets: extradata.to_vec(), clock_hz: clock_hz.max(1) };
                }
                ffi::AVMediaType::AVMEDIA_TYPE_AUDIO if self.audio_index.is_none() => {
                    let codec = match parameters.codec_id {
                        ffi::AVCodecID::AV_CODEC_ID_AAC => AudioCodec::Aac,
                        ffi::AVCodecID::AV_CODEC_ID_PCM_ALAW => AudioCodec::PcmALaw,
                        ffi::AVCodecID::AV_CODEC_ID_PCM_MULAW => AudioCodec::PcmMuLaw,
                        other => {
                            self.audio_refused = Some(format!("{other:?} audio is not supported, set AAC or G.711"));
                            continue;
                        }
                    };
                    self.audio_index = Some(index as c_int);
                    self.audio = Some(AudioParams { codec, specific: extradata.to_vec(), clock_hz: clock_hz.max(1) });
                }
                _ => {}
            }
        }
        if self.video_index >= 0 {
            return Ok(());
        }
        let what = if refused.is_empty() { "a stream without video".to_owned() } else { refused.join(", ") };
        Err(MediaError::Unsupported {
            place: self.place.clone(),
            what,
            remedy: "set the stream to H.264, H.265 or MJPEG in the camera",
        })
    }

    /// The next piece. Blocks for at most `limit`.
    pub fn read(&mut self, limit: Duration) -> Result<Packet, MediaError> {
        let mut inner = match self.packet.take() {
            Some(packet) => packet,
            None => AvPacket::new()?,
        };
        self.interrupt.allow(limit);
        // SAFETY: context and packet are live.
        let code = unsafe { ffi::av_read_frame(self.context, inner.as_ptr()) };
        if code < 0 {
            return Err(self.read_error(code, limit));
        }
        let index = inner.stream_index();
        let track = if index == self.video_index {
            Track::Video
        } else if Some(index) == self.audio_index {
            Track::Audio
        } else {
            Track::Other
        };
        Ok(Packet { pts: inner.pts(), inner, track, arrival: arrival_now() })
    }

    /// Takes a packet back, so that its shell is used again.
    pub fn recycle(&mut self, packet: Packet) {
        let mut inner = packet.inner;
        inner.unref();
        self.packet = Some(inner);
    }

    fn read_error(&self, code: c_int, limit: Duration) -> MediaError {
        let place = self.place.clone();
        if self.interrupt.token.is_cancelled() {
            MediaError::Cancelled
        } else if self.interrupt.expired() || av::os_error(code) == Some(ErrorKind::TimedOut) {
            MediaError::Stalled { place, seconds: limit.as_secs() }
        } else if code == ffi::AVERROR_EOF {
            MediaError::Ended { place, cause: "the camera closed the connection".to_owned() }
        } else {
            MediaError::Ended { place, cause: av::text(code) }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // TEARDOWN is sent, but not waited for longer than this.
        self.interrupt.allow(Duration::from_millis(500));
        // SAFETY: the context is open, freed once, and the callback's box is still alive.
        unsafe { ffi::avformat_close_input(&raw mut self.context) }
    }
}

/// The steady clock counts from the first packet of the process, so that it goes on over reconnections.
pub fn arrival_now() -> Arrival {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let steady_us = EPOCH.get_or_init(Instant::now).elapsed().as_micros();
    Arrival { utc: UtcMicros::now(), steady_us: i64::try_from(steady_us).unwrap_or(i64::MAX) }
}

/// Why there is no connection, where the system says so.
pub fn connect_cause(kind: ErrorKind, text: &str, no_answer: &str) -> String {
    match kind {
        ErrorKind::ConnectionRefused => {
            "connection refused: check the port and that RTSP is switched on in the camera".to_owned()
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("{text}: check the address and the network settings of this box")
        }
        ErrorKind::TimedOut => no_answer.to_owned(),
        // libavformat reports names that do not resolve as an input/output error.
        _ => format!("{text}: check the host name and the network"),
    }
}

/// What is said when nothing comes back.
pub fn no_answer(timeout: Duration) -> String {
    let seconds = timeout.as_secs().max(1);
    format!("no answer within {seconds} s: check the address, the cable and the power of the camera")
}

fn open_error(code: c_int, place: String, interrupt: &Interrupt, timeout: Duration) -> MediaError {
    if interrupt.token.is_cancelled() {
        return MediaError::Cancelled;
    }
    let no_answer = no_answer(timeout);
    if interrupt.expired() {
        return MediaError::Unreachable { place, cause: no_answer };
    }
    match code {
        ffi::AVERROR_HTTP_UNAUTHORIZED | ffi::AVERROR_HTTP_FORBIDDEN => MediaError::Unauthorised { place },
        ffi::AVERROR_HTTP_NOT_FOUND => MediaError::NoSuchStream { place },
        ffi::AVERROR_HTTP_BAD_REQUEST | ffi::AVERROR_HTTP_OTHER_4XX | ffi::AVERROR_HTTP_SERVER_ERROR => {
            let cause = format!("{}; try the other transport (tcp or udp), or restart the camera", av::text(code));
            MediaError::Refused { place, cause }
        }
        ffi::AVERROR_EOF | ffi::AVERROR_INVALIDDATA => MediaError::Unreachable {
            place,
            cause: "what answers there does not speak RTSP: check the port".to_owned(),
        },
        _ => {
            let kind = av::os_error(code).unwrap_or(ErrorKind::Other);
            let cause = connect_cause(kind, &av::text(code), &no_answer);
            MediaError::Unreachable { place, cause }
        }
    }
}
