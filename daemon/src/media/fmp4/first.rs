//! Pure. Takes the first video picture out of a fragment, and what its decoder needs out of the init segment.

use std::ops::Range;

use super::boxes::{BoxAt, boxes};
use super::init::VIDEO_TRACK;

/// Bytes of a visual sample entry before its child boxes (ISO/IEC 14496-12 12.1.3).
const VISUAL_ENTRY: usize = 78;
/// Version, flags and entry count of `stsd`.
const STSD_HEAD: usize = 8;

fn child(data: &[u8], of: BoxAt, kind: [u8; 4]) -> Option<BoxAt> {
    boxes(data, of.content, of.end).find(|found| found.kind == kind)
}

fn top(data: &[u8], kind: [u8; 4]) -> Option<BoxAt> {
    boxes(data, 0, data.len()).find(|found| found.kind == kind)
}

/// The content of `avcC` or `hvcC`; empty where the codec has none (MJPEG) or the segment cannot be read.
pub fn decoder_record(init: &[u8]) -> &[u8] {
    let entry = top(init, *b"moov")
        .and_then(|moov| child(init, moov, *b"trak"))
        .and_then(|trak| child(init, trak, *b"mdia"))
        .and_then(|mdia| child(init, mdia, *b"minf"))
        .and_then(|minf| child(init, minf, *b"stbl"))
        .and_then(|stbl| child(init, stbl, *b"stsd"))
        .and_then(|stsd| boxes(init, stsd.content.checked_add(STSD_HEAD)?, stsd.end).next());
    entry
        .and_then(|entry| boxes(init, entry.content.checked_add(VISUAL_ENTRY)?, entry.end).find(is_record))
        .and_then(|record| init.get(record.content..record.end))
        .unwrap_or_default()
}

fn is_record(found: &BoxAt) -> bool {
    matches!(&found.kind, b"avcC" | b"hvcC")
}

/// The first video sample of a `moof` + `mdat`, as it is stored.
pub fn first_sample(fragment: &[u8]) -> Option<&[u8]> {
    let at = first_sample_at(fragment)?;
    fragment.get(usize::try_from(at.start).ok()?..usize::try_from(at.end).ok()?)
}

/// Where in a fragment its first video sample lies; `head` need not reach beyond the `moof`.
pub fn first_sample_at(head: &[u8]) -> Option<Range<u64>> {
    let moof = top(head, *b"moof")?;
    let traf = boxes(head, moof.content, moof.end)
        .filter(|found| found.kind == *b"traf")
        .find(|traf| child(head, *traf, *b"tfhd").and_then(|tfhd| word(head, tfhd.content + 4)) == Some(VIDEO_TRACK))?;
    let trun = child(head, traf, *b"trun")?;
    let flags = word(head, trun.content)?;
    if word(head, trun.content + 4)? == 0 || flags & DATA_OFFSET == 0 || flags & SAMPLE_SIZE == 0 {
        return None;
    }
    let offset = u64::from(word(head, trun.content + 8)?);
    let mut at = trun.content + 12;
    for optional in [FIRST_FLAGS, SAMPLE_DURATION] {
        at += if flags & optional == 0 { 0 } else { 4 };
    }
    let start = (moof.start as u64).checked_add(offset)?;
    Some(start..start.checked_add(u64::from(word(head, at)?))?)
}

/// `trun` flags (ISO/IEC 14496-12 8.8.8).
const DATA_OFFSET: u32 = 0x1;
const FIRST_FLAGS: u32 = 0x4;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::moof::{Sample, chunk};
    use super::*;

    fn fragment() -> Bytes {
        let sample = |dts, text: &'static [u8]| Sample {
            data: Bytes::from_static(text),
            dts,
            duration: 3600,
            offset: 0,
            key: dts == 0,
        };
        chunk(1, &[sample(0, b"key picture"), sample(3600, b"second")], &[sample(0, b"sound")])
    }

    #[test]
    fn finds_the_first_picture_beside_sound() {
        assert_eq!(first_sample(&fragment()), Some(&b"key picture"[..]));
        assert_eq!(first_sample(b""), None);
        let whole = fragment();
        let moof = top(&whole, *b"moof").unwrap();
        assert_eq!(first_sample_at(&whole[..moof.end]), first_sample_at(&whole), "the `moof` is enough");
        assert_eq!(decoder_record(&fragment()), b"");
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0_usize..400, byte: u8, noise: Vec<u8>) {
            let mut data = fragment().to_vec();
            let at = at % data.len();
            data[at] = byte;
            first_sample(&data);
            decoder_record(&data);
            first_sample(&noise);
            decoder_record(&noise);
        }
    }
}
