//! Pure. A film of key frames alone, for playing faster than a browser can decode: each stands until the next.

use bytes::Bytes;

use super::boxes::{boxes, put_box};
use super::moof::{Sample, chunk};

/// The init segment without any track but the first, which is the video; players wait for a track that has no samples.
pub fn video_only(init: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(init.len());
    let copy = |out: &mut Vec<u8>, from: usize, to: usize| out.extend_from_slice(&init[from..to]);
    for top in boxes(init, 0, init.len()) {
        if top.kind != *b"moov" {
            copy(&mut out, top.start, top.end);
            continue;
        }
        put_box(&mut out, *b"moov", |out| {
            let mut tracks = 0;
            for part in boxes(init, top.content, top.end) {
                match &part.kind {
                    b"trak" => {
                        tracks += 1;
                        if tracks == 1 {
                            copy(out, part.start, part.end);
                        }
                    }
                    b"mvex" => put_box(out, *b"mvex", |out| {
                        let mut defaults = 0;
                        for inner in boxes(init, part.content, part.end) {
                            defaults += u32::from(inner.kind == *b"trex");
                            if inner.kind != *b"trex" || defaults == 1 {
                                copy(out, inner.start, inner.end);
                            }
                        }
                    }),
                    _ => copy(out, part.start, part.end),
                }
            }
        });
    }
    out
}

/// One key frame as a fragment; times in the timescale of video.
pub fn key_fragment(sequence: u32, picture: Bytes, start: i64, duration: u32) -> Bytes {
    chunk(sequence, &[Sample { data: picture, dts: start, duration, offset: 0, key: true }], &[])
}

/// The size of such a fragment, before its picture has been read.
pub fn key_fragment_bytes(picture: u64) -> u64 {
    key_fragment(0, Bytes::new(), 0, 0).len() as u64 + picture
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::boxes::{put_full_box, put_u32};
    use super::*;

    fn init() -> Vec<u8> {
        let mut out = Vec::new();
        put_box(&mut out, *b"ftyp", |out| out.extend_from_slice(b"iso6"));
        put_box(&mut out, *b"moov", |out| {
            put_box(out, *b"trak", |out| out.extend_from_slice(b"video"));
            put_box(out, *b"trak", |out| out.extend_from_slice(b"sound"));
            put_box(out, *b"mvex", |out| {
                for track in [1, 2] {
                    put_full_box(out, *b"trex", 0, 0, |out| put_u32(out, track));
                }
            });
        });
        out
    }

    #[test]
    fn sound_is_left_out_and_the_size_is_known_before() {
        let out = video_only(&init());
        let has = |text: &[u8]| out.windows(text.len()).any(|window| window == text);
        assert!(has(b"video") && !has(b"sound"));
        assert_eq!(out.windows(4).filter(|window| window == b"trex").count(), 1);
        assert_eq!(boxes(&out, 0, out.len()).last().map(|last| last.end), Some(out.len()));
        let picture = Bytes::from_static(b"a picture");
        assert_eq!(key_fragment(7, picture, 90, 1).len() as u64, key_fragment_bytes(9));
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(noise: Vec<u8>, at in 0_usize..200, byte: u8) {
            let mut data = init();
            let at = at % data.len();
            data[at] = byte;
            video_only(&data);
            video_only(&noise);
        }
    }
}
