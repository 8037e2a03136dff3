//! Decodes what the plate reader asks for, hardware first, on a thread of its own so that recording never waits.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_int};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ffmpeg_next::ffi;

use super::av::{self, AvFrame, CodecContext};
use super::codec::{VideoCodec, VideoConfig};
use super::error::MediaError;
use super::frame::DecodedFrame;
use super::slot::{FrameSlot, Wanted};
use crate::base::ids::CameraId;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;

/// One encoded picture on its way to a decoder; the bytes are those of its recorded sample.
#[derive(Clone, Debug)]
pub struct Picture {
    pub data: Bytes,
    pub key: bool,
    pub time: UtcMicros,
    pub config: Arc<VideoConfig>,
}

/// Which decoder works and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoderChoice {
    pub name: String,
    /// What was tried before it and why that did not work.
    pub reason: String,
}

/// Pictures that may wait; two seconds of 30 frames. When a decoder is slower, whole groups are left out.
const QUEUE: usize = 60;
/// Pictures of the current group kept for the moment when all frames are wanted.
const BACKLOG: usize = 300;
const BACKLOG_BYTES: usize = 8 << 20;
/// A hardware decoder that fails this often in a row is given up for software.
const HARDWARE_FAILURES: u32 = 5;

/// The sending side, held by the camera's stream.
pub struct DecoderWorker {
    sender: SyncSender<Picture>,
    /// Something was left out: nothing until the next key frame can be decoded.
    broken: bool,
    choice: Arc<Mutex<Option<DecoderChoice>>>,
    camera: CameraId,
}

impl DecoderWorker {
    /// The worker and the loop that its thread must run.
    pub fn new(
        camera: CameraId,
        slot: Arc<FrameSlot>,
    ) -> (Self, impl FnMut(CancellationToken) -> Result<(), MediaError> + Send + 'static) {
        let (sender, receiver) = sync_channel(QUEUE);
        let choice = Arc::new(Mutex::new(None));
        let worker = Self { sender, broken: false, choice: choice.clone(), camera: camera.clone() };
        let receiver = Mutex::new(receiver);
        let run = move |token: CancellationToken| {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            Loop {
                camera: camera.clone(),
                slot: slot.clone(),
                choice: choice.clone(),
                decoder: None,
                backlog: Vec::new(),
                backlog_bytes: 0,
                caught_up: false,
            }
            .run(&receiver, &token);
            Ok(())
        };
        (worker, run)
    }

    pub fn choice(&self) -> Option<DecoderChoice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Never blocks: what does not fit is left out up to the next key frame, and counted.
    pub fn offer(&mut self, picture: Picture) {
        if self.broken && !picture.key {
            self.count_drop();
            return;
        }
        self.broken = self.sender.try_send(picture).is_err();
        if self.broken {
            self.count_drop();
        }
    }

    fn count_drop(&self) {
        let camera = self.camera.to_string();
        metrics::counter!("gtv_dropped_total", "stage" => "decode", "reason" => "slow", "camera" => camera)
            .increment(1);
    }
}

struct Loop {
    camera: CameraId,
    slot: Arc<FrameSlot>,
    choice: Arc<Mutex<Option<DecoderChoice>>>,
    decoder: Option<Decoder>,
    /// The current group from its key frame on.
    backlog: Vec<Picture>,
    backlog_bytes: usize,
    /// The decoder has seen the whole backlog.
    caught_up: bool,
}

impl Loop {
    fn run(&mut self, receiver: &Receiver<Picture>, token: &CancellationToken) {
        while !token.is_cancelled() {
            match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(picture) => {
                    if let Err(error) = self.take(picture) {
                        tracing::warn!(camera = %self.camera, %error, "decoder");
                        metrics::counter!("gtv_decoder_errors_total", "camera" => self.camera.to_string()).increment(1);
                        self.forget_group();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn forget_group(&mut self) {
        self.backlog.clear();
        self.backlog_bytes = 0;
        self.caught_up = false;
    }

    fn take(&mut self, picture: Picture) -> Result<(), MediaError> {
        if picture.key {
            self.forget_group();
        } else if self.backlog.is_empty() {
            return Ok(());
        }
        let wanted = self.slot.wanted();
        self.backlog_bytes += picture.data.len();
        self.backlog.push(picture);
        if self.backlog.len() > BACKLOG || self.backlog_bytes > BACKLOG_BYTES {
            // A group this long cannot be caught up with; one that is being decoded needs no backlog.
            let newest = self.backlog.pop();
            self.backlog.truncate(1);
            self.backlog_bytes = self.backlog.iter().map(|picture| picture.data.len()).sum();
            return match newest.filter(|_| self.caught_up && wanted == Wanted::All) {
                Some(picture) => self.decode(&picture, false),
                None => Ok(()),
            };
        }
        match wanted {
            Wanted::Nothing => {
                self.caught_up = false;
                Ok(())
            }
            Wanted::KeyFrames => {
                self.caught_up = false;
                let only = self.backlog.len() == 1;
                let key = if only { self.backlog.first().cloned() } else { None };
                key.map_or(Ok(()), |picture| self.decode(&picture, true))
            }
            Wanted::All => {
                let from = if self.caught_up { self.backlog.len() - 1 } else { 0 };
                self.caught_up = true;
                let pictures: Vec<Picture> = self.backlog[from..].to_vec();
                pictures.iter().try_for_each(|picture| self.decode(picture, false))
            }
        }
    }

    fn decode(&mut self, picture: &Picture, alone: bool) -> Result<(), MediaError> {
        if self.decoder.as_ref().is_none_or(|decoder| decoder.config != picture.config) {
            self.decoder = None;
            self.use_decoder(Decoder::open(&picture.config, true)?);
        }
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        let received = Instant::now();
        let sent = decoder.decode(picture, alone, &mut |time, key, frame| {
            let frame = DecodedFrame::new(self.camera.clone(), time, received, key, frame);
            metrics::counter!("gtv_decoded_frames_total", "camera" => self.camera.to_string()).increment(1);
            self.slot.put(frame);
        })?;
        if sent {
            if let Some(choice) = decoder.downgraded() {
                *self.choice.lock().unwrap_or_else(PoisonError::into_inner) = Some(choice);
            }
            return Ok(());
        }
        if decoder.hardware && decoder.failures >= HARDWARE_FAILURES {
            let reason = format!("{} failed on this stream", decoder.choice.name);
            let mut software = Decoder::open(&picture.config, false)?;
            software.choice.reason = reason;
            self.use_decoder(software);
        }
        Ok(())
    }

    fn use_decoder(&mut self, decoder: Decoder) {
        let DecoderChoice { name, reason } = &decoder.choice;
        tracing::info!(camera = %self.camera, decoder = name, reason, "decoder chosen");
        *self.choice.lock().unwrap_or_else(PoisonError::into_inner) = Some(decoder.choice.clone());
        self.decoder = Some(decoder);
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

    /// `alone`: nothing follows this key picture, its frame must come out now. False: the decoder refused it.
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
    fn downgraded(&mut self) -> Option<DecoderChoice> {
        if !self.hardware || !self.software_frames {
            return None;
        }
        self.hardware = false;
        let reason = format!("{} does not take this stream's profile", self.choice.name);
        self.choice = DecoderChoice { name: "software".to_owned(), reason };
        Some(self.choice.clone())
    }
}

struct Candidate {
    name: &'static str,
    /// `None`: FFmpeg's own decoder with `device` behind it.
    decoder: Option<&'static CStr>,
    device: Option<Device>,
}

/// In order of preference: NVIDIA cards, Jetson, other chips with a V4L2 decoder, Intel and AMD graphics.
fn candidates(codec: VideoCodec) -> Vec<Candidate> {
    let h264 = codec == VideoCodec::H264;
    vec![
        Candidate { name: "cuda", decoder: None, device: Some(Device::Cuda) },
        Candidate { name: "nvmpi", decoder: Some(if h264 { c"h264_nvmpi" } else { c"hevc_nvmpi" }), device: None },
        Candidate {
            name: "v4l2m2m",
            decoder: Some(if h264 { c"h264_v4l2m2m" } else { c"hevc_v4l2m2m" }),
            device: None,
        },
        Candidate { name: "vaapi", decoder: None, device: Some(Device::Vaapi) },
    ]
}

#[derive(Clone, Copy, Debug)]
enum Device {
    Cuda,
    Vaapi,
}

/// A device context that lives as long as the process: opening CUDA takes 100 MB and most of a second each time.
struct DeviceRef(*mut ffi::AVBufferRef);

// SAFETY: FFmpeg's buffers have atomic reference counts, and device contexts may be shared by threads.
unsafe impl Send for DeviceRef {}
// SAFETY: as above; through `&` only new references are taken.
unsafe impl Sync for DeviceRef {}

impl Device {
    /// The surface format and a new reference to the device, for the context that will own it.
    fn acquire(self, codec: *const ffi::AVCodec) -> Result<(c_int, *mut ffi::AVBufferRef), String> {
        static CUDA: OnceLock<Result<DeviceRef, String>> = OnceLock::new();
        static VAAPI: OnceLock<Result<DeviceRef, String>> = OnceLock::new();
        let (kind, device) = match self {
            Self::Cuda => (ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA, &CUDA),
            Self::Vaapi => (ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_VAAPI, &VAAPI),
        };
        let format = surface_format(codec, kind).ok_or("this FFmpeg's decoder cannot use it")?;
        let device = device.get_or_init(|| self.open(kind)).as_ref().map_err(Clone::clone)?;
        // SAFETY: the device lives for ever; null is checked.
        let reference = unsafe { ffi::av_buffer_ref(device.0) };
        if reference.is_null() { Err("out of memory".to_owned()) } else { Ok((format, reference)) }
    }

    fn open(self, kind: ffi::AVHWDeviceType) -> Result<DeviceRef, String> {
        let node = match self {
            Self::Cuda => None,
            Self::Vaapi => {
                let node = Path::new("/dev/dri/renderD128");
                if !node.exists() {
                    return Err(format!("no {}", node.display()));
                }
                CString::new(node.as_os_str().as_encoded_bytes()).ok()
            }
        };
        let node = node.as_ref().map_or(std::ptr::null(), |node| node.as_ptr());
        let mut device = std::ptr::null_mut();
        // SAFETY: the node is null or zero-terminated; the result is checked.
        let code = unsafe { ffi::av_hwdevice_ctx_create(&raw mut device, kind, node, std::ptr::null_mut(), 0) };
        if code < 0 { Err(format!("no device ({})", av::text(code))) } else { Ok(DeviceRef(device)) }
    }
}

fn surface_format(codec: *const ffi::AVCodec, kind: ffi::AVHWDeviceType) -> Option<c_int> {
    for index in 0.. {
        // SAFETY: the codec is from a static table; null ends the list.
        let config = unsafe { ffi::avcodec_get_hw_config(codec, index).as_ref() }?;
        let by_device = ffi::AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX as c_int;
        if config.methods & by_device != 0 && config.device_type == kind {
            return Some(config.pix_fmt as c_int);
        }
    }
    None
}

/// Takes the hardware surface where it is offered, else the first software format: the list ends with those.
unsafe extern "C" fn choose_format(
    context: *mut ffi::AVCodecContext,
    formats: *const ffi::AVPixelFormat,
) -> ffi::AVPixelFormat {
    // SAFETY: `opaque` is the boxed format of the decoder that owns the context.
    let wanted = unsafe { *(*context).opaque.cast::<c_int>() };
    let mut last = ffi::AVPixelFormat::AV_PIX_FMT_NONE;
    for index in 0.. {
        // SAFETY: the list ends with `AV_PIX_FMT_NONE`.
        let format = unsafe { *formats.add(index) };
        if format == ffi::AVPixelFormat::AV_PIX_FMT_NONE {
            break;
        }
        if format as c_int == wanted {
            return format;
        }
        last = format;
    }
    last
}
