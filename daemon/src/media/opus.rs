//! AAC of a camera to Opus, for viewers by WebRTC: no browser takes AAC there. Runs only while somebody listens.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use bytes::Bytes;
use ffmpeg_next::ffi;

use super::av::{self, AvFrame, CodecContext};
use super::error::MediaError;
use super::sound::{Sound, SoundConfig};
use crate::base::time::UtcMicros;

/// What Opus counts in.
pub const OPUS_HZ: i64 = 48_000;
/// 20 ms.
const FRAME: usize = 960;
const BITS_PER_CHANNEL: i64 = 32_000;
/// Sound this far from where it should be continues elsewhere: something was lost.
const TOLERANCE: i64 = OPUS_HZ / 10;

/// 20 ms of sound.
#[derive(Clone, Debug)]
pub struct OpusPacket {
    pub data: Bytes,
    /// On the stream's own timeline, in 1/48000 s.
    pub pts: i64,
    /// When it was taken.
    pub time: UtcMicros,
}

/// See the module.
pub struct OpusTranscoder {
    decoder: CodecContext,
    resampler: Option<Resampler>,
    encoder: CodecContext,
    channels: usize,
    /// Decoded, interleaved, and fewer than a frame.
    samples: Vec<i16>,
    /// Where the first of `samples` is, and when it was taken.
    at: Option<(i64, UtcMicros)>,
}

impl OpusTranscoder {
    pub fn open(config: &SoundConfig) -> Result<Self, MediaError> {
        av::init();
        let channels = usize::from(config.channels.clamp(1, 2));
        // SAFETY: looks up static tables; null is checked below.
        let (decodes, encodes) = unsafe {
            (
                ffi::avcodec_find_decoder(ffi::AVCodecID::AV_CODEC_ID_AAC),
                ffi::avcodec_find_encoder_by_name(c"libopus".as_ptr()),
            )
        };
        let missing = |what| MediaError::Library { what, cause: "this FFmpeg has none".to_owned() };
        if decodes.is_null() {
            return Err(missing("the AAC decoder"));
        }
        if encodes.is_null() {
            return Err(missing("the Opus encoder (libopus)"));
        }
        let mut decoder = CodecContext::new(decodes)?;
        decoder.set_extradata(&config.specific)?;
        decoder.open(decodes)?;
        let mut encoder = CodecContext::new(encodes)?;
        let fields = encoder.fields();
        fields.sample_fmt = ffi::AVSampleFormat::AV_SAMPLE_FMT_S16;
        fields.sample_rate = OPUS_HZ as i32;
        fields.bit_rate = BITS_PER_CHANNEL * channels as i64;
        fields.time_base = ffi::AVRational { num: 1, den: OPUS_HZ as i32 };
        // SAFETY: the layout belongs to the live context.
        unsafe { ffi::av_channel_layout_default(&raw mut fields.ch_layout, channels as i32) };
        encoder.open(encodes)?;
        Ok(Self { decoder, resampler: None, encoder, channels, samples: Vec::with_capacity(8 * FRAME), at: None })
    }

    /// A frame of the camera; damaged ones are left out.
    pub fn push(&mut self, sound: &Sound) -> Result<Vec<OpusPacket>, MediaError> {
        let wanted = (i128::from(sound.pts) * i128::from(OPUS_HZ) / i128::from(sound.config.rate.max(1))) as i64;
        let reached = self.at.map(|(at, _)| at + (self.samples.len() / self.channels) as i64);
        if reached.is_none_or(|reached| (reached - wanted).abs() > TOLERANCE) {
            self.samples.clear();
            self.at = Some((wanted, sound.time));
        }
        if self.decoder.send_data(Some((&sound.data, sound.pts))) < 0 {
            return Ok(Vec::new());
        }
        while let Some(frame) = self.decoder.receive_frame()? {
            self.resample(&frame)?;
        }
        let mut done = Vec::new();
        while self.samples.len() >= FRAME * self.channels {
            self.encode(&mut done)?;
        }
        Ok(done)
    }

    fn resample(&mut self, frame: &AvFrame) -> Result<(), MediaError> {
        let from = (frame.fields().sample_rate, frame.fields().format, frame.fields().ch_layout.nb_channels);
        if self.resampler.as_ref().is_none_or(|resampler| resampler.from != from) {
            self.resampler = Some(Resampler::open(frame, self.channels)?);
        }
        match &mut self.resampler {
            Some(resampler) => resampler.push(frame, self.channels, &mut self.samples),
            None => Ok(()),
        }
    }

    fn encode(&mut self, done: &mut Vec<OpusPacket>) -> Result<(), MediaError> {
        let Some((at, time)) = self.at else { return Ok(()) };
        let count = FRAME * self.channels;
        let mut frame = AvFrame::new()?;
        let fields = frame.fields_mut();
        fields.format = ffi::AVSampleFormat::AV_SAMPLE_FMT_S16 as i32;
        fields.nb_samples = FRAME as i32;
        fields.sample_rate = OPUS_HZ as i32;
        fields.pts = at;
        // SAFETY: the frame is live and described; its one plane then has room for `count` samples, which `samples` has.
        unsafe {
            ffi::av_channel_layout_default(&raw mut fields.ch_layout, self.channels as i32);
            av::check(ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0), "an audio frame")?;
            let plane = frame.fields().data[0];
            std::ptr::copy_nonoverlapping(self.samples.as_ptr().cast::<u8>(), plane, count * size_of::<i16>());
        }
        self.samples.drain(..count);
        self.at = Some((at + FRAME as i64, time.add_micros(FRAME as i64 * 1_000_000 / OPUS_HZ)));
        self.encoder.send_frame(Some(&frame))?;
        while let Some(packet) = self.encoder.receive_packet()? {
            done.push(OpusPacket { data: Bytes::copy_from_slice(packet.data()), pts: at, time });
        }
        Ok(())
    }
}

/// Any sound to 48 kHz, 16 bits, interleaved.
struct Resampler {
    context: *mut ffi::SwrContext,
    /// Rate, format and channels of what it takes.
    from: (i32, i32, i32),
}

// SAFETY: the context is owned here and used by one thread at a time, which `&mut` enforces.
unsafe impl Send for Resampler {}

impl Resampler {
    fn open(frame: &AvFrame, channels: usize) -> Result<Self, MediaError> {
        let fields = frame.fields();
        let from = (fields.sample_rate, fields.format, fields.ch_layout.nb_channels);
        let mut resampler = Self { context: null_mut(), from };
        // SAFETY: the layouts are live during the calls; the format is one that FFmpeg's own decoder gave; the context
        // is freed by `Drop`, null included.
        unsafe {
            let mut layout: ffi::AVChannelLayout = std::mem::zeroed();
            ffi::av_channel_layout_default(&raw mut layout, channels as i32);
            let code = ffi::swr_alloc_set_opts2(
                &raw mut resampler.context,
                &raw mut layout,
                ffi::AVSampleFormat::AV_SAMPLE_FMT_S16,
                OPUS_HZ as i32,
                (&raw const fields.ch_layout).cast_mut(),
                std::mem::transmute::<i32, ffi::AVSampleFormat>(fields.format),
                fields.sample_rate,
                0,
                null_mut(),
            );
            av::check(code, "a resampler")?;
            av::check(ffi::swr_init(resampler.context), "a resampler")?;
        }
        Ok(resampler)
    }

    fn push(&mut self, frame: &AvFrame, channels: usize, out: &mut Vec<i16>) -> Result<(), MediaError> {
        let count = frame.fields().nb_samples;
        let begin = out.len();
        // SAFETY: the context is open; `out` has the room that is stated, and the frame the samples.
        let written = unsafe {
            let room = av::check(ffi::swr_get_out_samples(self.context, count), "a resampler")?.max(0);
            out.resize(begin + room as usize * channels, 0);
            let mut target = out[begin..].as_mut_ptr().cast::<u8>();
            let source = frame.fields().extended_data.cast::<*const u8>();
            if source.is_null() || (*source).is_null() {
                0
            } else {
                av::check(ffi::swr_convert(self.context, &raw mut target, room, source, count), "a resampler")?
            }
        };
        out.truncate(begin + written.max(0) as usize * channels);
        Ok(())
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `swr_alloc_set_opts2` or is null, and is freed once.
        unsafe { ffi::swr_free(&raw mut self.context) }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;

    use super::super::audio::{AudioCodec, AudioConfig};
    use super::*;

    /// Two seconds of a tone as AAC frames (ADTS without its headers), and its configuration.
    fn tone(rate: u32, channels: u16) -> (Arc<SoundConfig>, Vec<Bytes>) {
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", &format!("sine=frequency=440:sample_rate={rate}"), "-t", "2"])
            .args(["-ac", &channels.to_string(), "-c:a", "aac", "-f", "adts", "-"])
            .output()
            .expect("ffmpeg runs");
        let mut rest = &made.stdout[..];
        let mut frames = Vec::new();
        while rest.len() > 7 {
            let length = (usize::from(rest[3]) & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
            frames.push(Bytes::copy_from_slice(&rest[7..length]));
            rest = &rest[length..];
        }
        let index = if rate == 48_000 { 3u16 } else { 8 };
        let specific = (2u16 << 11 | index << 7 | channels << 3).to_be_bytes();
        assert_eq!(AudioConfig::parse(&specific).unwrap().sample_rate, rate);
        let specific = Bytes::copy_from_slice(&specific);
        (Arc::new(SoundConfig { codec: AudioCodec::Aac, rate, channels, specific }), frames)
    }

    #[test]
    fn becomes_opus_of_the_same_length_that_ffmpeg_decodes() {
        for (rate, channels) in [(16_000, 1), (48_000, 2)] {
            let (config, frames) = tone(rate, channels);
            let mut transcoder = OpusTranscoder::open(&config).unwrap();
            let mut packets = Vec::new();
            for (n, data) in frames.iter().enumerate() {
                let pts = 5 * i64::from(rate) + n as i64 * 1024;
                let time = UtcMicros(pts * 1_000_000 / i64::from(rate));
                let sound = Sound { data: data.clone(), pts, time, config: config.clone() };
                packets.extend(transcoder.push(&sound).unwrap());
            }
            assert!((95..=105).contains(&packets.len()), "{rate}: {}", packets.len());
            assert!(packets.windows(2).all(|pair| pair[1].pts - pair[0].pts == 960), "{rate}");
            let (first, offset) = (&packets[0], packets[0].time.0 - packets[0].pts * 1_000_000 / OPUS_HZ);
            assert!((first.pts - 5 * OPUS_HZ).abs() < OPUS_HZ / 10 && offset.abs() < 1000, "{rate}: {}", first.pts);
            // A tone is more than silence.
            assert!(packets.iter().skip(5).all(|packet| packet.data.len() > 20), "{rate}");
        }
    }

    #[test]
    fn goes_on_elsewhere_after_a_hole_and_survives_noise() {
        let (config, frames) = tone(16_000, 1);
        let mut transcoder = OpusTranscoder::open(&config).unwrap();
        let mut push = |data: &Bytes, pts: i64| {
            let time = UtcMicros(pts * 125 / 2);
            transcoder.push(&Sound { data: data.clone(), pts, time, config: config.clone() }).unwrap()
        };
        for (n, data) in frames[..10].iter().enumerate() {
            push(data, n as i64 * 1024);
        }
        push(&Bytes::from_static(&[0xff; 40]), 10 * 1024);
        let later: Vec<_> =
            frames[10..20].iter().enumerate().flat_map(|(n, d)| push(d, 160_000 + n as i64 * 1024)).collect();
        assert!(later.first().is_some_and(|packet| (packet.pts - 480_000).abs() < OPUS_HZ / 5), "{later:?}");
    }
}
