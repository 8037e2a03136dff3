//! The audio track of a recording: AAC as it comes, G.711 encoded to AAC because no browser plays it in MP4.
//! Video is never encoded again; sound of telephone quality loses nothing that counts.
#![allow(unsafe_code)]

use bytes::Bytes;
use ffmpeg_next::ffi;

use super::av::{self, AvFrame, CodecContext};
use super::error::MediaError;
use super::fmp4::Sample;
use super::sound::SoundConfig;
use super::timeline::VIDEO_HZ;

/// Audio codecs that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    Aac,
    PcmALaw,
    PcmMuLaw,
}

/// What the session description says about the audio.
#[derive(Clone, Debug)]
pub struct AudioParams {
    pub codec: AudioCodec,
    /// `AudioSpecificConfig` of AAC.
    pub specific: Vec<u8>,
    pub clock_hz: i64,
}

/// What the initialization segment needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    pub sample_rate: u32,
    pub channels: u16,
    pub object_type: u8,
    /// `AudioSpecificConfig` (ISO/IEC 14496-3 1.6.2.1), at most 64 bytes.
    pub specific: Bytes,
}

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];

impl AudioConfig {
    pub fn parse(specific: &[u8]) -> Option<Self> {
        if specific.len() < 2 || specific.len() > 64 {
            return None;
        }
        let bits = specific.iter().take(8).fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        let total = specific.len().min(8) as u32 * 8;
        let take = |from: u32, count: u32| {
            (from + count <= total).then(|| bits >> (total - from - count) & ((1 << count) - 1))
        };
        let object_type = take(0, 5)? as u8;
        let (sample_rate, at) = match take(5, 4)? {
            15 => (take(9, 24)? as u32, 33),
            index => (*RATES.get(index as usize)?, 9),
        };
        let channels = match take(at, 4)? {
            0 => 2,
            7 => 8,
            count => count as u16,
        };
        // 31 escapes to types that no camera sends.
        let known = (1..31).contains(&object_type) && sample_rate > 0;
        known.then(|| Self { sample_rate, channels, object_type, specific: Bytes::copy_from_slice(specific) })
    }

    pub fn codec_string(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }
}

/// Samples of one AAC frame at its core rate.
const FRAME: u32 = 1024;
/// Sound this far from the picture is moved or dropped, in seconds.
const TOLERANCE: f64 = 1.5;

/// One audio track over all connections of a stream.
pub struct AudioTrack {
    pub config: AudioConfig,
    encoder: Option<G711Encoder>,
    codec: AudioCodec,
    clock_hz: i64,
    next: Option<i64>,
    last_raw: Option<(i64, i64)>,
    pending: Option<Sample>,
    /// Packets left out because they were ahead of the picture.
    pub dropped: u64,
}

impl AudioTrack {
    pub fn open(params: &AudioParams) -> Result<Self, MediaError> {
        let (config, encoder) = match params.codec {
            AudioCodec::Aac => {
                let config = AudioConfig::parse(&params.specific).ok_or_else(|| MediaError::Decode {
                    what: "the AAC configuration of the camera".to_owned(),
                    cause: "it is missing or not valid".to_owned(),
                })?;
                (config, None)
            }
            AudioCodec::PcmALaw | AudioCodec::PcmMuLaw => {
                let encoder = G711Encoder::open(u32::try_from(params.clock_hz).unwrap_or(8000))?;
                (encoder.config.clone(), Some(encoder))
            }
        };
        Ok(Self {
            config,
            encoder,
            codec: params.codec,
            clock_hz: params.clock_hz,
            next: None,
            last_raw: None,
            pending: None,
            dropped: 0,
        })
    }

    /// Whether a new connection can continue this track.
    pub fn fits(&self, params: &AudioParams) -> bool {
        self.codec == params.codec
            && self.clock_hz == params.clock_hz
            && (params.codec != AudioCodec::Aac || self.config.specific == params.specific)
    }

    pub fn codec(&self) -> AudioCodec {
        self.codec
    }

    /// The sound as the camera sends it.
    pub fn sound_config(&self) -> SoundConfig {
        let AudioConfig { sample_rate: rate, channels, specific, .. } = &self.config;
        let specific = if self.codec == AudioCodec::Aac { specific.clone() } else { Bytes::new() };
        SoundConfig { codec: self.codec, rate: *rate, channels: *channels, specific }
    }

    /// Ticks of the camera's clock that one AAC frame lasts.
    pub fn frame_ticks(&self) -> i64 {
        i64::from(FRAME) * self.clock_hz / i64::from(self.config.sample_rate)
    }

    pub fn reconnect(&mut self) {
        self.next = None;
        self.last_raw = None;
    }

    /// `video_now`: where the picture is, in 1/90000 s. Gives where this sound is, if it is taken at all, and the samples
    /// that are complete.
    pub fn push(
        &mut self,
        data: &[u8],
        raw_pts: Option<i64>,
        video_now: i64,
    ) -> Result<(Option<i64>, Vec<Sample>), MediaError> {
        let rate = i64::from(self.config.sample_rate);
        let length = if self.encoder.is_some() { data.len() as i64 } else { i64::from(FRAME) };
        let raw = raw_pts.map(|raw| (i128::from(raw) * i128::from(rate) / i128::from(self.clock_hz)) as i64);
        let picture = (i128::from(video_now) * i128::from(rate) / i128::from(VIDEO_HZ)) as i64;
        let Some(at) = self.place(raw, length, picture) else {
            self.dropped += 1;
            return Ok((None, Vec::new()));
        };
        let begins = at;
        let mut done = Vec::new();
        if let Some(encoder) = &mut self.encoder {
            for (at, data) in encoder.push(data, self.codec, at)? {
                done.extend(hold(&mut self.pending, at, data));
            }
        } else {
            done.extend(hold(&mut self.pending, at, Bytes::copy_from_slice(data)));
        }
        Ok((Some(begins), done))
    }

    fn place(&mut self, raw: Option<i64>, length: i64, picture: i64) -> Option<i64> {
        let rate = i64::from(self.config.sample_rate);
        let mut at = self.next.unwrap_or(picture);
        if let (Some(raw), Some((last, last_length))) = (raw, self.last_raw) {
            // Lost packets leave a hole; small differences are the camera's rounding.
            let hole = raw.saturating_sub(last).saturating_sub(last_length);
            if hole > length / 2 && hole < 10 * rate {
                at += hole;
            }
        }
        self.last_raw = raw.map(|raw| (raw, length));
        let apart = (at - picture) as f64 / rate as f64;
        if apart > TOLERANCE {
            return None;
        }
        if apart < -TOLERANCE {
            at = picture;
        }
        self.next = Some(at + length);
        Some(at)
    }
}

/// A sample's duration is known when the next one comes.
fn hold(pending: &mut Option<Sample>, at: i64, data: Bytes) -> Option<Sample> {
    let at = pending.as_ref().map_or(at.max(0), |last| at.max(last.dts + 1));
    let next = Sample { data, dts: at, duration: FRAME, offset: 0, key: true };
    let mut done = pending.replace(next)?;
    done.duration = u32::try_from(at - done.dts).unwrap_or(FRAME);
    Some(done)
}

/// G.711 to AAC-LC, mono.
struct G711Encoder {
    context: CodecContext,
    config: AudioConfig,
    samples: Vec<f32>,
    /// Position of the first of `samples`.
    at: i64,
}

impl G711Encoder {
    fn open(sample_rate: u32) -> Result<Self, MediaError> {
        av::init();
        // SAFETY: looks up a static table; null is checked.
        let codec = unsafe { ffi::avcodec_find_encoder(ffi::AVCodecID::AV_CODEC_ID_AAC) };
        if codec.is_null() {
            return Err(MediaError::Library { what: "the AAC encoder", cause: "this FFmpeg has none".to_owned() });
        }
        let mut context = CodecContext::new(codec)?;
        let fields = context.fields();
        fields.sample_fmt = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP;
        fields.sample_rate = sample_rate as i32;
        fields.bit_rate = 32_000;
        fields.flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        fields.time_base = ffi::AVRational { num: 1, den: sample_rate as i32 };
        // SAFETY: the layout belongs to the live context.
        unsafe { ffi::av_channel_layout_default(&raw mut fields.ch_layout, 1) };
        context.open(codec)?;
        let fields = context.fields();
        // SAFETY: an open encoder with a global header has its configuration here.
        let specific = unsafe { std::slice::from_raw_parts(fields.extradata, fields.extradata_size.max(0) as usize) };
        let config = AudioConfig::parse(specific).ok_or_else(|| MediaError::Encode {
            what: "G.711 audio".to_owned(),
            cause: "the AAC encoder gave no configuration".to_owned(),
        })?;
        Ok(Self { context, config, samples: Vec::with_capacity(2 * FRAME as usize), at: 0 })
    }

    fn push(&mut self, data: &[u8], codec: AudioCodec, at: i64) -> Result<Vec<(i64, Bytes)>, MediaError> {
        if self.at + self.samples.len() as i64 != at {
            self.samples.clear();
            self.at = at;
        }
        let decode = if codec == AudioCodec::PcmALaw { a_law } else { mu_law };
        self.samples.extend(data.iter().map(|&byte| f32::from(decode(byte)) / 32_768.0));
        let mut done = Vec::new();
        while self.samples.len() >= FRAME as usize {
            let frame = self.frame()?;
            self.context.send_frame(Some(&frame))?;
            while let Some(packet) = self.context.receive_packet()? {
                // The encoder subtracts its own delay.
                let at = packet.pts().unwrap_or(self.at);
                done.push((at, Bytes::copy_from_slice(packet.data())));
            }
        }
        Ok(done)
    }

    fn frame(&mut self) -> Result<AvFrame, MediaError> {
        let mut frame = AvFrame::new()?;
        let fields = frame.fields_mut();
        fields.format = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP as i32;
        fields.nb_samples = FRAME as i32;
        fields.sample_rate = self.config.sample_rate as i32;
        fields.pts = self.at;
        // SAFETY: the frame is live and described; its first plane then has room for `FRAME` floats.
        unsafe {
            ffi::av_channel_layout_default(&raw mut fields.ch_layout, 1);
            av::check(ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0), "an audio frame")?;
            let plane = frame.fields().data[0];
            std::ptr::copy_nonoverlapping(self.samples.as_ptr().cast::<u8>(), plane, FRAME as usize * size_of::<f32>());
        }
        self.samples.drain(..FRAME as usize);
        self.at += i64::from(FRAME);
        Ok(frame)
    }
}

/// ITU-T G.711, A-law to 16 bits.
fn a_law(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let exponent = code >> 4 & 7;
    let mantissa = i16::from(code & 0x0f) << 4;
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

/// ITU-T G.711, mu-law to 16 bits.
fn mu_law(byte: u8) -> i16 {
    let code = !byte;
    let magnitude = (((i16::from(code & 0x0f) << 3) + 0x84) << (code >> 4 & 7)) - 0x84;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_audio_specific_config() {
        let config = AudioConfig::parse(&[0x11, 0x90]).unwrap();
        assert_eq!((config.sample_rate, config.channels, config.codec_string().as_str()), (48_000, 2, "mp4a.40.2"));
        let config = AudioConfig::parse(&[0x15, 0x88]).unwrap();
        assert_eq!((config.sample_rate, config.channels), (8000, 1));
        for bad in [&[][..], &[0x11], &[0xff; 4], &[0x17, 0x90]] {
            assert!(AudioConfig::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn g711_reference_values() {
        assert_eq!([a_law(0xd5), a_law(0x55), a_law(0xaa), a_law(0x2a)], [8, -8, 32_256, -32_256]);
        assert_eq!([mu_law(0xff), mu_law(0x7f), mu_law(0x80), mu_law(0x00)], [0, 0, 32_124, -32_124]);
    }

    #[test]
    fn g711_becomes_aac_without_holes() {
        let params = AudioParams { codec: AudioCodec::PcmALaw, specific: Vec::new(), clock_hz: 8000 };
        let mut track = AudioTrack::open(&params).unwrap();
        assert_eq!((track.config.sample_rate, track.config.channels), (8000, 1));
        let mut samples = Vec::new();
        for n in 0..100 {
            samples.extend(track.push(&[0x2a; 160], Some(n * 160), VIDEO_HZ + n * 1800).unwrap().1);
        }
        assert!(samples.len() >= 12, "{}", samples.len());
        assert!(samples.windows(2).all(|pair| pair[0].dts + i64::from(pair[0].duration) == pair[1].dts));
        assert!(samples.iter().all(|sample| sample.duration == FRAME));
    }

    #[test]
    fn sound_stays_with_the_picture() {
        let params = AudioParams { codec: AudioCodec::Aac, specific: vec![0x15, 0x88], clock_hz: 8000 };
        let mut track = AudioTrack::open(&params).unwrap();
        track.push(b"a", Some(0), 0).unwrap();
        assert_eq!(track.push(b"b", Some(1024), 11_520).unwrap().1[0].duration, 1024);
        // A packet was lost: the one before it lasts longer.
        assert_eq!(track.push(b"c", Some(3072), 34_560).unwrap().1[0].duration, 2048);
        // The picture went on without sound.
        let jumped = track.push(b"d", None, 900_000).unwrap().1;
        assert_eq!(jumped[0].dts + i64::from(jumped[0].duration), 80_000);
        // Sound from the future is dropped until the picture is there.
        track.next = Some(200_000);
        assert!(track.push(b"e", None, 900_000).unwrap().1.is_empty());
        assert_eq!(track.dropped, 1);
    }
}
