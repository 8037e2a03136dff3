//! Pure. RTP payloads to pieces of NAL units: RFC 6184 (H.264, packetization modes 0 and 1) and RFC 7798 (H.265 without
//! decoding order numbers, which is what cameras send).

use crate::media::codec::VideoCodec;

/// A NAL unit or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A unit begins: its header, where that was not sent as such, and its first bytes.
    Begin { header: [u8; 2], header_bytes: usize, data: &'a [u8] },
    /// The unit goes on.
    More(&'a [u8]),
    /// A part of the unit under way was lost: none of it can be used.
    Broken,
}

impl<'a> Piece<'a> {
    fn whole(data: &'a [u8]) -> Self {
        Self::Begin { header: [0; 2], header_bytes: 0, data }
    }

    /// The header as bytes; empty where `data` has it.
    pub fn header(&self) -> &[u8] {
        match self {
            Self::Begin { header, header_bytes, .. } => &header[..*header_bytes],
            _ => &[],
        }
    }
}

const H264_STAP_A: u8 = 24;
const H264_FU_A: u8 = 28;
const H265_AGGREGATION: u8 = 48;
const H265_FRAGMENT: u8 = 49;

/// One video track of one connection.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    codec: VideoCodec,
    /// A fragmented unit is under way.
    open: bool,
    /// Payloads that no unit could be read from.
    pub damaged: u64,
}

impl Depacketizer {
    /// MJPEG (RFC 2435) is not read here.
    pub fn new(codec: VideoCodec) -> Self {
        Self { codec, open: false, damaged: 0 }
    }

    /// `lost`: packets are missing before this one.
    pub fn push<'a>(&mut self, payload: &'a [u8], lost: bool, mut each: impl FnMut(Piece<'a>)) {
        if lost && std::mem::take(&mut self.open) {
            each(Piece::Broken);
        }
        let understood = match self.codec {
            VideoCodec::H264 => self.h264(payload, &mut each),
            VideoCodec::H265 => self.h265(payload, &mut each),
            VideoCodec::Mjpeg => None,
        };
        if understood.is_none() {
            self.damaged += 1;
            if std::mem::take(&mut self.open) {
                each(Piece::Broken);
            }
        }
    }

    fn h264<'a>(&mut self, payload: &'a [u8], each: &mut impl FnMut(Piece<'a>)) -> Option<()> {
        match payload.first()? & 0x1f {
            1..=23 => self.whole(payload, each),
            H264_STAP_A => self.aggregate(&payload[1..], each)?,
            H264_FU_A => {
                let &[indicator, fragment, ref data @ ..] = payload else { return None };
                let header = [indicator & 0xe0 | fragment & 0x1f, 0];
                self.fragment(fragment, header, 1, data, each);
            }
            _ => return None,
        }
        Some(())
    }

    fn h265<'a>(&mut self, payload: &'a [u8], each: &mut impl FnMut(Piece<'a>)) -> Option<()> {
        let &[first, second, ref rest @ ..] = payload else { return None };
        match first >> 1 & 0x3f {
            0..=47 => self.whole(payload, each),
            H265_AGGREGATION => self.aggregate(rest, each)?,
            H265_FRAGMENT => {
                let &[fragment, ref data @ ..] = rest else { return None };
                let header = [first & 0x81 | (fragment & 0x3f) << 1, second];
                self.fragment(fragment, header, 2, data, each);
            }
            _ => return None,
        }
        Some(())
    }

    fn whole<'a>(&mut self, unit: &'a [u8], each: &mut impl FnMut(Piece<'a>)) {
        if std::mem::take(&mut self.open) {
            each(Piece::Broken);
        }
        each(Piece::whole(unit));
    }

    /// Units behind 16-bit lengths.
    fn aggregate<'a>(&mut self, mut rest: &'a [u8], each: &mut impl FnMut(Piece<'a>)) -> Option<()> {
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let unit = tail.get(..length).filter(|unit| !unit.is_empty())?;
            self.whole(unit, each);
            rest = &tail[length..];
        }
        // A byte or two of padding at the end, as some cameras send, harm nobody.
        Some(())
    }

    /// The fragment header's first two bits say where the unit begins and ends, in both codecs.
    fn fragment<'a>(
        &mut self,
        bits: u8,
        header: [u8; 2],
        header_bytes: usize,
        data: &'a [u8],
        each: &mut impl FnMut(Piece<'a>),
    ) {
        let (begins, ends) = (bits & 0x80 != 0, bits & 0x40 != 0);
        if begins {
            if std::mem::take(&mut self.open) {
                each(Piece::Broken);
            }
            each(Piece::Begin { header, header_bytes, data });
        } else if self.open {
            each(Piece::More(data));
        } else {
            // The beginning was lost: what is left of the unit is skipped.
            return;
        }
        self.open = !ends;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whole units out of payloads; an empty one for each that broke.
    fn units(codec: VideoCodec, payloads: &[(&[u8], bool)]) -> (Vec<Vec<u8>>, u64) {
        let mut depacketizer = Depacketizer::new(codec);
        let mut units: Vec<Vec<u8>> = Vec::new();
        for (payload, lost) in payloads {
            depacketizer.push(payload, *lost, |piece| match piece {
                Piece::Begin { data, .. } => units.push([piece.header(), data].concat()),
                Piece::More(data) => units.last_mut().expect("a unit began").extend_from_slice(data),
                Piece::Broken => units.last_mut().expect("a unit began").clear(),
            });
        }
        (units, depacketizer.damaged)
    }

    #[test]
    fn h264_single_aggregated_and_fragmented_units() {
        let payloads: [(&[u8], bool); 5] = [
            (&[0x78, 0, 2, 0x67, 1, 0, 3, 0x68, 2, 3], false),
            (&[0x7c, 0x85, 10, 11], false),
            (&[0x7c, 0x05, 12], false),
            (&[0x7c, 0x45, 13], false),
            (&[0x41, 0x9a, 9], false),
        ];
        let (found, damaged) = units(VideoCodec::H264, &payloads);
        let expected: [&[u8]; 4] = [&[0x67, 1], &[0x68, 2, 3], &[0x65, 10, 11, 12, 13], &[0x41, 0x9a, 9]];
        assert_eq!((found, damaged), (expected.map(<[u8]>::to_vec).to_vec(), 0));
    }

    #[test]
    fn h265_single_aggregated_and_fragmented_units() {
        let payloads: [(&[u8], bool); 3] = [
            (&[0x60, 1, 0, 3, 0x40, 1, 5, 0, 2, 0x42, 1], false),
            (&[0x62, 1, 0x93, 7], false),
            (&[0x62, 1, 0x53, 8], false),
        ];
        let (found, damaged) = units(VideoCodec::H265, &payloads);
        let expected: [&[u8]; 3] = [&[0x40, 1, 5], &[0x42, 1], &[0x26, 1, 7, 8]];
        assert_eq!((found, damaged), (expected.map(<[u8]>::to_vec).to_vec(), 0));
    }

    #[test]
    fn a_loss_within_a_unit_breaks_that_unit_alone() {
        let payloads: [(&[u8], bool); 5] = [
            (&[0x7c, 0x85, 10], false),
            (&[0x7c, 0x45, 13], true),
            (&[0x41, 0x9a], false),
            (&[0x7c, 0x81, 1], true),
            (&[0x7c, 0x41, 2], false),
        ];
        let (found, damaged) = units(VideoCodec::H264, &payloads);
        assert_eq!((found, damaged), (vec![vec![], vec![0x41, 0x9a], vec![0x61, 1, 2]], 0));
    }

    proptest! {
        #[test]
        fn any_payload_is_read_without_a_panic(
            payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 0..40)
        ) {
            for codec in [VideoCodec::H264, VideoCodec::H265, VideoCodec::Mjpeg] {
                let borrowed: Vec<(&[u8], bool)> = payloads.iter().map(|(data, lost)| (&data[..], *lost)).collect();
                let sent: usize = payloads.iter().map(|(data, _)| data.len() + 2).sum();
                let (found, _) = units(codec, &borrowed);
                prop_assert!(found.iter().map(Vec::len).sum::<usize>() <= sent);
            }
        }
    }
}
