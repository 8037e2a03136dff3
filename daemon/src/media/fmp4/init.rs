//! Pure. The initialization segment (`ftyp` + `moov`) of a recorded stream, CMAF brands (ISO/IEC 23000-19).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::boxes::{put_box, put_full_box, put_u16, put_u32, put_zeros};
use crate::media::audio::AudioConfig;
use crate::media::codec::{VideoCodec, VideoConfig};
use crate::media::fragment::InitSegment;
use crate::media::timeline::VIDEO_HZ;

pub const VIDEO_TRACK: u32 = 1;
pub const AUDIO_TRACK: u32 = 2;

const MOVIE_HZ: u32 = 1000;
const UNITY_MATRIX: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];
/// `und`, packed as ISO 639-2/T.
const NO_LANGUAGE: u16 = 0x55c4;

pub fn init_segment(video: &VideoConfig, audio: Option<&AudioConfig>) -> Arc<InitSegment> {
    let mut out = Vec::with_capacity(1024);
    put_box(&mut out, *b"ftyp", |out| {
        out.extend_from_slice(b"iso6");
        put_u32(out, 0);
        out.extend_from_slice(b"iso6cmfcmp41");
    });
    put_box(&mut out, *b"moov", |out| {
        put_full_box(out, *b"mvhd", 0, 0, |out| {
            put_zeros(out, 8);
            put_u32(out, MOVIE_HZ);
            put_u32(out, 0);
            put_u32(out, 0x10000);
            put_u16(out, 0x100);
            put_zeros(out, 10);
            put_matrix(out);
            put_zeros(out, 24);
            put_u32(out, AUDIO_TRACK + 1);
        });
        put_box(out, *b"trak", |out| video_track(out, video));
        if let Some(audio) = audio {
            put_box(out, *b"trak", |out| audio_track(out, audio));
        }
        put_box(out, *b"mvex", |out| {
            for track in if audio.is_some() { VIDEO_TRACK..=AUDIO_TRACK } else { VIDEO_TRACK..=VIDEO_TRACK } {
                put_full_box(out, *b"trex", 0, 0, |out| {
                    put_u32(out, track);
                    put_u32(out, 1);
                    put_zeros(out, 12);
                });
            }
        });
    });
    let audio_string = audio.map_or_else(String::new, |audio| format!(",{}", audio.codec_string()));
    Arc::new(InitSegment {
        id: Sha256::digest(&out).into(),
        data: out.into(),
        mime: format!("video/mp4; codecs=\"{}{audio_string}\"", video.codec_string),
        video_codec: video.codec,
        width: video.width,
        height: video.height,
        has_audio: audio.is_some(),
    })
}

fn video_track(out: &mut Vec<u8>, video: &VideoConfig) {
    track_header(out, VIDEO_TRACK, 0, video.width << 16, video.height << 16);
    put_box(out, *b"mdia", |out| {
        media_header(out, VIDEO_HZ as u32);
        handler(out, *b"vide", b"Video\0");
        put_box(out, *b"minf", |out| {
            put_full_box(out, *b"vmhd", 0, 1, |out| put_zeros(out, 8));
            data_reference(out);
            sample_table(out, |out| video_entry(out, video));
        });
    });
}

fn audio_track(out: &mut Vec<u8>, audio: &AudioConfig) {
    track_header(out, AUDIO_TRACK, 0x100, 0, 0);
    put_box(out, *b"mdia", |out| {
        media_header(out, audio.sample_rate);
        handler(out, *b"soun", b"Audio\0");
        put_box(out, *b"minf", |out| {
            put_full_box(out, *b"smhd", 0, 0, |out| put_zeros(out, 4));
            data_reference(out);
            sample_table(out, |out| audio_entry(out, audio));
        });
    });
}

fn track_header(out: &mut Vec<u8>, track: u32, volume: u16, width: u32, height: u32) {
    // Enabled, in the movie, in its preview.
    put_full_box(out, *b"tkhd", 0, 7, |out| {
        put_zeros(out, 8);
        put_u32(out, track);
        put_zeros(out, 16);
        put_u16(out, 0);
        put_u16(out, 0);
        put_u16(out, volume);
        put_u16(out, 0);
        put_matrix(out);
        put_u32(out, width);
        put_u32(out, height);
    });
}

fn put_matrix(out: &mut Vec<u8>) {
    for value in UNITY_MATRIX {
        put_u32(out, value);
    }
}

fn media_header(out: &mut Vec<u8>, timescale: u32) {
    put_full_box(out, *b"mdhd", 0, 0, |out| {
        put_zeros(out, 8);
        put_u32(out, timescale);
        put_u32(out, 0);
        put_u16(out, NO_LANGUAGE);
        put_u16(out, 0);
    });
}

fn handler(out: &mut Vec<u8>, kind: [u8; 4], name: &[u8]) {
    put_full_box(out, *b"hdlr", 0, 0, |out| {
        put_u32(out, 0);
        out.extend_from_slice(&kind);
        put_zeros(out, 12);
        out.extend_from_slice(name);
    });
}

fn data_reference(out: &mut Vec<u8>) {
    put_box(out, *b"dinf", |out| {
        put_full_box(out, *b"dref", 0, 0, |out| {
            put_u32(out, 1);
            // Flag 1: the media is in this file.
            put_full_box(out, *b"url ", 0, 1, |_| {});
        });
    });
}

fn sample_table(out: &mut Vec<u8>, entry: impl FnOnce(&mut Vec<u8>)) {
    put_box(out, *b"stbl", |out| {
        put_full_box(out, *b"stsd", 0, 0, |out| {
            put_u32(out, 1);
            entry(out);
        });
        for (kind, zeros) in [(*b"stts", 4), (*b"stsc", 4), (*b"stsz", 8), (*b"stco", 4)] {
            put_full_box(out, kind, 0, 0, |out| put_zeros(out, zeros));
        }
    });
}

fn video_entry(out: &mut Vec<u8>, video: &VideoConfig) {
    // hvc1 rather than hev1: Apple's players take no other.
    let kind = match video.codec {
        VideoCodec::H264 => *b"avc1",
        VideoCodec::H265 => *b"hvc1",
        VideoCodec::Mjpeg => *b"mp4v",
    };
    put_box(out, kind, |out| {
        put_zeros(out, 6);
        put_u16(out, 1);
        put_zeros(out, 16);
        put_u16(out, video.width as u16);
        put_u16(out, video.height as u16);
        // 72 dpi, twice.
        put_u32(out, 0x0048_0000);
        put_u32(out, 0x0048_0000);
        put_u32(out, 0);
        put_u16(out, 1);
        put_zeros(out, 32);
        put_u16(out, 0x18);
        put_u16(out, 0xffff);
        match video.codec {
            VideoCodec::H264 => put_box(out, *b"avcC", |out| out.extend_from_slice(&video.record)),
            VideoCodec::H265 => put_box(out, *b"hvcC", |out| out.extend_from_slice(&video.record)),
            // Object type 0x6c: ISO/IEC 10918-1 (JPEG).
            VideoCodec::Mjpeg => elementary_stream(out, VIDEO_TRACK, 0x6c, 0x11, &[]),
        }
    });
}

fn audio_entry(out: &mut Vec<u8>, audio: &AudioConfig) {
    put_box(out, *b"mp4a", |out| {
        put_zeros(out, 6);
        put_u16(out, 1);
        put_zeros(out, 8);
        put_u16(out, audio.channels);
        put_u16(out, 16);
        put_u32(out, 0);
        // 16.16; rates beyond it are in the decoder's own configuration.
        put_u32(out, u32::from(u16::try_from(audio.sample_rate).unwrap_or(0)) << 16);
        // Object type 0x40: ISO/IEC 14496-3 (AAC).
        elementary_stream(out, AUDIO_TRACK, 0x40, 0x15, &audio.specific);
    });
}

/// `esds` (ISO/IEC 14496-1 7.2.6): descriptors with one-byte lengths.
fn elementary_stream(out: &mut Vec<u8>, track: u32, object_type: u8, stream_type: u8, specific: &[u8]) {
    let mut decoder = vec![object_type, stream_type];
    put_zeros(&mut decoder, 11);
    if !specific.is_empty() {
        put_descriptor(&mut decoder, 5, specific);
    }
    let mut stream = Vec::new();
    put_u16(&mut stream, track as u16);
    stream.push(0);
    put_descriptor(&mut stream, 4, &decoder);
    put_descriptor(&mut stream, 6, &[2]);
    put_full_box(out, *b"esds", 0, 0, |out| put_descriptor(out, 3, &stream));
}

fn put_descriptor(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    // The specific configurations accepted by `AudioConfig` keep every length below 128.
    out.push(tag);
    out.push(content.len() as u8);
    out.extend_from_slice(content);
}
