//! Hardware decoders: which there are, in which order they are tried, and how FFmpeg is told to use one.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int};
use std::path::Path;
use std::sync::OnceLock;

use ffmpeg_next::ffi;

use super::av;
use super::codec::VideoCodec;

pub struct Candidate {
    pub name: &'static str,
    /// `None`: FFmpeg's own decoder with `device` behind it.
    pub decoder: Option<&'static CStr>,
    pub device: Option<Device>,
}

/// In order of preference: NVIDIA cards, Jetson, other chips with a V4L2 decoder, Intel and AMD graphics.
pub fn candidates(codec: VideoCodec) -> Vec<Candidate> {
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
pub enum Device {
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
    pub fn acquire(self, codec: *const ffi::AVCodec) -> Result<(c_int, *mut ffi::AVBufferRef), String> {
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
pub unsafe extern "C" fn choose_format(
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
