//! Pure. Turns stored fragments into one file that starts at time zero: decode times are moved, an index (`sidx`) and
//! a duration (`mehd`) are added, so that players seek without reading everything. Sizes never change.

use super::boxes::{BoxAt, boxes, put_box, put_full_box, put_u16, put_u32, put_u64};
use super::init::VIDEO_TRACK;
use crate::media::timeline::VIDEO_HZ;

/// The init segment with the file's whole duration.
pub fn with_duration(init: &[u8], duration_us: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(init.len() + 20);
    for top in boxes(init, 0, init.len()) {
        if top.kind != *b"moov" {
            out.extend_from_slice(&init[top.start..top.end]);
            continue;
        }
        put_box(&mut out, *b"moov", |out| {
            for part in boxes(init, top.content, top.end) {
                if part.kind != *b"mvex" {
                    out.extend_from_slice(&init[part.start..part.end]);
                    continue;
                }
                put_box(out, *b"mvex", |out| {
                    // The movie's timescale is 1000.
                    put_full_box(out, *b"mehd", 1, 0, |out| put_u64(out, (duration_us / 1000).max(0) as u64));
                    out.extend_from_slice(&init[part.content..part.end]);
                });
            }
        });
    }
    out
}

/// One entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidxEntry {
    pub bytes: u32,
    /// 1/90000 s.
    pub duration: u32,
    pub key: bool,
}

/// The most entries a `sidx` can have.
pub const SIDX_MAX: usize = u16::MAX as usize;

/// The segment index box (ISO/IEC 14496-12 8.16.3), to stand between the init segment and the first fragment.
pub fn sidx(entries: &[SidxEntry]) -> Vec<u8> {
    let entries = &entries[..entries.len().min(SIDX_MAX)];
    let mut out = Vec::with_capacity(40 + 12 * entries.len());
    put_full_box(&mut out, *b"sidx", 1, 0, |out| {
        put_u32(out, VIDEO_TRACK);
        put_u32(out, VIDEO_HZ as u32);
        put_u64(out, 0);
        put_u64(out, 0);
        put_u16(out, 0);
        put_u16(out, entries.len() as u16);
        for entry in entries {
            put_u32(out, entry.bytes & 0x7fff_ffff);
            put_u32(out, entry.duration);
            // Starts with a stream access point of type 1.
            put_u32(out, if entry.key { 0x9000_0000 } else { 0 });
        }
    });
    out
}

/// Moves the decode times of stored fragments.
#[derive(Clone, Copy, Debug)]
pub struct Retimer {
    /// Ticks per second of the audio track; 0 without one.
    pub audio_hz: i64,
}

impl Retimer {
    /// From an init segment: the timescale of its second track.
    pub fn of(init: &[u8]) -> Self {
        let child = |of: BoxAt, kind: [u8; 4]| boxes(init, of.content, of.end).find(|found| found.kind == kind);
        let audio_hz = boxes(init, 0, init.len())
            .find(|top| top.kind == *b"moov")
            .and_then(|moov| boxes(init, moov.content, moov.end).filter(|found| found.kind == *b"trak").nth(1))
            .and_then(|trak| child(trak, *b"mdia"))
            .and_then(|mdia| child(mdia, *b"mdhd"))
            .and_then(|mdhd| init.get(mdhd.content + 12..mdhd.content + 16))
            .map_or(0, |rate| i64::from(u32::from_be_bytes([rate[0], rate[1], rate[2], rate[3]])));
        Self { audio_hz }
    }

    /// Sets the decode time of the first video sample in `data` (one or more `moof` + `mdat`) to `start` and moves
    /// everything else with it; `sequence` numbers the first `moof`. False where `data` is not a fragment.
    pub fn retime(self, data: &mut [u8], start: i64, sequence: u32) -> bool {
        let moofs: Vec<BoxAt> = boxes(data, 0, data.len()).filter(|found| found.kind == *b"moof").collect();
        let mut shift = None;
        for (count, moof) in moofs.iter().enumerate() {
            let parts: Vec<BoxAt> = boxes(data, moof.content, moof.end).collect();
            for part in parts {
                match &part.kind {
                    b"mfhd" => put(data, part.content + 4, &sequence.wrapping_add(count as u32).to_be_bytes()),
                    b"traf" => self.retime_track(data, part, start, &mut shift),
                    _ => {}
                }
            }
        }
        shift.is_some()
    }

    fn retime_track(self, data: &mut [u8], traf: BoxAt, start: i64, shift: &mut Option<i64>) {
        let parts: Vec<BoxAt> = boxes(data, traf.content, traf.end).collect();
        let find = |kind: &[u8; 4]| parts.iter().find(|part| part.kind == *kind);
        let (Some(tfhd), Some(tfdt)) = (find(b"tfhd"), find(b"tfdt")) else { return };
        let Some(track) = get_u32(data, tfhd.content + 4) else { return };
        let Some(time) = get_u64(data, tfdt.content + 4).filter(|_| tfdt.end - tfdt.content == 12) else { return };
        let time = time as i64;
        let moved = if track == VIDEO_TRACK {
            time + *shift.get_or_insert(start - time)
        } else {
            // A fragment without video cannot be placed; the muxer writes none.
            let Some(shift) = *shift else { return };
            time + (i128::from(shift) * i128::from(self.audio_hz) / i128::from(VIDEO_HZ)) as i64
        };
        put(data, tfdt.content + 4, &moved.max(0).to_be_bytes());
    }
}

fn get_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

fn get_u64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = data.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::moof::{Sample, chunk};
    use super::*;

    fn sample(dts: i64, text: &'static [u8]) -> Sample {
        Sample { data: Bytes::from_static(text), dts, duration: 3600, offset: 0, key: true }
    }

    fn times(data: &[u8]) -> Vec<u64> {
        let mut found = Vec::new();
        for moof in boxes(data, 0, data.len()).filter(|found| found.kind == *b"moof") {
            for traf in boxes(data, moof.content, moof.end).filter(|found| found.kind == *b"traf") {
                let tfdt = boxes(data, traf.content, traf.end).find(|found| found.kind == *b"tfdt").unwrap();
                found.push(get_u64(data, tfdt.content + 4).unwrap());
            }
        }
        found
    }

    #[test]
    fn moves_video_and_audio_together() {
        let mut data = chunk(7, &[sample(900_000, b"v")], &[sample(80_100, b"a")]).to_vec();
        let mut second = chunk(8, &[sample(918_000, b"v")], &[sample(81_700, b"a")]).to_vec();
        data.append(&mut second);
        let before = data.len();
        assert!(Retimer { audio_hz: 8000 }.retime(&mut data, 0, 1));
        assert_eq!(data.len(), before);
        assert_eq!(times(&data), [0, 100, 18_000, 1700]);
    }

    proptest! {
        #[test]
        fn damaged_fragments_never_panic(at in 0usize..120, value in any::<u8>(), cut in 0usize..120) {
            let mut data = chunk(7, &[sample(900_000, b"video")], &[sample(80_100, b"audio")]).to_vec();
            let at = at % data.len();
            data[at] = value;
            data.truncate(data.len() - cut % data.len());
            Retimer { audio_hz: 8000 }.retime(&mut data, 5, 1);
            Retimer::of(&data);
            with_duration(&data, 1);
        }
    }
}
