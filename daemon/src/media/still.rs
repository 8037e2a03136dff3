//! One picture out of a fragment, for thumbnails: decoded in software, scaled down.
#![allow(unsafe_code)]

use ffmpeg_next::ffi;

use super::av::{self, CodecContext};
use super::codec::VideoCodec;
use super::error::MediaError;
use super::fmp4::{decoder_record, first_sample};
use super::fragment::InitSegment;
use super::image::RgbImage;
use super::scale;

/// The first picture of `fragment`, at most `max_width` pixels wide. The fragment must begin with a key frame.
pub fn first_picture(init: &InitSegment, fragment: &[u8], max_width: u32) -> Result<RgbImage, MediaError> {
    picture(init.video_codec, &init.data, fragment, max_width)
}

/// The same of a stored fragment, with its codec as the store names it.
pub fn first_stored_picture(codec: &str, init: &[u8], fragment: &[u8], max_width: u32) -> Result<RgbImage, MediaError> {
    let codec = codec.parse().map_err(|cause| MediaError::Decode { what: "a key frame".to_owned(), cause })?;
    picture(codec, init, fragment, max_width)
}

fn picture(codec: VideoCodec, init: &[u8], fragment: &[u8], max_width: u32) -> Result<RgbImage, MediaError> {
    av::init();
    let failed = |cause: &str| MediaError::Decode { what: "a key frame".to_owned(), cause: cause.to_owned() };
    let sample = first_sample(fragment).ok_or_else(|| failed("the fragment holds no picture"))?;
    let id = match codec {
        VideoCodec::H264 => ffi::AVCodecID::AV_CODEC_ID_H264,
        VideoCodec::H265 => ffi::AVCodecID::AV_CODEC_ID_HEVC,
        VideoCodec::Mjpeg => ffi::AVCodecID::AV_CODEC_ID_MJPEG,
    };
    // SAFETY: looks up a static table; null is checked.
    let codec = unsafe { ffi::avcodec_find_decoder(id) };
    if codec.is_null() {
        return Err(failed("this FFmpeg has no decoder for it"));
    }
    let mut context = CodecContext::new(codec)?;
    context.set_extradata(decoder_record(init))?;
    context.fields().thread_count = 1;
    context.open(codec)?;
    if context.send_data(Some((sample, 0))) < 0 {
        return Err(failed("it is damaged"));
    }
    context.send_data(None);
    let frame = context.receive_frame()?.ok_or_else(|| failed("it is damaged or cut off"))?;
    let (width, height) = (frame.width().max(1), frame.height().max(1));
    let shown = width.min(max_width.max(2));
    // Even sides, as scalers want them.
    let scaled = (u64::from(height) * u64::from(shown) / u64::from(width)) as u32;
    scale::to_rgb(&frame, shown & !1, scaled.max(2) & !1)
}
