//! Pure. One CMAF chunk (`moof` + `mdat`) from finished samples.

use bytes::Bytes;

use super::boxes::{put_box, put_full_box, put_u32, put_u64};
use super::init::{AUDIO_TRACK, VIDEO_TRACK};

/// Sample flags of ISO/IEC 14496-12 8.8.3.1: depends on no other sample; depends on others and is no sync sample.
const SYNC: u32 = 0x0200_0000;
const NO_SYNC: u32 = 0x0101_0000;
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;

/// One sample with times in the timescale of its track.
#[derive(Clone, Debug)]
pub struct Sample {
    pub data: Bytes,
    pub dts: i64,
    pub duration: u32,
    /// Presentation minus decode time.
    pub offset: u32,
    pub key: bool,
}

/// `data` is allocated once at its final size; the samples are copied into it and nowhere else.
pub fn chunk(sequence: u32, video: &[Sample], audio: &[Sample]) -> Bytes {
    let video_bytes: usize = video.iter().map(|sample| sample.data.len()).sum();
    let audio_bytes: usize = audio.iter().map(|sample| sample.data.len()).sum();
    let head_guess = 160 + 16 * (video.len() + audio.len());
    let mut out = Vec::with_capacity(head_guess + video_bytes + audio_bytes);
    let mut offsets = Vec::with_capacity(2);
    put_box(&mut out, *b"moof", |out| {
        put_full_box(out, *b"mfhd", 0, 0, |out| put_u32(out, sequence));
        for (track, samples, bytes) in [(VIDEO_TRACK, video, video_bytes), (AUDIO_TRACK, audio, audio_bytes)] {
            if !samples.is_empty() {
                put_box(out, *b"traf", |out| offsets.push((track_fragment(out, track, samples), bytes)));
            }
        }
    });
    // The media begins behind the header of `mdat`.
    let mut position = out.len() + 8;
    for (offset, bytes) in offsets {
        out[offset..offset + 4].copy_from_slice(&(position as u32).to_be_bytes());
        position += bytes;
    }
    put_u32(&mut out, (8 + video_bytes + audio_bytes) as u32);
    out.extend_from_slice(b"mdat");
    video.iter().chain(audio).for_each(|sample| out.extend_from_slice(&sample.data));
    out.into()
}

/// Returns where the data offset of the `trun` stands.
fn track_fragment(out: &mut Vec<u8>, track: u32, samples: &[Sample]) -> usize {
    put_full_box(out, *b"tfhd", 0, DEFAULT_BASE_IS_MOOF, |out| put_u32(out, track));
    let first_dts = samples.first().map_or(0, |sample| sample.dts);
    put_full_box(out, *b"tfdt", 1, 0, |out| put_u64(out, first_dts.max(0) as u64));
    let reordered = samples.iter().any(|sample| sample.offset != 0);
    // Data offset, and per sample: duration, size, flags, and where needed the composition offset.
    let flags = 0x1 | 0x100 | 0x200 | 0x400 | if reordered { 0x800 } else { 0 };
    let mut data_offset_at = 0;
    put_full_box(out, *b"trun", 0, flags, |out| {
        put_u32(out, samples.len() as u32);
        data_offset_at = out.len();
        put_u32(out, 0);
        for sample in samples {
            put_u32(out, sample.duration);
            put_u32(out, sample.data.len() as u32);
            put_u32(out, if sample.key { SYNC } else { NO_SYNC });
            if reordered {
                put_u32(out, sample.offset);
            }
        }
    });
    data_offset_at
}
