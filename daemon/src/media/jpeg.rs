//! Still images: JPEG is written for evidence, JPEG, PNG, BMP and WebP are read.
#![allow(unsafe_code)]

use std::path::Path;

use bytes::Bytes;
use ffmpeg_next::ffi;

use super::av::{self, CodecContext};
use super::error::MediaError;
use super::image::RgbImage;
use super::scale;

/// Still images larger than this are refused: 256 MiB holds any photograph.
const MAX_BYTES: u64 = 256 << 20;

/// `quality` 1 (worst) to 100 (best).
pub fn encode(image: &RgbImage, quality: u8) -> Result<Bytes, MediaError> {
    av::init();
    let failed = |cause: &str| MediaError::Encode { what: "a JPEG image".to_owned(), cause: cause.to_owned() };
    // SAFETY: looks up a static table; null is checked.
    let codec = unsafe { ffi::avcodec_find_encoder(ffi::AVCodecID::AV_CODEC_ID_MJPEG) };
    if codec.is_null() {
        return Err(failed("this FFmpeg has no JPEG encoder"));
    }
    let mut frame = scale::to_jpeg_yuv(image)?;
    let mut context = CodecContext::new(codec)?;
    // FFmpeg's scale runs from 2 (best) to 31.
    let quantizer = 2 + (100 - i32::from(quality.clamp(1, 100))) * 29 / 99;
    let fields = context.fields();
    fields.width = image.width as i32;
    fields.height = image.height as i32;
    fields.pix_fmt = ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P;
    fields.color_range = ffi::AVColorRange::AVCOL_RANGE_JPEG;
    fields.time_base = ffi::AVRational { num: 1, den: 1 };
    fields.flags |= ffi::AV_CODEC_FLAG_QSCALE as i32;
    fields.global_quality = quantizer * ffi::FF_QP2LAMBDA;
    fields.thread_count = 1;
    context.open(codec)?;
    frame.fields_mut().quality = quantizer * ffi::FF_QP2LAMBDA;
    frame.fields_mut().pts = 0;
    context.send_frame(Some(&frame))?;
    let packet = context.receive_packet()?.ok_or_else(|| failed("the encoder gave nothing"))?;
    Ok(Bytes::copy_from_slice(packet.data()))
}

/// The image in a file.
pub fn decode_file(path: &Path) -> Result<RgbImage, MediaError> {
    let failed = |cause: String| MediaError::Decode { what: path.display().to_string(), cause };
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(failed(format!("it has {size} bytes, more than the {MAX_BYTES} that an image may have")));
    }
    let data = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    decode_image(&data).map_err(|error| match error {
        MediaError::Decode { cause, .. } => failed(cause),
        other => other,
    })
}

/// The image in `data`, whatever of the known formats it has.
pub fn decode_image(data: &[u8]) -> Result<RgbImage, MediaError> {
    av::init();
    let failed = |cause: &str| MediaError::Decode { what: "an image".to_owned(), cause: cause.to_owned() };
    let id = match data {
        [0xff, 0xd8, 0xff, ..] => ffi::AVCodecID::AV_CODEC_ID_MJPEG,
        [0x89, b'P', b'N', b'G', ..] => ffi::AVCodecID::AV_CODEC_ID_PNG,
        [b'B', b'M', ..] => ffi::AVCodecID::AV_CODEC_ID_BMP,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ffi::AVCodecID::AV_CODEC_ID_WEBP,
        _ => return Err(failed("it is no JPEG, PNG, BMP or WebP image")),
    };
    // SAFETY: looks up a static table; null is checked.
    let codec = unsafe { ffi::avcodec_find_decoder(id) };
    if codec.is_null() {
        return Err(failed("this FFmpeg has no decoder for it"));
    }
    let mut context = CodecContext::new(codec)?;
    context.fields().thread_count = 1;
    context.open(codec)?;
    if context.send_data(Some((data, 0))) < 0 {
        return Err(failed("it is damaged"));
    }
    context.send_data(None);
    let frame = context.receive_frame()?.ok_or_else(|| failed("it is damaged or cut off"))?;
    scale::to_rgb(&frame, frame.width(), frame.height())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UtcMicros;
    use crate::media::DecodedFrame;

    fn picture() -> RgbImage {
        let mut image = RgbImage::filled(64, 48, [200, 30, 40]);
        for y in 0..24 {
            for x in 0..32 {
                let at = (y * 64 + x) * 3;
                image.data[at..at + 3].copy_from_slice(&[20, 60, 220]);
            }
        }
        image
    }

    fn close(found: [u8; 3], wanted: [u8; 3]) -> bool {
        found.iter().zip(wanted).all(|(&a, b)| a.abs_diff(b) <= 12)
    }

    #[test]
    fn colors_survive_jpeg() {
        let jpeg = encode(&picture(), 95).unwrap();
        assert!(encode(&picture(), 10).unwrap().len() < jpeg.len());
        let back = decode_image(&jpeg).unwrap();
        assert_eq!((back.width, back.height), (64, 48));
        assert!(close(back.pixel(5, 5), [20, 60, 220]), "{:?}", back.pixel(5, 5));
        assert!(close(back.pixel(50, 40), [200, 30, 40]), "{:?}", back.pixel(50, 40));
    }

    #[test]
    fn damaged_images_give_errors() {
        let jpeg = encode(&picture(), 90).unwrap();
        assert!(decode_image(b"plainly no image").is_err());
        assert!(decode_image(&[]).is_err());
        assert!(decode_image(&jpeg[..20]).is_err());
        let missing = decode_file(Path::new("/nonexistent/car.jpg")).unwrap_err().to_string();
        assert!(missing.contains("car.jpg"), "{missing}");
    }

    #[test]
    fn frames_convert_crop_and_scale() {
        let frame = DecodedFrame::from_rgb("gate".parse().unwrap(), UtcMicros(0), true, &picture()).unwrap();
        assert_eq!(frame.to_rgb().unwrap(), picture());
        let (crop, corner) = frame.crop_rgb(31, 23, 10, 10).unwrap();
        assert_eq!((crop.width, crop.height, corner), (11, 11, (30, 22)));
        assert_eq!((crop.pixel(0, 0), crop.pixel(5, 5)), ([20, 60, 220], [200, 30, 40]));
        assert!(frame.crop_rgb(64, 0, 5, 5).is_err());
        assert_eq!(frame.to_rgb_scaled(32, 24).unwrap().pixel(2, 2), [20, 60, 220]);
        let luma = frame.luma_scaled(16, 12).unwrap();
        assert_eq!(luma.data.len(), 16 * 12);
        assert!(luma.data[0] < luma.data[15 * 12]);
    }
}
