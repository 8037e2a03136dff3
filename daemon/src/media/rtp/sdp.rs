//! Pure. Parameter sets out of a session description (RFC 6184 8.2.1, RFC 7798 7.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::media::codec::VideoCodec;

/// The parameter sets of the first video track behind start codes; empty where it names none. What cannot be read is
/// left out: most cameras send the sets with each key frame as well.
pub fn described_sets(description: &[u8], codec: VideoCodec) -> Vec<u8> {
    let text = String::from_utf8_lossy(description);
    let names: &[&str] = match codec {
        VideoCodec::H264 => &["sprop-parameter-sets"],
        VideoCodec::H265 => &["sprop-vps", "sprop-sps", "sprop-pps"],
        VideoCodec::Mjpeg => &[],
    };
    let formats = text
        .lines()
        .skip_while(|line| !line.starts_with("m=video"))
        .skip(1)
        .take_while(|line| !line.starts_with("m="))
        .filter_map(|line| line.strip_prefix("a=fmtp:")?.split_once(' '));
    let mut sets = Vec::new();
    for (_, parameters) in formats {
        for (name, value) in parameters.split(';').filter_map(|parameter| parameter.trim().split_once('=')) {
            if !names.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                continue;
            }
            for set in value.split(',').filter_map(|set| STANDARD.decode(set.trim()).ok()) {
                // Some cameras put start codes into the description.
                let set = set.strip_prefix(&[0, 0, 0, 1]).unwrap_or(&set);
                sets.extend_from_slice(&[0, 0, 0, 1]);
                sets.extend_from_slice(set);
            }
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_video_track_only() {
        let description = "v=0\r\nm=audio 0 RTP/AVP 97\r\na=fmtp:97 sprop-parameter-sets=AAAA\r\nm=video 0 RTP/AVP 96\r\n\
            a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z2Q=,aOs=;profile-level-id=640028\r\n\
            m=application 0 RTP/AVP 107\r\na=fmtp:107 sprop-parameter-sets=AAAA\r\n";
        let sets = described_sets(description.as_bytes(), VideoCodec::H264);
        assert_eq!(sets, [0, 0, 0, 1, 0x67, 0x64, 0, 0, 0, 1, 0x68, 0xeb]);
        assert!(described_sets(description.as_bytes(), VideoCodec::H265).is_empty());
    }

    #[test]
    fn reads_three_kinds_of_sets_and_skips_what_is_no_base64() {
        let description = "m=video 0 RTP/AVP 96\na=fmtp:96 sprop-vps=QAE=;sprop-sps=***;sprop-pps=AAAAAUQB\n";
        let sets = described_sets(description.as_bytes(), VideoCodec::H265);
        assert_eq!(sets, [0, 0, 0, 1, 0x40, 1, 0, 0, 0, 1, 0x44, 1]);
    }

    proptest! {
        #[test]
        fn any_description_is_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            described_sets(&[b"m=video\na=fmtp:96 ", &bytes[..]].concat(), VideoCodec::H264);
        }
    }
}
