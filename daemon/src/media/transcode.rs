//! A camera's video as H.264, for viewers whose browsers cannot show what it sends. Runs only while somebody watches.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use ffmpeg_next::ffi;

use super::access_unit::nal_units;
use super::av::{self, AvFrame, CodecContext};
use super::codec::{VideoCodec, VideoConfig};
use super::decode::Picture;
use super::decoder::StreamDecoder;
use super::error::MediaError;
use super::frame::in_memory;
use super::scale;
use super::timeline::VIDEO_HZ;
use crate::base::time::UtcMicros;

/// Made smaller where it is larger: a tile on a screen, not evidence.
const MOST_PIXELS: u32 = 1920 * 1088;
/// Who comes late or lost something waits at most for so many pictures.
const GROUP: i32 = 50;
/// What cameras send at most; fewer pictures get more bits each.
const RATE: i32 = 30;
/// Bits a second at most.
const MOST_BITS: i64 = 6_000_000;
/// Pictures inside the decoder are far fewer.
const UNDER_WAY: usize = 64;

/// See the module.
#[derive(Default)]
pub struct VideoTranscoder {
    decoder: StreamDecoder,
    encoder: Option<Encoder>,
    /// By their times: where pictures inside the decoder belong on the stream's own timeline.
    places: BTreeMap<i64, i64>,
}

impl VideoTranscoder {
    /// What has become ready with this picture, in the order of showing. A damaged picture gives nothing.
    pub fn push(&mut self, picture: &Picture) -> Result<Vec<Picture>, MediaError> {
        self.places.insert(picture.time.0, picture.pts);
        while self.places.len() > UNDER_WAY {
            self.places.pop_first();
        }
        let mut frames = Vec::new();
        self.decoder.decode(picture, false, &mut |time, _, frame| frames.push((time, frame)))?;
        let mut made = Vec::new();
        for (time, frame) in frames {
            let Some(pts) = self.places.remove(&time.0) else { continue };
            let frame = in_memory(frame)?;
            let (width, height) = fit(frame.width(), frame.height());
            if self.encoder.as_ref().is_none_or(|encoder| encoder.size != (width, height)) {
                self.encoder = Some(Encoder::open(width, height)?);
            }
            if let Some(encoder) = &mut self.encoder {
                made.extend(encoder.encode(&frame, pts, time)?);
            }
        }
        Ok(made)
    }
}

/// Even sides, as 4:2:0 needs them, and no more pixels than allowed.
fn fit(width: u32, height: u32) -> (u32, u32) {
    let mut divisor = 1;
    while width / divisor * (height / divisor) > MOST_PIXELS {
        divisor += 1;
    }
    ((width / divisor).max(2) & !1, (height / divisor).max(2) & !1)
}

/// libx264 without delay: each frame comes out at once.
struct Encoder {
    context: CodecContext,
    size: (u32, u32),
    /// Of the newest key frame.
    config: Option<Arc<VideoConfig>>,
}

impl Encoder {
    fn open(width: u32, height: u32) -> Result<Self, MediaError> {
        av::init();
        // SAFETY: looks up a static table; null is checked.
        let codec = unsafe { ffi::avcodec_find_encoder_by_name(c"libx264".as_ptr()) };
        if codec.is_null() {
            let cause = "this FFmpeg has none (libx264)".to_owned();
            return Err(MediaError::Library { what: "an H.264 encoder", cause });
        }
        let mut context = CodecContext::new(codec)?;
        for (key, value) in [
            (c"preset", c"ultrafast"),
            (c"tune", c"zerolatency"),
            // Every browser decodes it, and it has no B-frames.
            (c"profile", c"baseline"),
            (c"crf", c"24"),
        ] {
            set(&mut context, key, value)?;
        }
        let fields = context.fields();
        fields.width = i32::try_from(width).unwrap_or(0);
        fields.height = i32::try_from(height).unwrap_or(0);
        fields.pix_fmt = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P;
        fields.time_base = ffi::AVRational { num: 1, den: VIDEO_HZ as i32 };
        // Without it x264 shares its bits among 90,000 pictures a second.
        fields.framerate = ffi::AVRational { num: RATE, den: 1 };
        fields.gop_size = GROUP;
        fields.max_b_frames = 0;
        fields.thread_count = 1;
        fields.rc_max_rate = MOST_BITS;
        fields.rc_buffer_size = (MOST_BITS / 2) as i32;
        context.open(codec)?;
        Ok(Self { context, size: (width, height), config: None })
    }

    fn encode(&mut self, frame: &AvFrame, pts: i64, time: UtcMicros) -> Result<Option<Picture>, MediaError> {
        let mut scaled = scale::to_yuv420(frame, self.size.0, self.size.1)?;
        let fields = scaled.fields_mut();
        fields.pts = pts;
        // The decoder tells what kind of picture it was; this encoder chooses for itself.
        fields.pict_type = ffi::AVPictureType::AV_PICTURE_TYPE_NONE;
        self.context.send_frame(Some(&scaled))?;
        let Some(packet) = self.context.receive_packet()? else { return Ok(None) };
        let mut data = BytesMut::with_capacity(packet.data().len() + 64);
        for unit in nal_units(packet.data()) {
            data.put_u32(u32::try_from(unit.len()).unwrap_or(0));
            data.put_slice(unit);
        }
        let found = VideoConfig::from_nals(VideoCodec::H264, nal_units(packet.data()));
        let key = found.is_some();
        if let Some(found) = found
            && self.config.as_deref() != Some(&found)
        {
            self.config = Some(Arc::new(found));
        }
        let config = self.config.clone();
        Ok(config.map(|config| Picture { data: data.freeze(), key, time, pts, config }))
    }
}

fn set(context: &mut CodecContext, key: &CStr, value: &CStr) -> Result<(), MediaError> {
    // SAFETY: an allocated context has its private options; both strings are zero-terminated and copied.
    let code = unsafe { ffi::av_opt_set(context.fields().priv_data, key.as_ptr(), value.as_ptr(), 0) };
    av::check(code, "an option of the H.264 encoder").map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_and_bounded() {
        assert_eq!(fit(1920, 1080), (1920, 1080));
        assert_eq!(fit(3840, 2160), (1920, 1080));
        assert_eq!(fit(2593, 1945), (1296, 972));
        assert_eq!(fit(641, 1), (640, 2));
    }
}
