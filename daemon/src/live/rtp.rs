//! Pure. Packs pictures and sound into RTP payloads: H.264 by RFC 6184 (packetization mode 1), H.265 by RFC 7798, AAC
//! by RFC 3640 (AAC-hbr).

use crate::media::{Picture, VideoCodec, sized_units};

/// H.264 and H.265 unit types that say nothing to a decoder behind RTP: access unit delimiters and filler.
const H264_NOTHING: [u8; 2] = [9, 12];
const H265_NOTHING: [u8; 2] = [35, 38];
const H264_SPS: u8 = 7;
const H265_VPS: u8 = 32;
const H264_FU_A: u8 = 28;
const H265_FU: u8 = 49;
/// Length of the headers in bits, then one of them.
const AAC_HEADER: usize = 4;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// The payloads of one picture, each at most `max` bytes; the last of them carries the marker. A key frame that comes
/// without its parameter sets gets them. Empty for codecs that have no such packets.
pub fn payloads(picture: &Picture, max: usize) -> Vec<Vec<u8>> {
    let codec = picture.config.codec;
    if codec == VideoCodec::Mjpeg {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(picture.data.len() / max.max(1) + 4);
    let described = sized_units(&picture.data).any(|unit| is_parameter_set(codec, unit));
    if picture.key && !described {
        picture.config.parameter_sets().iter().for_each(|set| split(codec, set, max, &mut out));
    }
    for unit in sized_units(&picture.data).filter(|unit| !says_nothing(codec, unit)) {
        split(codec, unit, max, &mut out);
    }
    out
}

/// The payloads of one frame of AAC, each with its header (RFC 3640 3.2.1) and at most `max` bytes. A frame that is cut
/// has its whole size in each header; the last piece carries the marker.
pub fn aac_payloads(frame: &[u8], max: usize) -> Vec<Vec<u8>> {
    // 13 bits of size, 3 of index; what does not fit into them is no frame of AAC.
    let Some(size) = u16::try_from(frame.len()).ok().filter(|size| *size < 1 << 13) else { return Vec::new() };
    let [high, low] = (size << 3).to_be_bytes();
    let pieces = frame.chunks(max.saturating_sub(AAC_HEADER).max(1));
    pieces.map(|piece| [&[0, 16, high, low], piece].concat()).collect()
}

fn unit_type(codec: VideoCodec, unit: &[u8]) -> u8 {
    let first = unit.first().copied().unwrap_or(0);
    if codec == VideoCodec::H265 { first >> 1 & 0x3f } else { first & 0x1f }
}

fn is_parameter_set(codec: VideoCodec, unit: &[u8]) -> bool {
    unit_type(codec, unit) == if codec == VideoCodec::H265 { H265_VPS } else { H264_SPS }
}

fn says_nothing(codec: VideoCodec, unit: &[u8]) -> bool {
    let nothing = if codec == VideoCodec::H265 { H265_NOTHING } else { H264_NOTHING };
    unit.is_empty() || nothing.contains(&unit_type(codec, unit))
}

fn split(codec: VideoCodec, unit: &[u8], max: usize, out: &mut Vec<Vec<u8>>) {
    if unit.len() <= max {
        out.push(unit.to_vec());
        return;
    }
    let kind = unit_type(codec, unit);
    // What stands before each piece, and how much of the unit those bytes replace.
    let (head, replaced) = match (codec, unit) {
        (VideoCodec::H265, [first, second, ..]) => (vec![first & 0x81 | H265_FU << 1, *second], 2),
        (_, [first, ..]) => (vec![first & 0xe0 | H264_FU_A], 1),
        _ => return,
    };
    let body = &unit[replaced..];
    let room = max.saturating_sub(head.len() + 1).max(1);
    let pieces = body.len().div_ceil(room);
    for (index, piece) in body.chunks(room).enumerate() {
        let start = if index == 0 { FU_START } else { 0 };
        let end = if index + 1 == pieces { FU_END } else { 0 };
        let mut payload = Vec::with_capacity(head.len() + 1 + piece.len());
        payload.extend_from_slice(&head);
        payload.push(start | end | kind);
        payload.extend_from_slice(piece);
        out.push(payload);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::base::time::UtcMicros;
    use crate::media::VideoConfig;

    const H264_SETS: [&str; 2] = ["6742c028d900780227e5c044000003000400000300f03c60c920", "68cb83cb20"];
    const H265_SETS: [&str; 3] = [
        "40010c01ffff01600000030090000003000003003f959809",
        "42010101600000030090000003000003003fa00502016965959a4932bc05a020000003002000000303c1",
        "4401c172b46240",
    ];

    fn picture(codec: VideoCodec, sets: &[&str], units: &[Vec<u8>], key: bool) -> Picture {
        let sets: Vec<Vec<u8>> = sets.iter().map(|set| hex::decode(set).unwrap()).collect();
        let config = VideoConfig::from_nals(codec, sets.iter().map(Vec::as_slice)).unwrap();
        let data: Vec<u8> =
            units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect();
        Picture { data: Bytes::from(data), key, time: UtcMicros(0), pts: 0, config: Arc::new(config) }
    }

    /// What a receiver puts together.
    fn joined(codec: VideoCodec, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (fragment, head) = if codec == VideoCodec::H265 { (H265_FU, 2) } else { (H264_FU_A, 1) };
        let mut units: Vec<Vec<u8>> = Vec::new();
        for payload in payloads {
            if unit_type(codec, payload) != fragment {
                units.push(payload.clone());
                continue;
            }
            let flags = payload[head];
            if flags & FU_START != 0 {
                let first = match codec {
                    VideoCodec::H265 => vec![payload[0] & 0x81 | (flags & 0x3f) << 1, payload[1]],
                    _ => vec![payload[0] & 0xe0 | flags & 0x1f],
                };
                units.push(first);
            }
            units.last_mut().unwrap().extend_from_slice(&payload[head + 1..]);
        }
        units
    }

    fn unit(first: &[u8], length: usize) -> Vec<u8> {
        first.iter().copied().chain((0..length).map(|n| n as u8)).collect()
    }

    #[test]
    fn large_units_are_split_and_come_together_again() {
        for (codec, sets, first) in
            [(VideoCodec::H264, &H264_SETS[..], vec![0x65]), (VideoCodec::H265, &H265_SETS[..], vec![0x26, 0x01])]
        {
            let units = vec![unit(&first, 5000), unit(&first, 10)];
            let packed = payloads(&picture(codec, sets, &units, false), 1200);
            assert!(packed.iter().all(|payload| payload.len() <= 1200));
            assert_eq!(packed.len(), 6);
            assert_eq!(joined(codec, &packed), units);
        }
    }

    #[test]
    fn key_frames_bring_their_parameter_sets_once() {
        let sps = hex::decode(H264_SETS[0]).unwrap();
        let pps = hex::decode(H264_SETS[1]).unwrap();
        let (idr, delimiter) = (unit(&[0x65], 5), vec![9, 0xf0]);
        let bare = picture(VideoCodec::H264, &H264_SETS, &[delimiter, idr.clone()], true);
        let whole = vec![sps, pps, idr];
        assert_eq!(payloads(&bare, 1200), whole);
        assert_eq!(payloads(&picture(VideoCodec::H264, &H264_SETS, &whole, true), 1200), whole);
    }

    #[test]
    fn aac_has_its_size_before_it() {
        assert_eq!(aac_payloads(&[7, 8, 9], 1400), [[0, 16, 0, 24, 7, 8, 9]]);
        let cut = aac_payloads(&[1; 2000], 1400);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [1400, 608]);
        assert!(cut.iter().all(|payload| payload[..4] == [0, 16, 0x3e, 0x80]));
        assert!(aac_payloads(&[0; 1 << 13], 1400).is_empty());
    }

    proptest! {
        #[test]
        fn any_units_survive(lengths in proptest::collection::vec(1usize..4000, 1..5), max in 16usize..1500) {
            let units: Vec<_> = lengths.iter().map(|length| unit(&[0x41], *length)).collect();
            let packed = payloads(&picture(VideoCodec::H264, &H264_SETS, &units, false), max);
            prop_assert!(packed.iter().all(|payload| payload.len() <= max));
            prop_assert_eq!(joined(VideoCodec::H264, &packed), units);
        }

        #[test]
        fn damaged_pictures_never_panic(data: Vec<u8>, max in 0usize..100) {
            let mut damaged = picture(VideoCodec::H265, &H265_SETS, &[], true);
            damaged.data = data.into();
            payloads(&damaged, max);
        }
    }
}
