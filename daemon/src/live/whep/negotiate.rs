//! From an SDP offer to an answer with one video track in the codec that the camera sends, and one of sound where the
//! viewer asks for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::crypto::from_feature_flags;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Mid, Pt};
use str0m::{Candidate, Rtc, RtcConfig};

use super::WhepError;
use super::sockets::Bound;
use crate::media::{AudioCodec, SoundConfig, VideoCodec};

/// How often a session learns what its viewer lost.
pub const STATS_EVERY: Duration = Duration::from_secs(5);

/// Where the pictures go.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    pub mid: Mid,
    pub pt: Pt,
}

/// A session that waits for its viewer.
pub struct Negotiated {
    pub rtc: Rtc,
    pub track: Track,
    /// Where the sound goes, if both sides have some.
    pub sound: Option<Track>,
    /// ICE user name of this side.
    pub ufrag: String,
    pub answer: String,
}

/// The codecs of sound that every browser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Opus,
    PcmALaw,
    PcmMuLaw,
}

impl Voice {
    /// How this sound reaches a browser; G.711 as it is.
    pub fn of(config: &SoundConfig) -> Option<Self> {
        match (config.codec, config.rate) {
            (AudioCodec::Aac, _) => Some(Self::Opus),
            (AudioCodec::PcmALaw, 8000) => Some(Self::PcmALaw),
            (AudioCodec::PcmMuLaw, 8000) => Some(Self::PcmMuLaw),
            _ => None,
        }
    }

    fn codec(self) -> Codec {
        match self {
            Self::Opus => Codec::Opus,
            Self::PcmALaw => Codec::PCMA,
            Self::PcmMuLaw => Codec::PCMU,
        }
    }
}

/// `codec_string`: RFC 6381, for the profile.
pub fn answer(
    offer: &str,
    codec: VideoCodec,
    codec_string: &str,
    voice: Option<Voice>,
    bound: &[Bound],
) -> Result<Negotiated, WhepError> {
    let config = RtcConfig::new()
        .set_crypto_provider(Arc::new(from_feature_flags()))
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_stats_interval(Some(STATS_EVERY))
        .clear_codecs();
    let config = match codec {
        VideoCodec::H264 => config.enable_h264(true),
        VideoCodec::H265 => config.enable_h265(true),
        VideoCodec::Mjpeg => return Err(WhepError::Codec(codec)),
    };
    let config = match voice {
        Some(Voice::Opus) => config.enable_opus(true, false),
        Some(Voice::PcmALaw) => config.enable_pcma(true, false),
        Some(Voice::PcmMuLaw) => config.enable_pcmu(true, false),
        None => config,
    };
    let mut rtc = config.build(Instant::now());
    for candidate in bound.iter().filter_map(|bound| Candidate::host(bound.address, "udp").ok()) {
        rtc.add_local_candidate(candidate);
    }
    let unreadable = |error: &dyn std::fmt::Display| WhepError::Offer(error.to_string());
    let offer = SdpOffer::from_sdp_string(offer).map_err(|error| unreadable(&error))?;
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| unreadable(&error))?.to_sdp_string();
    let mid = sent_track(&answer, "video ").ok_or(WhepError::Codec(codec))?;
    let pt = payload_type(&rtc, mid, codec, codec_string).ok_or(WhepError::Codec(codec))?;
    let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
    let sound = voice.and_then(|voice| {
        let mid = sent_track(&answer, "audio ")?;
        let offered = rtc.media(mid)?.remote_pts();
        let params = rtc.codec_config().params().iter();
        let params = params.filter(|params| params.spec().codec == voice.codec() && offered.contains(&params.pt()));
        Some(Track { mid, pt: params.map(PayloadParams::pt).next()? })
    });
    Ok(Negotiated { rtc, track: Track { mid, pt }, sound, ufrag, answer })
}

/// The first media of that kind that the answer sends. str0m tells of it by an event too, but not before the viewer has
/// connected.
fn sent_track(answer: &str, kind: &str) -> Option<Mid> {
    answer.split("\nm=").filter(|media| media.starts_with(kind)).find_map(|media| {
        let line = |prefix: &str| media.lines().find_map(|line| line.strip_prefix(prefix));
        let sends = line("a=sendonly").or_else(|| line("a=sendrecv")).is_some();
        line("a=mid:").filter(|_| sends).map(|mid| Mid::from(mid.trim()))
    })
}

/// The offered payload type that is nearest to what the camera sends. Browsers decode every profile they know whatever
/// was agreed on, so another profile is better than none.
fn payload_type(rtc: &Rtc, mid: Mid, codec: VideoCodec, codec_string: &str) -> Option<Pt> {
    let offered = rtc.media(mid)?.remote_pts();
    let wanted = if codec == VideoCodec::H265 { Codec::H265 } else { Codec::H264 };
    let profile = codec_string.strip_prefix("avc1.").and_then(|hex| u32::from_str_radix(hex.get(..2)?, 16).ok());
    let fits = |params: &&PayloadParams| {
        let format = params.spec().format;
        // Mode 1 of RFC 6184: large units in pieces.
        params.spec().codec == wanted && (wanted == Codec::H265 || format.packetization_mode == Some(1))
    };
    let same_profile =
        |params: &&PayloadParams| params.spec().format.profile_level_id.is_some_and(|id| Some(id >> 16) == profile);
    let params = rtc.codec_config().params();
    let candidates = params.iter().filter(|params| offered.contains(&params.pt())).filter(fits);
    candidates.max_by_key(|params| same_profile(params)).map(PayloadParams::pt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_sent() {
        let sdp = "v=0\r\nm=audio 9 X 0\r\na=mid:0\r\na=sendonly\r\nm=video 9 X 96\r\na=mid:1\r\na=inactive\r\n\
                   m=video 9 X 96\r\na=mid:v\r\na=sendonly\r\n";
        assert_eq!(sent_track(sdp, "video "), Some(Mid::from("v")));
        assert_eq!(sent_track(sdp, "audio "), Some(Mid::from("0")));
        assert_eq!(sent_track("v=0\r\nm=video 9 X 96\r\na=mid:0\r\na=recvonly\r\n", "video "), None);
    }
}
