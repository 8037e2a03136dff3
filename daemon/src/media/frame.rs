//! A decoded picture that is converted only when asked: to RGB whole, cut or scaled, or to a small luma plane.
#![allow(unsafe_code)]

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use ffmpeg_next::ffi;

use super::av::{self, AvFrame};
use super::error::MediaError;
use super::image::RgbImage;
use super::scale;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// See the module.
pub struct DecodedFrame {
    pub camera: CameraId,
    /// When it was taken.
    pub time: UtcMicros,
    /// When its decoding began, for latency figures.
    pub received: Instant,
    pub key: bool,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// The decoder's own surface until somebody needs the pixels: decoders have few of them.
    surface: Mutex<Option<AvFrame>>,
    pixels: OnceLock<Result<AvFrame, MediaError>>,
}

/// Brightness alone, one byte a pixel, rows without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LumaPlane {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

impl DecodedFrame {
    pub(super) fn new(camera: CameraId, time: UtcMicros, received: Instant, key: bool, frame: AvFrame) -> Self {
        let (width, height) = (frame.width(), frame.height());
        let (surface, pixels) = if frame.fields().hw_frames_ctx.is_null() {
            (None, OnceLock::from(Ok(frame)))
        } else {
            (Some(frame), OnceLock::new())
        };
        Self { camera, time, received, key, width, height, surface: Mutex::new(surface), pixels }
    }

    /// A frame from pixels, for still images and tests.
    pub fn from_rgb(camera: CameraId, time: UtcMicros, key: bool, image: &RgbImage) -> Result<Self, MediaError> {
        let frame = scale::rgb_frame(image)?;
        Ok(Self::new(camera, time, Instant::now(), key, frame))
    }

    pub fn to_rgb(&self) -> Result<RgbImage, MediaError> {
        scale::to_rgb(self.pixels()?, self.width, self.height)
    }

    /// Scaled in the same pass as the conversion, which is several times cheaper than converting first.
    pub fn to_rgb_scaled(&self, width: u32, height: u32) -> Result<RgbImage, MediaError> {
        scale::to_rgb(self.pixels()?, width, height)
    }

    /// The part inside the given rectangle, cut to the picture's borders and widened to even pixels; the second value
    /// is where its top left corner lies.
    pub fn crop_rgb(&self, x: i64, y: i64, width: i64, height: i64) -> Result<(RgbImage, (u32, u32)), MediaError> {
        let even_down = |value: i64, most: u32| (value.clamp(0, i64::from(most)) & !1) as u32;
        let (left, top) = (even_down(x, self.width), even_down(y, self.height));
        let right = x.saturating_add(width).clamp(i64::from(left), i64::from(self.width)) as u32;
        let bottom = y.saturating_add(height).clamp(i64::from(top), i64::from(self.height)) as u32;
        if right <= left || bottom <= top {
            return Err(MediaError::Decode {
                what: "a part of a frame".to_owned(),
                cause: "it lies outside the picture".to_owned(),
            });
        }
        let mut part = self.pixels()?.share()?;
        let fields = part.fields_mut();
        fields.crop_left = left as usize;
        fields.crop_top = top as usize;
        fields.crop_right = (self.width - right) as usize;
        fields.crop_bottom = (self.height - bottom) as usize;
        let unaligned = ffi::AV_FRAME_CROP_UNALIGNED as i32;
        // SAFETY: the frame is live and the crop lies inside it; only pointers and sizes of this reference change.
        av::check(unsafe { ffi::av_frame_apply_cropping(part.as_mut_ptr(), unaligned) }, "a crop")?;
        let image = scale::to_rgb(&part, part.width(), part.height())?;
        Ok((image, (left, top)))
    }

    /// Brightness at a smaller size, for motion detection.
    pub fn luma_scaled(&self, width: u32, height: u32) -> Result<LumaPlane, MediaError> {
        let data = scale::to_luma(self.pixels()?, width, height)?;
        Ok(LumaPlane { width, height, data })
    }

    /// The pixels in main memory; a hardware surface is downloaded once and given back to its decoder.
    fn pixels(&self) -> Result<&AvFrame, MediaError> {
        let pixels = self.pixels.get_or_init(|| {
            let surface = self.surface.lock().unwrap_or_else(PoisonError::into_inner).take();
            surface.as_ref().map_or_else(|| Err(av::out_of_memory("a frame")), download)
        });
        pixels.as_ref().map_err(Clone::clone)
    }
}

/// The frame with its pixels in main memory.
pub fn in_memory(frame: AvFrame) -> Result<AvFrame, MediaError> {
    if frame.fields().hw_frames_ctx.is_null() { Ok(frame) } else { download(&frame) }
}

fn download(surface: &AvFrame) -> Result<AvFrame, MediaError> {
    let mut frame = AvFrame::new()?;
    // SAFETY: both frames are live; the first is filled by the calls.
    unsafe {
        av::check(ffi::av_hwframe_transfer_data(frame.as_mut_ptr(), surface.as_ptr(), 0), "a hardware surface")?;
        av::check(ffi::av_frame_copy_props(frame.as_mut_ptr(), surface.as_ptr()), "a hardware surface")?;
    }
    Ok(frame)
}
