//! Pure. What a stream's parameter sets say: the size, the codec string, and the box that describes it to a player.

mod bits;
pub mod h264;
pub mod hevc;

use std::fmt::{self, Write as _};
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Video codecs that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    H264,
    H265,
    Mjpeg,
}

impl VideoCodec {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Mjpeg => "mjpeg",
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for VideoCodec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::H264, Self::H265, Self::Mjpeg]
            .into_iter()
            .find(|codec| codec.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a video codec"))
    }
}

/// Everything about a video stream that its initialization segment and its decoder need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    pub codec: VideoCodec,
    pub width: u32,
    pub height: u32,
    /// RFC 6381.
    pub codec_string: String,
    /// `avcC` or `hvcC` payload; empty for MJPEG.
    pub record: Bytes,
    /// Frames by which decode order may run ahead of display order; `None` where the stream does not say.
    pub reorder: Option<usize>,
    pub frames_only: bool,
    sets: Vec<Bytes>,
}

/// Larger pictures come from damaged headers: no decoder in use takes more.
const MAX_SIDE: u32 = 16_384;

impl VideoConfig {
    /// From the NAL units of a key frame or of the session description. `None` while a parameter set is missing or
    /// unreadable.
    pub fn from_nals<'a>(codec: VideoCodec, nals: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let sets = parameter_sets(codec, nals);
        match codec {
            VideoCodec::H264 => Self::h264(sets),
            VideoCodec::H265 => Self::h265(sets),
            VideoCodec::Mjpeg => None,
        }
        .filter(|config| (1..=MAX_SIDE).contains(&config.width) && (1..=MAX_SIDE).contains(&config.height))
    }

    /// From the frame header of a JPEG picture (ITU-T T.81 B.2.2).
    pub fn from_jpeg(picture: &[u8]) -> Option<Self> {
        let mut at = 2;
        loop {
            let header = picture.get(at..at + 4)?;
            if header[0] != 0xff {
                return None;
            }
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            if matches!(header[1], 0xc0..=0xc3) {
                let size = picture.get(at + 5..at + 9)?;
                let height = u32::from(u16::from_be_bytes([size[0], size[1]]));
                let width = u32::from(u16::from_be_bytes([size[2], size[3]]));
                return (width > 0 && height > 0).then(|| Self {
                    codec: VideoCodec::Mjpeg,
                    width,
                    height,
                    codec_string: "mp4v.6C".to_owned(),
                    record: Bytes::new(),
                    reorder: Some(0),
                    frames_only: true,
                    sets: Vec::new(),
                });
            }
            at = at.checked_add(2)?.checked_add(length)?;
        }
    }

    /// The NAL units that a decoder needs before the first picture.
    pub fn parameter_sets(&self) -> &[Bytes] {
        &self.sets
    }

    /// Whether a key frame that carries these NAL units still belongs to this configuration. One without parameter
    /// sets does.
    pub fn still_fits<'a>(&self, nals: impl Iterator<Item = &'a [u8]>) -> bool {
        let found = parameter_sets(self.codec, nals);
        found.is_empty() || found.iter().all(|set| self.sets.contains(set))
    }

    fn h264(sets: Vec<Bytes>) -> Option<Self> {
        let of = |kind| sets.iter().filter(move |set| h264::nal_type(set) == kind);
        let sps = h264::parse_sps(of(h264::NAL_SPS).next()?)?;
        of(h264::NAL_PPS).next()?;
        let mut record = vec![1, sps.profile[0], sps.profile[1], sps.profile[2], 0xff];
        record.push(0xe0 | (of(h264::NAL_SPS).count() as u8 & 0x1f));
        of(h264::NAL_SPS).for_each(|set| push_sized(&mut record, set));
        record.push(of(h264::NAL_PPS).count() as u8);
        of(h264::NAL_PPS).for_each(|set| push_sized(&mut record, set));
        Some(Self {
            codec: VideoCodec::H264,
            width: sps.width,
            height: sps.height,
            codec_string: format!("avc1.{:02X}{:02X}{:02X}", sps.profile[0], sps.profile[1], sps.profile[2]),
            record: record.into(),
            reorder: sps.reorder,
            frames_only: sps.frames_only,
            sets,
        })
    }

    fn h265(sets: Vec<Bytes>) -> Option<Self> {
        let of = |kind| sets.iter().filter(move |set| hevc::nal_type(set) == kind);
        let sps = hevc::parse_sps(of(hevc::NAL_SPS).next()?)?;
        let kinds = [hevc::NAL_VPS, hevc::NAL_SPS, hevc::NAL_PPS];
        if kinds.iter().any(|&kind| of(kind).next().is_none()) {
            return None;
        }
        let mut record = vec![1];
        record.extend_from_slice(&sps.profile);
        record.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | (sps.chroma_format & 3)]);
        record.push(0xf8 | (sps.bit_depth_luma_minus8 & 7));
        record.push(0xf8 | (sps.bit_depth_chroma_minus8 & 7));
        record.extend_from_slice(&[0, 0, (sps.temporal_layers & 7) << 3 | u8::from(sps.temporal_id_nested) << 2 | 3]);
        record.push(kinds.len() as u8);
        for kind in kinds {
            record.push(0x80 | kind);
            record.extend_from_slice(&(of(kind).count() as u16).to_be_bytes());
            of(kind).for_each(|set| push_sized(&mut record, set));
        }
        Some(Self {
            codec: VideoCodec::H265,
            width: sps.width,
            height: sps.height,
            codec_string: hevc_codec_string(&sps.profile),
            record: record.into(),
            reorder: Some(sps.reorder),
            frames_only: true,
            sets,
        })
    }
}

/// In order, each once. A set that does not fit the 16-bit length of its box is damaged and left out.
fn parameter_sets<'a>(codec: VideoCodec, nals: impl Iterator<Item = &'a [u8]>) -> Vec<Bytes> {
    let mut sets: Vec<Bytes> = Vec::new();
    for nal in nals {
        let wanted = match codec {
            VideoCodec::H264 => matches!(h264::nal_type(nal), h264::NAL_SPS | h264::NAL_PPS),
            VideoCodec::H265 => (hevc::NAL_VPS..=hevc::NAL_PPS).contains(&hevc::nal_type(nal)),
            VideoCodec::Mjpeg => false,
        };
        // More sets than any camera sends are damage too; the boxes count them in five bits.
        if wanted && sets.len() < 31 && u16::try_from(nal.len()).is_ok() && !sets.iter().any(|set| set == nal) {
            sets.push(Bytes::copy_from_slice(nal));
        }
    }
    sets
}

fn push_sized(record: &mut Vec<u8>, set: &[u8]) {
    record.extend_from_slice(&(set.len() as u16).to_be_bytes());
    record.extend_from_slice(set);
}

/// ISO/IEC 14496-15 annex E.3.
fn hevc_codec_string(profile: &[u8; 12]) -> String {
    let space = ["", "A", "B", "C"][usize::from(profile[0] >> 6)];
    let tier = if profile[0] & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([profile[1], profile[2], profile[3], profile[4]]).reverse_bits();
    let mut text = format!("hvc1.{space}{}.{compatibility:X}.{tier}{}", profile[0] & 0x1f, profile[11]);
    let constraints = &profile[5..11];
    let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        // Writing to a string cannot fail.
        let _ = write!(text, ".{byte:X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nals(hex: &[&str]) -> Vec<Vec<u8>> {
        hex.iter().map(|text| hex::decode(text).unwrap()).collect()
    }

    #[test]
    fn reads_h264() {
        // x264, 640x360, High, two B-frames.
        let sets = nals(&["6764001eacd940a02ff970110000030001000003003c0f162d96", "68ebe3cb22c0"]);
        let config = VideoConfig::from_nals(VideoCodec::H264, sets.iter().map(Vec::as_slice)).unwrap();
        assert_eq!((config.width, config.height), (640, 360));
        assert_eq!(config.codec_string, "avc1.64001E");
        assert_eq!(config.reorder, Some(2));
        assert!(config.frames_only);
        assert!(config.still_fits(std::iter::empty()));
        assert!(config.still_fits(sets.iter().map(Vec::as_slice)));
        let other = nals(&["6742c028d900780227e5c044000003000400000300f03c60c920"]);
        assert!(!config.still_fits(other.iter().map(Vec::as_slice)));
    }

    #[test]
    fn crops_a_height_that_is_no_multiple_of_16() {
        let sets = nals(&["6742c028d900780227e5c044000003000400000300f03c60c920", "68cb83cb20"]);
        let config = VideoConfig::from_nals(VideoCodec::H264, sets.iter().map(Vec::as_slice)).unwrap();
        assert_eq!((config.width, config.height, config.reorder), (1920, 1080, Some(0)));
    }

    #[test]
    fn reads_hevc() {
        let sets = nals(&[
            "40010c01ffff01600000030090000003000003003f959809",
            "42010101600000030090000003000003003fa00502016965959a4932bc05a020000003002000000303c1",
            "4401c172b46240",
        ]);
        let config = VideoConfig::from_nals(VideoCodec::H265, sets.iter().map(Vec::as_slice)).unwrap();
        assert_eq!((config.width, config.height), (640, 360));
        assert_eq!(config.codec_string, "hvc1.1.6.L63.90");
        assert_eq!(config.record[12], 63);
        assert_eq!(config.reorder, Some(2));
    }

    #[test]
    fn a_missing_or_damaged_set_gives_nothing() {
        for sets in
            [nals(&["68ebe3cb22c0"]), nals(&["6764", "68ebe3cb22c0"]), nals(&["6742c02800000000000000", "68eb"])]
        {
            assert!(VideoConfig::from_nals(VideoCodec::H264, sets.iter().map(Vec::as_slice)).is_none());
            assert!(VideoConfig::from_nals(VideoCodec::H265, sets.iter().map(Vec::as_slice)).is_none());
        }
        assert!(VideoConfig::from_jpeg(&[0xff, 0xd8, 0xff, 0xe0, 0xff]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn outside_bytes_never_panic(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut h264 = vec![0x67];
            h264.extend_from_slice(&data);
            let _ = h264::parse_sps(&h264);
            let mut hevc = vec![0x42, 0x01];
            hevc.extend_from_slice(&data);
            let _ = hevc::parse_sps(&hevc);
            let _ = VideoConfig::from_jpeg(&data);
        }
    }
}
