//! A camera of H.265 for a viewer who knows H.264 alone: refused with the reason, or transcoded where that is allowed.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use gtv_edge::base::time::UtcMicros;
use gtv_edge::media::{FragmentSink, Picture, StreamKind, VideoCodec, VideoConfig, sized_units};
use str0m::RtcConfig;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};

use crate::harness::{Page, error_of};
use crate::live::{Peer, fragment, gate, offer};
use crate::media::init_segment;

const START: [u8; 4] = [0, 0, 0, 1];

/// Two seconds of H.265 at 25 pictures a second, a group each second.
fn pictures() -> Vec<Bytes> {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=s=1280x720:r=25", "-t", "2", "-pix_fmt", "yuv420p"])
        .args(["-c:v", "libx265", "-x265-params", "keyint=25:scenecut=0:bframes=0:aud=1:repeat-headers=1:log-level=0"])
        .args(["-f", "hevc", "-"])
        .output()
        .expect("ffmpeg runs")
        .stdout;
    // Each picture begins with an access unit delimiter.
    let delimiter = [START.as_slice(), &[0x46, 0x01]].concat();
    let starts: Vec<usize> = (0..made.len()).filter(|&at| made[at..].starts_with(&delimiter)).collect();
    let ends = starts.iter().skip(1).copied().chain([made.len()]);
    starts.iter().zip(ends).map(|(&from, to)| with_lengths(&made[from..to])).collect()
}

/// Start codes of three and four bytes become lengths.
fn with_lengths(data: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let starts: Vec<usize> = (0..data.len()).filter(|&at| data[at..].starts_with(&START[1..])).collect();
    for (n, &at) in starts.iter().enumerate() {
        let end = starts.get(n + 1).map_or(data.len(), |&next| if data[next - 1] == 0 { next - 1 } else { next });
        out.put_u32((end - at - 3) as u32);
        out.put_slice(&data[at + 3..end]);
    }
    out.freeze()
}

async fn play(sink: Arc<dyn FragmentSink>) {
    let film = pictures();
    assert_eq!(film.len(), 50);
    let config = Arc::new(VideoConfig::from_nals(VideoCodec::H265, sized_units(&film[0])).expect("parameter sets"));
    for (n, data) in film.iter().cycle().enumerate() {
        let (key, pts) = (n % 25 == 0, n as i64 * 3600);
        sink.picture(&Picture { data: data.clone(), key, time: UtcMicros::now(), pts, config: config.clone() });
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// H.264 out of RTP packets (RFC 6184): whole units, several in one, and pieces.
fn depacketized(packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (_, payload) in packets {
        match payload[0] & 0x1f {
            24 => {
                let mut rest = &payload[1..];
                while let [high, low, tail @ ..] = rest {
                    let length = usize::from(*high) << 8 | usize::from(*low);
                    out.extend([START.as_slice(), &tail[..length]].concat());
                    rest = &tail[length..];
                }
            }
            28 => {
                if payload[1] & 0x80 != 0 {
                    out.extend(START);
                    out.push(payload[0] & 0xe0 | payload[1] & 0x1f);
                }
                out.extend(&payload[2..]);
            }
            _ => out.extend([START.as_slice(), payload].concat()),
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_reaches_a_browser_that_knows_only_h264() {
    for most in [0, 1] {
        let page = Page::start_with(|config| {
            config.live.webrtc_port = 0;
            config.live.transcode = most;
        })
        .await;
        let (browser, sink) = gate(&page).await;
        sink.push(&fragment(0, &init_segment(Bytes::from_static(b"init")), &Bytes::from_static(b"fragment")));
        let film = tokio::spawn(play(sink));
        let gate = "gate".parse().unwrap();
        let playing = async {
            while !page
                .context
                .live
                .watch_pictures(&gate, StreamKind::Main)
                .is_ok_and(|viewer| !viewer.recent.is_empty())
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), playing).await.expect("pictures");
        let mut peer = Peer::with(RtcConfig::new().clear_codecs().enable_h264(true));
        let mut change = peer.rtc.sdp_api();
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (sdp, pending) = change.apply().unwrap();
        let mut answer = offer(&browser, sdp.to_sdp_string(), "application/sdp").await;
        if most == 0 {
            let (status, code, _) = error_of(answer).await;
            assert_eq!((status, code.as_str()), (406, "codec_not_offered"));
        } else {
            // On a busy machine the first picture can come too late for the first of them.
            let limit = Instant::now() + Duration::from_secs(60);
            while answer.status() != 201 {
                assert!(Instant::now() < limit, "{:?}", error_of(answer).await);
                answer = offer(&browser, sdp.to_sdp_string(), "application/sdp").await;
            }
            assert_eq!(answer.headers()["x-gtv-transcoded"], "h264");
            let answer = SdpAnswer::from_sdp_string(&answer.text().await.unwrap()).unwrap();
            peer.rtc.sdp_api().accept_answer(pending, answer).unwrap();
            let mut packets = tokio::task::spawn_blocking(move || peer.receive(600)).await.unwrap();
            // What was lost was sent again, later.
            packets.sort_by_key(|(number, _)| *number);
            packets.dedup_by_key(|(number, _)| *number);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("seen.h264");
            std::fs::write(&path, depacketized(&packets)).unwrap();
            let decoded = Command::new("ffmpeg")
                .args(["-v", "error", "-i", path.to_str().unwrap(), "-vf", "signalstats,metadata=print:file=-"])
                .args(["-f", "null", "-"])
                .output()
                .expect("ffmpeg runs");
            let told = String::from_utf8_lossy(&decoded.stdout).into_owned();
            // The test picture has black and white in it, and a damaged one is gray all over.
            let values = |name: &str| -> Vec<f64> {
                let prefix = format!("lavfi.signalstats.{name}=");
                told.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect()
            };
            let contrast: Vec<f64> = values("YMAX").iter().zip(values("YMIN")).map(|(max, min)| max - min).collect();
            assert!(contrast.len() >= 10 && contrast.iter().all(|&range| range > 150.0), "{contrast:?}");
        }
        film.abort();
        page.stop().await;
    }
}
