//! Pure. What a client is told of a stream, and how it asks for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stream::Track;
use crate::base::ids::CameraId;
use crate::media::{AudioCodec, SoundConfig, StreamKind, VideoCodec, VideoConfig};

pub const VIDEO_TYPE: u8 = 96;
const SOUND_TYPE: u8 = 97;
/// The tracks, behind the stream's address.
pub const VIDEO: &str = "track1";
pub const SOUND: &str = "track2";

/// RTP payload type; G.711 at 8 kHz has types of its own (RFC 3551).
pub fn sound_type(config: &SoundConfig) -> u8 {
    match config.codec {
        AudioCodec::PcmMuLaw if config.rate == 8000 => 0,
        AudioCodec::PcmALaw if config.rate == 8000 => 8,
        _ => SOUND_TYPE,
    }
}

/// SDP of a stream; `None` for a codec that has no RTP packets here.
pub fn sdp(camera: &CameraId, config: &VideoConfig, sound: Option<&SoundConfig>) -> Option<String> {
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
         m=video 0 RTP/AVP {VIDEO_TYPE}\r\na=rtpmap:{VIDEO_TYPE} {name}/90000\r\na=fmtp:{VIDEO_TYPE} {format}\r\n\
         a=control:{VIDEO}\r\n{}",
        sound.map_or_else(String::new, sound_sdp)
    ))
}

fn sound_sdp(config: &SoundConfig) -> String {
    let (kind, SoundConfig { rate, channels, .. }) = (sound_type(config), config);
    let (name, format) = match config.codec {
        AudioCodec::PcmMuLaw => ("PCMU", String::new()),
        AudioCodec::PcmALaw => ("PCMA", String::new()),
        AudioCodec::Aac => {
            let specific = hex::encode_upper(&config.specific);
            let format = format!(
                "a=fmtp:{kind} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;\
                 indexdeltalength=3;config={specific}\r\n"
            );
            ("MPEG4-GENERIC", format)
        }
    };
    let channels = if *channels > 1 { format!("/{channels}") } else { String::new() };
    format!("m=audio 0 RTP/AVP {kind}\r\na=rtpmap:{kind} {name}/{rate}{channels}\r\n{format}a=control:{SOUND}\r\n")
}

/// Camera, stream and track of a path: `/gate/main`, `/gate/sub/track1`; the main stream where none is named.
pub fn target(path: &str) -> Option<(CameraId, StreamKind, Option<Track>)> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let track = parts
        .last()
        .and_then(|name| [(VIDEO, Track::Video), (SOUND, Track::Sound)].into_iter().find(|known| known.0 == *name));
    if track.is_some() && parts.len() > 1 {
        parts.pop();
    }
    let mut parts = parts.into_iter();
    let camera = parts.next()?.parse().ok()?;
    let stream = parts.next().map_or(Ok(StreamKind::Main), str::parse).ok()?;
    parts.next().is_none().then_some((camera, stream, track.map(|(_, track)| track)))
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
        assert_eq!(target("/gate"), Some((gate.clone(), StreamKind::Main, None)));
        assert_eq!(target("/gate/sub/track1"), Some((gate.clone(), StreamKind::Sub, Some(Track::Video))));
        assert_eq!(target("/gate/track2"), Some((gate.clone(), StreamKind::Main, Some(Track::Sound))));
        assert_eq!(target("/gate/main/"), Some((gate, StreamKind::Main, None)));
        for other in ["", "/", "/gate/other", "/gate/main/more", "/gate/track1/main", "/Ga te/main"] {
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
        let aac = SoundConfig { codec: AudioCodec::Aac, rate: 16_000, channels: 2, specific: vec![0x14, 0x10].into() };
        let text = sdp(&"gate".parse().unwrap(), &config, Some(&aac)).unwrap();
        assert!(text.contains("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000/2\r\n"), "{text}");
        assert!(text.contains("mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1410\r\n"), "{text}");
        let law = SoundConfig { codec: AudioCodec::PcmALaw, rate: 8000, channels: 1, specific: Vec::new().into() };
        let text = sdp(&"gate".parse().unwrap(), &config, Some(&law)).unwrap();
        assert!(text.ends_with("m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=control:track2\r\n"), "{text}");
        let text = sdp(&"gate".parse().unwrap(), &config, None).unwrap();
        assert!(
            text.contains("profile-level-id=42C028;sprop-parameter-sets=Z0LAKNkAeAIn5cBEAAADAAQAAAMA8DxgySA=,aMuDyyA="),
            "{text}"
        );
    }
}
