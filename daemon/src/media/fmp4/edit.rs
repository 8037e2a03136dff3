//! Pure. Lets a file of stored fragments begin at zero in players without touching the fragments: an edit list (ISO/IEC
//! 14496-12 8.6.6) in the init segment says at which decode time each track begins.

use super::boxes::{BoxAt, boxes, put_box, put_full_box, put_u16, put_u32, put_u64};

/// The init segment for a file that begins with `fragment` (its `moof` is enough). Unchanged where either is not
/// understood.
pub fn beginning_with(init: &[u8], fragment: &[u8], duration_us: i64) -> Vec<u8> {
    let starts = decode_times(fragment);
    let mut out = Vec::with_capacity(init.len() + 80);
    let copy = |out: &mut Vec<u8>, part: BoxAt| out.extend_from_slice(&init[part.start..part.end]);
    let mut rest = 0;
    for top in boxes(init, 0, init.len()) {
        rest = top.end;
        if top.kind != *b"moov" {
            copy(&mut out, top);
            continue;
        }
        let movie_hz = boxes(init, top.content, top.end)
            .find(|part| part.kind == *b"mvhd")
            .and_then(|mvhd| word(init, mvhd.content + 12))
            .unwrap_or(0);
        let duration = i128::from(duration_us.max(0)) * i128::from(movie_hz) / 1_000_000;
        put_box(&mut out, *b"moov", |out| {
            for part in boxes(init, top.content, top.end) {
                if part.kind == *b"trak" {
                    put_box(out, *b"trak", |out| track(out, init, part, &starts, duration as u64));
                } else {
                    copy(out, part);
                }
            }
        });
    }
    out.extend_from_slice(&init[rest..]);
    out
}

fn track(out: &mut Vec<u8>, init: &[u8], trak: BoxAt, starts: &[(u32, u64)], duration: u64) {
    for part in boxes(init, trak.content, trak.end).filter(|part| part.kind != *b"edts") {
        out.extend_from_slice(&init[part.start..part.end]);
        if part.kind != *b"tkhd" {
            continue;
        }
        // The id stands behind two times, which version 1 has in 64 bits.
        let at = if init.get(part.content) == Some(&1) { 20 } else { 12 };
        let id = word(init, part.content + at);
        let Some((_, start)) = starts.iter().find(|(track, _)| Some(*track) == id) else { continue };
        put_box(out, *b"edts", |out| {
            put_full_box(out, *b"elst", 1, 0, |out| {
                put_u32(out, 1);
                put_u64(out, duration);
                put_u64(out, *start);
                put_u16(out, 1);
                put_u16(out, 0);
            });
        });
    }
}

/// Of each track in the first `moof`: its id and the decode time of its first sample.
fn decode_times(fragment: &[u8]) -> Vec<(u32, u64)> {
    let Some(moof) = boxes(fragment, 0, fragment.len()).find(|found| found.kind == *b"moof") else {
        return Vec::new();
    };
    let trafs = boxes(fragment, moof.content, moof.end).filter(|found| found.kind == *b"traf");
    trafs
        .filter_map(|traf| {
            let find = |kind: [u8; 4]| boxes(fragment, traf.content, traf.end).find(|found| found.kind == kind);
            let (tfhd, tfdt) = (find(*b"tfhd")?, find(*b"tfdt")?);
            let time = match fragment.get(tfdt.content)? {
                1 => {
                    let bytes = fragment.get(tfdt.content + 4..tfdt.content + 12)?;
                    u64::from_be_bytes(bytes.try_into().ok()?)
                }
                _ => u64::from(word(fragment, tfdt.content + 4)?),
            };
            Some((word(fragment, tfhd.content + 4)?, time))
        })
        .collect()
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::boxes::put_zeros;
    use super::super::moof::{Sample, chunk};
    use super::*;

    fn init() -> Vec<u8> {
        let mut out = Vec::new();
        put_box(&mut out, *b"moov", |out| {
            put_full_box(out, *b"mvhd", 0, 0, |out| {
                put_zeros(out, 8);
                put_u32(out, 1000);
            });
            put_box(out, *b"trak", |out| {
                put_full_box(out, *b"tkhd", 0, 7, |out| {
                    put_zeros(out, 8);
                    put_u32(out, 1);
                });
            });
        });
        out
    }

    fn fragment() -> Bytes {
        let data = Bytes::from_static(b"picture");
        chunk(1, &[Sample { data, dts: 900_000, duration: 3600, offset: 0, key: true }], &[])
    }

    #[test]
    fn a_track_begins_with_its_first_sample() {
        let out = beginning_with(&init(), &fragment(), 5_000_000);
        let at = out.windows(4).position(|window| window == b"elst").unwrap();
        let wide = |at: usize| u64::from_be_bytes(out[at..at + 8].try_into().unwrap());
        assert_eq!((wide(at + 12), wide(at + 20)), (5000, 900_000));
        assert_eq!(boxes(&out, 0, out.len()).last().map(|last| last.end), Some(out.len()));
        assert_eq!(beginning_with(&init(), b"no fragment", 1), init());
        assert_eq!(beginning_with(b"no init", &fragment(), 1), b"no init");
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0_usize..400, byte: u8, noise: Vec<u8>) {
            let (mut head, mut data) = (init(), fragment().to_vec());
            let (head_at, data_at) = (at % head.len(), at % data.len());
            (head[head_at], data[data_at]) = (byte, byte);
            beginning_with(&head, &data, 1);
            beginning_with(&noise, &noise, -1);
        }
    }
}
