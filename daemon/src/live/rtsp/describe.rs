//! Pure. What a client is told of a stream, and how it asks for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::ids::CameraId;
use crate::media::{StreamKind, VideoCodec, VideoConfig};

pub const PAYLOAD_TYPE: u8 = 96;
/// The one track, behind the stream's address.
pub const TRACK: &str = "track1";

/// SDP of a stream; `None` for a codec that has no RTP packets here.
pub fn sdp(camera: &CameraId, config: &VideoConfig) -> Option<String> {
    let sets: Vec<String> = config.parameter_sets().iter().map(|set| STANDARD.encode(set)).collect();
    let (name, format) = match config.codec {
        VideoCodec::H264 => {
            let profile = config.codec_string.strip_prefix("avc1.").unwrap_or("42E01F");
            ("H264", format!("packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={}", sets.join(",")))
        }
        VideoCodec::H265 => {
            // In the order of VPS, SPS and PPS; a stream with more of them sends the rest with its key frames.
            let named = ["sprop-vps", "sprop-sps", "sprop-pps"].iter().zip(&sets);
            ("H265", named.map(|(name, set)| format!("{name}={set}")).collect::<Vec<_>>().join(";"))
        }
        VideoCodec::Mjpeg => return None,
    };
    Some(format!(
        "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns={camera}\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\na=range:npt=now-\r\n\
         m=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} {name}/90000\r\na=fmtp:{PAYLOAD_TYPE} {format}\r\n\
         a=control:{TRACK}\r\n"
    ))
}

/// Camera and stream of a path: `/gate/main`, `/gate/sub/track1`; the main stream where none is named.
pub fn target(path: &str) -> Option<(CameraId, StreamKind)> {
    let mut parts = path.trim_matches('/').split('/').filter(|part| *part != TRACK);
    let camera = parts.next()?.parse().ok()?;
    let stream = parts.next().map_or(Ok(StreamKind::Main), str::parse).ok()?;
    parts.next().is_none().then_some((camera, stream))
}

/// How a client wants its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Within the connection, on this channel and the next.
    Interleaved(u8),
    /// To this port (RTP) and this one (RTCP).
    Udp(u16, u16),
}

/// The first of the offered transports that is served (RFC 2326 12.39).
pub fn transport(header: &str) -> Option<Wanted> {
    header.split(',').find_map(|offer| {
        let mut fields = offer.trim().split(';').map(str::trim);
        let profile = fields.next()?;
        let fields: Vec<&str> = fields.collect();
        let pair = |name: &str| {
            let (first, second) = fields.iter().find_map(|field| field.strip_prefix(name))?.split_once('-')?;
            Some((first.parse::<u16>().ok()?, second.parse::<u16>().ok()?))
        };
        if fields.contains(&"multicast") {
            return None;
        }
        match profile {
            "RTP/AVP/TCP" => {
                let (first, _) = pair("interleaved=").unwrap_or((0, 1));
                (first < 255).then_some(Wanted::Interleaved(first as u8))
            }
            "RTP/AVP" | "RTP/AVP/UDP" => pair("client_port=").map(|(rtp, rtcp)| Wanted::Udp(rtp, rtcp)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_a_camera_and_a_stream() {
        let gate: CameraId = "gate".parse().unwrap();
        assert_eq!(target("/gate"), Some((gate.clone(), StreamKind::Main)));
        assert_eq!(target("/gate/sub/track1"), Some((gate.clone(), StreamKind::Sub)));
        assert_eq!(target("/gate/main/"), Some((gate, StreamKind::Main)));
        for other in ["", "/", "/gate/other", "/gate/main/more", "/Ga te/main"] {
            assert_eq!(target(other), None, "{other}");
        }
    }

    #[test]
    fn transports() {
        assert_eq!(transport("RTP/AVP/TCP;unicast;interleaved=2-3"), Some(Wanted::Interleaved(2)));
        assert_eq!(
            transport("RTP/AVP;multicast, RTP/AVP;unicast;client_port=5000-5001"),
            Some(Wanted::Udp(5000, 5001))
        );
        assert_eq!(transport("RTP/SAVP;unicast;client_port=5000-5001"), None);
        assert_eq!(transport("RTP/AVP;unicast;client_port=5000-99999"), None);
        assert_eq!(transport("RTP/AVP/TCP;unicast;interleaved=300-301"), None);
    }

    #[test]
    fn describes_the_decoder_settings() {
        let sets =
            ["6742c028d900780227e5c044000003000400000300f03c60c920", "68cb83cb20"].map(|set| hex::decode(set).unwrap());
        let config = VideoConfig::from_nals(VideoCodec::H264, sets.iter().map(Vec::as_slice)).unwrap();
        let text = sdp(&"gate".parse().unwrap(), &config).unwrap();
        assert!(
            text.contains("profile-level-id=42C028;sprop-parameter-sets=Z0LAKNkAeAIn5cBEAAADAAQAAAMA8DxgySA=,aMuDyyA="),
            "{text}"
        );
    }
}
