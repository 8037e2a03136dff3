//! Pixel conversion and scaling through libswscale. Converters are kept per thread: making one costs more than using it.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::c_int;

use ffmpeg_next::ffi;
use ffmpeg_next::ffi::AVPixelFormat as Pixel;

use super::av::{self, AvFrame};
use super::error::MediaError;
use super::image::RgbImage;

/// Converters a thread keeps; the plate reader uses three shapes a camera stream.
const KEPT: usize = 8;
/// Pixels that vector code may write at once; the widest known are 32.
const ROW_PIXELS: usize = 64;
/// No picture in use is larger; a damaged header asks for more.
const MAX_SIDE: u32 = 16_384;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    from: (Pixel, u32, u32),
    to: (Pixel, u32, u32),
    matrix: c_int,
    full_range: bool,
}

struct Converter {
    shape: Shape,
    context: *mut ffi::SwsContext,
}

impl Converter {
    fn new(shape: Shape) -> Result<Self, MediaError> {
        let (from, from_width, from_height) = shape.from;
        let (to, to_width, to_height) = shape.to;
        let smaller = to_width * 2 <= from_width;
        let flags = if smaller { ffi::SWS_AREA } else { ffi::SWS_BILINEAR };
        // SAFETY: sizes are checked by the caller; null is checked; the tables passed are static ones of the library.
        unsafe {
            let context = ffi::sws_getContext(
                from_width as c_int,
                from_height as c_int,
                from,
                to_width as c_int,
                to_height as c_int,
                to,
                flags,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null(),
            );
            if context.is_null() {
                return Err(MediaError::Library {
                    what: "a pixel conversion",
                    cause: format!("from {from:?} {from_width}x{from_height} to {to:?} {to_width}x{to_height}"),
                });
            }
            let from_table = ffi::sws_getCoefficients(shape.matrix);
            let to_table = ffi::sws_getCoefficients(ffi::SWS_CS_DEFAULT);
            // Formats without a matrix (RGB, gray) refuse this, and need none.
            ffi::sws_setColorspaceDetails(
                context,
                from_table,
                c_int::from(shape.full_range),
                to_table,
                c_int::from(to != Pixel::AV_PIX_FMT_YUV420P),
                0,
                1 << 16,
                1 << 16,
            );
            Ok(Self { shape, context })
        }
    }
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: the context came from `sws_getContext` and is freed once.
        unsafe { ffi::sws_freeContext(self.context) }
    }
}

thread_local! {
    static CONVERTERS: RefCell<Vec<Converter>> = const { RefCell::new(Vec::new()) };
}

fn convert(
    frame: &AvFrame,
    to: (Pixel, u32, u32),
    planes: [*mut u8; 4],
    strides: [c_int; 4],
) -> Result<(), MediaError> {
    let fields = frame.fields();
    let format = frame.pixel_format();
    let from = (format, frame.width(), frame.height());
    if [from.1, from.2, to.1, to.2].iter().any(|&side| side == 0 || side > MAX_SIDE) || fields.data[0].is_null() {
        return Err(MediaError::Decode { what: "a frame".to_owned(), cause: "its size is not usable".to_owned() });
    }
    let shape = Shape { from, to, matrix: matrix(frame), full_range: is_full_range(frame) };
    CONVERTERS.with_borrow_mut(|kept| {
        let found = kept.iter().position(|converter| converter.shape == shape);
        let converter = match found {
            Some(index) => kept.remove(index),
            None => Converter::new(shape)?,
        };
        // SAFETY: the frame has the shape that the converter was made for, and the planes have room for its result.
        let rows = unsafe {
            ffi::sws_scale(
                converter.context,
                fields.data.as_ptr().cast(),
                fields.linesize.as_ptr(),
                0,
                fields.height,
                planes.as_ptr(),
                strides.as_ptr(),
            )
        };
        kept.insert(0, converter);
        kept.truncate(KEPT);
        av::check(rows, "a pixel conversion").map(|_| ())
    })
}

/// What the stream declares; otherwise what cameras use: BT.709 from 720 lines on, BT.601 below.
fn matrix(frame: &AvFrame) -> c_int {
    use ffi::AVColorSpace::{AVCOL_SPC_BT470BG, AVCOL_SPC_BT709, AVCOL_SPC_BT2020_NCL, AVCOL_SPC_SMPTE170M};
    match frame.fields().colorspace {
        AVCOL_SPC_BT709 => ffi::SWS_CS_ITU709,
        AVCOL_SPC_BT470BG | AVCOL_SPC_SMPTE170M => ffi::SWS_CS_ITU601,
        AVCOL_SPC_BT2020_NCL => ffi::SWS_CS_BT2020,
        _ if is_full_range(frame) || frame.height() < 720 => ffi::SWS_CS_ITU601,
        _ => ffi::SWS_CS_ITU709,
    }
}

fn is_full_range(frame: &AvFrame) -> bool {
    frame.fields().color_range == ffi::AVColorRange::AVCOL_RANGE_JPEG
        || matches!(
            frame.pixel_format(),
            Pixel::AV_PIX_FMT_YUVJ420P | Pixel::AV_PIX_FMT_YUVJ422P | Pixel::AV_PIX_FMT_YUVJ444P
        )
}

pub fn to_rgb(frame: &AvFrame, width: u32, height: u32) -> Result<RgbImage, MediaError> {
    let data = packed(frame, Pixel::AV_PIX_FMT_RGB24, 3, width, height)?;
    Ok(RgbImage { width, height, data })
}

pub fn to_luma(frame: &AvFrame, width: u32, height: u32) -> Result<Vec<u8>, MediaError> {
    packed(frame, Pixel::AV_PIX_FMT_GRAY8, 1, width, height)
}

/// Rows without padding. libswscale's vector code writes whole registers, past the end of a row that is no multiple of
/// them: it works on padded rows with room behind the last, which are then moved together.
fn packed(frame: &AvFrame, to: Pixel, pixel_bytes: usize, width: u32, height: u32) -> Result<Vec<u8>, MediaError> {
    buffer_size(width, height)?;
    let row = width as usize * pixel_bytes;
    let stride = (width as usize).next_multiple_of(ROW_PIXELS) * pixel_bytes;
    let rows = height as usize;
    let mut data = vec![0; stride * rows + ROW_PIXELS * pixel_bytes];
    let planes = [data.as_mut_ptr(), std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut()];
    convert(frame, (to, width, height), planes, [stride as c_int, 0, 0, 0])?;
    if stride != row {
        for y in 1..rows {
            data.copy_within(y * stride..y * stride + row, y * row);
        }
    }
    data.truncate(row * rows);
    Ok(data)
}

fn buffer_size(width: u32, height: u32) -> Result<usize, MediaError> {
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        let cause = format!("{width}x{height} is not a usable size");
        return Err(MediaError::Decode { what: "a frame".to_owned(), cause });
    }
    Ok(width as usize * height as usize)
}

/// A frame with its own copy of the pixels.
pub fn rgb_frame(image: &RgbImage) -> Result<AvFrame, MediaError> {
    let mut frame = empty_frame(Pixel::AV_PIX_FMT_RGB24, image.width, image.height)?;
    let row = image.width as usize * 3;
    let fields = frame.fields_mut();
    for (y, pixels) in image.data.chunks_exact(row).take(image.height as usize).enumerate() {
        // SAFETY: each of the frame's `height` rows has room for `width` pixels.
        unsafe {
            let target = fields.data[0].add(y * fields.linesize[0] as usize);
            std::ptr::copy_nonoverlapping(pixels.as_ptr(), target, row);
        }
    }
    Ok(frame)
}

/// The picture as full-range YUV 4:2:0, which JPEG encoders take.
pub fn to_jpeg_yuv(image: &RgbImage) -> Result<AvFrame, MediaError> {
    let rgb = rgb_frame(image)?;
    let mut frame = empty_frame(Pixel::AV_PIX_FMT_YUVJ420P, image.width, image.height)?;
    let fields = frame.fields_mut();
    fields.color_range = ffi::AVColorRange::AVCOL_RANGE_JPEG;
    let planes = [fields.data[0], fields.data[1], fields.data[2], std::ptr::null_mut()];
    let strides = [fields.linesize[0], fields.linesize[1], fields.linesize[2], 0];
    convert(&rgb, (Pixel::AV_PIX_FMT_YUVJ420P, image.width, image.height), planes, strides)?;
    Ok(frame)
}

/// The picture as YUV 4:2:0 of limited range, which video encoders take; both sides even.
pub fn to_yuv420(frame: &AvFrame, width: u32, height: u32) -> Result<AvFrame, MediaError> {
    if frame.pixel_format() == Pixel::AV_PIX_FMT_YUV420P
        && (frame.width(), frame.height()) == (width, height)
        && !is_full_range(frame)
    {
        return frame.share();
    }
    let mut scaled = empty_frame(Pixel::AV_PIX_FMT_YUV420P, width, height)?;
    let fields = scaled.fields_mut();
    let planes = [fields.data[0], fields.data[1], fields.data[2], std::ptr::null_mut()];
    let strides = [fields.linesize[0], fields.linesize[1], fields.linesize[2], 0];
    convert(frame, (Pixel::AV_PIX_FMT_YUV420P, width, height), planes, strides)?;
    Ok(scaled)
}

fn empty_frame(format: Pixel, width: u32, height: u32) -> Result<AvFrame, MediaError> {
    buffer_size(width, height)?;
    let mut frame = AvFrame::new()?;
    let fields = frame.fields_mut();
    fields.format = format as c_int;
    fields.width = width as c_int;
    fields.height = height as c_int;
    // SAFETY: the frame is live and described.
    av::check(unsafe { ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0) }, "a frame")?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_width_is_written_past_its_rows() {
        // Under the allocator's checks a write behind a buffer ends the process.
        for width in (1..70).chain([127, 241, 333]) {
            let image = RgbImage::filled(width, 9, [200, 100, 50]);
            let yuv = to_jpeg_yuv(&image).unwrap();
            for (to_width, to_height) in [(width, 9), (width.div_ceil(3), 5), (width * 2 + 1, 11)] {
                let rgb = to_rgb(&yuv, to_width, to_height).unwrap();
                assert_eq!(rgb.data.len(), (to_width * to_height * 3) as usize);
                if width > 16 {
                    let middle = rgb.pixel(to_width / 2, to_height - 1);
                    assert!(
                        middle[0].abs_diff(200) < 9 && middle[2].abs_diff(50) < 9,
                        "{width} to {to_width}: {middle:?}"
                    );
                }
                assert_eq!(to_luma(&yuv, to_width, to_height).unwrap().len(), (to_width * to_height) as usize);
            }
        }
    }
}
