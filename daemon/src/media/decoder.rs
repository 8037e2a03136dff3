//! An open decoder for one stream: opened anew where the stream changes, in software where the hardware fails.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::{CStr, c_int};
use std::sync::Arc;

use ffmpeg_next::ffi;

use super::av::{self, AvFrame, CodecContext};
use super::codec::{VideoCodec, VideoConfig};
use super::decode::{DecoderChoice, Picture};
use super::error::MediaError;
use super::hardware::{Device, candidates, choose_format};
use crate::base::time::UtcMicros;

/// A hardware decoder that fails this often in a row is given up for software.
const HARDWARE_FAILURES: u32 = 5;

/// See the module.
#[derive(Default)]
pub struct StreamDecoder {
    decoder: Option<Decoder>,
    changed: bool,
}

impl StreamDecoder {
    /// `alone`: nothing follows this key picture, its frame must come out now. `give` gets what comes out: time,
    /// whether it is a key frame, and the frame.
    pub fn decode(
        &mut self,
        picture: &Picture,
        alone: bool,
        give: &mut impl FnMut(UtcMicros, bool, AvFrame),
    ) -> Result<(), MediaError> {
        if self.decoder.as_ref().is_none_or(|decoder| decoder.config != picture.config) {
            self.decoder = None;
            self.adopt(Decoder::open(&picture.config, true)?);
        }
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        if decoder.decode(picture, alone, give)? {
            self.changed |= decoder.downgraded();
        } else if decoder.hardware && decoder.failures >= HARDWARE_FAILURES {
            let reason = format!("{} failed on this stream", decoder.choice.name);
            let mut software = Decoder::open(&picture.config, false)?;
            software.choice.reason = reason;
            self.adopt(software);
        }
        Ok(())
    }

    /// The decoder in use, once after each change of it.
    pub fn take_choice(&mut self) -> Option<DecoderChoice> {
        let changed = std::mem::take(&mut self.changed);
        self.decoder.as_ref().filter(|_| changed).map(|decoder| decoder.choice.clone())
    }

    fn adopt(&mut self, decoder: Decoder) {
        self.decoder = Some(decoder);
        self.changed = true;
    }
}

/// An open decoder for one configuration.
struct Decoder {
    context: CodecContext,
    config: Arc<VideoConfig>,
    choice: DecoderChoice,
    hardware: bool,
    failures: u32,
    /// Times of key pictures inside the decoder.
    keys: BTreeSet<i64>,
    /// The pixel format of hardware surfaces that was asked for; boxed because FFmpeg holds its address.
    wanted_format: Option<Box<c_int>>,
    software_frames: bool,
}

impl Decoder {
    fn open(config: &Arc<VideoConfig>, hardware: bool) -> Result<Self, MediaError> {
        av::init();
        let mut tried = Vec::new();
        if hardware && config.codec != VideoCodec::Mjpeg {
            for candidate in candidates(config.codec) {
                match Self::open_one(config, candidate.decoder, candidate.device) {
                    Ok(mut decoder) => {
                        decoder.choice = DecoderChoice { name: candidate.name.to_owned(), reason: tried.join("; ") };
                        decoder.hardware = true;
                        return Ok(decoder);
                    }
                    Err(reason) => tried.push(format!("{}: {reason}", candidate.name)),
                }
            }
        }
        let mut decoder = Self::open_one(config, None, None)
            .map_err(|cause| MediaError::Decode { what: format!("{} video", config.codec), cause })?;
        decoder.choice = DecoderChoice { name: "software".to_owned(), reason: tried.join("; ") };
        Ok(decoder)
    }

    fn open_one(config: &Arc<VideoConfig>, name: Option<&CStr>, device: Option<Device>) -> Result<Self, String> {
        let id = match config.codec {
            VideoCodec::H264 => ffi::AVCodecID::AV_CODEC_ID_H264,
            VideoCodec::H265 => ffi::AVCodecID::AV_CODEC_ID_HEVC,
            VideoCodec::Mjpeg => ffi::AVCodecID::AV_CODEC_ID_MJPEG,
        };
        // SAFETY: looks up static tables; null is checked.
        let codec = unsafe {
            name.map_or_else(|| ffi::avcodec_find_decoder(id), |name| ffi::avcodec_find_decoder_by_name(name.as_ptr()))
        };
        if codec.is_null() {
            return Err("not in this FFmpeg".to_owned());
        }
        let mut context = CodecContext::new(codec).map_err(|error| error.to_string())?;
        context.set_extradata(&config.record).map_err(|error| error.to_string())?;
        let fields = context.fields();
        fields.width = config.width as c_int;
        fields.height = config.height as c_int;
        fields.pkt_timebase = ffi::AVRational { num: 1, den: 1_000_000 };
        // Threads by slice add no delay; a second one pays only above full HD.
        fields.thread_type = ffi::FF_THREAD_SLICE;
        fields.thread_count = if config.width * config.height > 1920 * 1088 { 2 } else { 1 };
        if config.reorder == Some(0) {
            fields.flags |= ffi::AV_CODEC_FLAG_LOW_DELAY as c_int;
        }
        let mut wanted_format = None;
        if let Some(device) = device {
            let (format, reference) = device.acquire(codec)?;
            let format = Box::new(format);
            fields.opaque = (&raw const *format).cast_mut().cast();
            fields.get_format = Some(choose_format);
            fields.hw_device_ctx = reference;
            wanted_format = Some(format);
        }
        context.open(codec).map_err(|error| match error {
            MediaError::Library { cause, .. } => cause,
            other => other.to_string(),
        })?;
        Ok(Self {
            context,
            config: config.clone(),
            choice: DecoderChoice { name: String::new(), reason: String::new() },
            hardware: false,
            failures: 0,
            keys: BTreeSet::new(),
            wanted_format,
            software_frames: false,
        })
    }

    /// See [`StreamDecoder::decode`]. False: the decoder refused it.
    fn decode(
        &mut self,
        picture: &Picture,
        alone: bool,
        give: &mut impl FnMut(UtcMicros, bool, AvFrame),
    ) -> Result<bool, MediaError> {
        if picture.key {
            // Frames of groups that were left behind never come out.
            self.keys.retain(|&time| time > picture.time.0 - 10_000_000);
            self.keys.insert(picture.time.0);
            if alone {
                self.context.flush();
            }
        }
        let mut sent = self.context.send_data(Some((&picture.data, picture.time.0))) >= 0;
        if alone && sent {
            sent = self.context.send_data(None) >= 0;
        }
        let mut given = false;
        while let Some(frame) = self.context.receive_frame()? {
            let time = frame.fields().best_effort_timestamp;
            let time = if time == ffi::AV_NOPTS_VALUE { picture.time.0 } else { time };
            let hardware_surface = self.wanted_format.as_ref().is_some_and(|format| **format == frame.fields().format);
            self.software_frames |= self.wanted_format.is_some() && !hardware_surface;
            given = true;
            give(UtcMicros(time), self.keys.remove(&time), frame);
        }
        if alone {
            self.context.flush();
            sent &= given;
        }
        self.failures = if sent { 0 } else { self.failures + 1 };
        Ok(sent)
    }

    /// The hardware was asked for, but FFmpeg fell back for this stream (a profile that the chip does not know).
    fn downgraded(&mut self) -> bool {
        if !self.hardware || !self.software_frames {
            return false;
        }
        self.hardware = false;
        let reason = format!("{} does not take this stream's profile", self.choice.name);
        self.choice = DecoderChoice { name: "software".to_owned(), reason };
        true
    }
}
