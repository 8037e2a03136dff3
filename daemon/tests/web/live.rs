//! Live video over the page: HLS as FFmpeg reads it, WebRTC as an independent peer receives it, who may watch and how
//! many.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::media::{Fragment, FragmentSink, InitSegment, Picture, StreamKind, VideoCodec, VideoConfig};
use reqwest::Method;
use serde_json::json;
use str0m::change::SdpAnswer;
use str0m::crypto::from_feature_flags;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::harness::{Browser, Page, error_of};
use crate::media::{film, init_segment};

const HLS: &str = "/api/streaming/cameras/gate/hls";
const WHEP: &str = "/api/streaming/cameras/gate/whep";
const SETS: [&str; 2] = ["6742c028d900780227e5c044000003000400000300f03c60c920", "68cb83cb20"];

pub async fn gate(page: &Page) -> (Browser, Arc<dyn FragmentSink>) {
    let browser = page.administrator().await;
    let camera = json!({ "id": "gate", "main_url": "rtsp://192.0.2.1/main" });
    assert_eq!(browser.post("/api/cidades/cameras", &camera).await.status(), 201);
    (browser, page.context.live.sink(&"gate".parse().unwrap(), StreamKind::Main))
}

pub fn fragment(n: usize, init: &Arc<InitSegment>, data: &Bytes) -> Arc<Fragment> {
    Arc::new(Fragment {
        camera: "gate".parse().unwrap(),
        stream: StreamKind::Main,
        init: init.clone(),
        data: data.clone(),
        start: UtcMicros(1_790_000_000_000_000 + n as i64 * 1_000_000),
        duration_us: 1_000_000,
        frames: 25,
        key: true,
        gop_end: true,
        sequence: n as u64 + 1,
        tfdt: n as i64 * 90_000,
        gap: None,
        clocks: None,
    })
}

async fn token(browser: &Browser) -> String {
    let answer = browser.post("/api/admin/refresh", &json!({})).await;
    answer.json::<serde_json::Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_hls_and_reloads_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let init = init_segment(head);
    let page = Page::start().await;
    let (browser, sink) = gate(&page).await;
    assert_eq!(error_of(browser.get(&format!("{HLS}/index.m3u8")).await).await.0, 503, "nothing comes yet");
    // A window opens at the newest group of pictures.
    sink.push(&fragment(0, &init, &fragments[0]));
    let master = browser.get(&format!("{HLS}/index.m3u8")).await.text().await.unwrap();
    let stream = master.lines().last().unwrap().to_owned();
    assert!(master.contains("CODECS=\"avc1.42c00d,mp4a.40.2\",RESOLUTION=320x240"), "{master}");
    for (n, data) in fragments.iter().enumerate().take(5).skip(1) {
        sink.push(&fragment(n, &init, data));
    }
    let list = browser.get(&format!("{HLS}/{stream}&_HLS_msn=4")).await.text().await.unwrap();
    assert_eq!(list.matches("#EXTINF:1.00000,").count(), 5, "{list}");

    let header = format!("Authorization: Bearer {}\r\n", token(&browser).await);
    let url = page.url(&format!("{HLS}/index.m3u8"));
    let probed = tokio::task::spawn_blocking(move || {
        let show = ["-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", "-read_intervals", "%+2"];
        let read = ["-v", "error", "-count_packets", "-headers", &header];
        Command::new("ffprobe").args(read).args(show).arg(url).output().expect("ffprobe runs")
    });
    // FFmpeg reads on while the camera sends on.
    for (n, data) in fragments.iter().enumerate().skip(5) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sink.push(&fragment(n, &init, data));
    }
    let probed = probed.await.unwrap();
    let text = String::from_utf8_lossy(&probed.stdout).into_owned();
    assert!(text.contains("h264,320,240") && text.contains("aac"), "{text}{}", String::from_utf8_lossy(&probed.stderr));

    // A reload that is ahead of the camera waits for it; one that is far ahead is refused.
    let waiting = {
        let request = browser.request(Method::GET, &format!("{HLS}/{stream}&_HLS_msn=8"));
        tokio::spawn(async move { request.send().await.unwrap().text().await.unwrap() })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    sink.push(&fragment(8, &init, &fragments[0]));
    assert!(waiting.await.unwrap().contains("s8.m4s"));
    assert_eq!(error_of(browser.get(&format!("{HLS}/{stream}&_HLS_msn=50")).await).await.0, 400);
    assert_eq!(error_of(browser.get(&format!("{HLS}/s99.m4s")).await).await.0, 404);
    assert_eq!(page.stranger().get(&format!("{HLS}/{stream}")).await.status(), 401);
    page.stop().await;
}

#[tokio::test]
async fn every_session_takes_a_seat() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let page = Page::start().await;
    let (browser, sink) = gate(&page).await;
    sink.push(&fragment(0, &init_segment(head), &fragments[0]));
    // Two seats: each multivariant playlist begins a session.
    for expected in [200, 200, 429] {
        assert_eq!(browser.get(&format!("{HLS}/index.m3u8")).await.status(), expected);
    }
    page.stop().await;
}

fn picture(n: i64, config: &Arc<VideoConfig>) -> Picture {
    let unit: Vec<u8> = [if n % 25 == 0 { 0x65 } else { 0x41 }].into_iter().chain((0..3000).map(|b| b as u8)).collect();
    let data = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat();
    Picture { data: data.into(), key: n % 25 == 0, time: UtcMicros::now(), pts: n * 3600, config: config.clone() }
}

/// A viewer with its own WebRTC.
pub struct Peer {
    pub rtc: Rtc,
    socket: UdpSocket,
}

impl Peer {
    pub fn new() -> Self {
        Self::with(RtcConfig::new().enable_pcma(true, false))
    }

    /// With these codecs.
    pub fn with(codecs: RtcConfig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let codecs = codecs.set_crypto_provider(Arc::new(from_feature_flags())).set_rtp_mode(true);
        let mut rtc = codecs.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), "udp").unwrap());
        Self { rtc, socket }
    }

    /// Receives until `enough`; (RTP sequence number, payload) of each packet.
    pub fn receive(&mut self, enough: usize) -> Vec<(u64, Vec<u8>)> {
        let packets = self.packets(enough, |_| true);
        packets.into_iter().map(|packet| (*packet.seq_no, packet.payload.to_vec())).collect()
    }

    /// Receives until `enough` packets of sound; (RTP time, payload) of each.
    pub fn sound(&mut self, enough: usize) -> Vec<(u32, Vec<u8>)> {
        let codecs = self.rtc.codec_config().params().to_vec();
        let is_sound = |packet: &RtpPacket| {
            let params = codecs.iter().find(|params| params.pt() == packet.header.payload_type);
            params.is_some_and(|params| params.spec().codec.is_audio())
        };
        let packets = self.packets(enough, is_sound);
        packets.into_iter().map(|packet| (packet.header.timestamp, packet.payload.to_vec())).collect()
    }

    fn packets(&mut self, enough: usize, wanted: impl Fn(&RtpPacket) -> bool) -> Vec<RtpPacket> {
        let (mut packets, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(90));
        let mut buffer = vec![0; 2000];
        while packets.len() < enough {
            assert!(Instant::now() < deadline, "{} packets came", packets.len());
            let timeout = match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => at,
                Output::Transmit(out) => {
                    self.socket.send_to(&out.contents, out.destination).unwrap();
                    continue;
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    packets.extend(Some(packet).filter(|packet| wanted(packet)));
                    continue;
                }
                Output::Event(_) => continue,
            };
            let wait = timeout
                .saturating_duration_since(Instant::now())
                .clamp(Duration::from_millis(1), Duration::from_millis(50));
            self.socket.set_read_timeout(Some(wait)).unwrap();
            let destination = self.socket.local_addr().unwrap();
            match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let received = Receive::new(Protocol::Udp, source, destination, &buffer[..length]).unwrap();
                    self.rtc.handle_input(Input::Receive(Instant::now(), received)).unwrap();
                }
                Err(_) => self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap(),
            }
        }
        packets
    }
}

pub async fn offer(browser: &Browser, sdp: String, kind: &str) -> reqwest::Response {
    browser.request(Method::POST, WHEP).header("content-type", kind).body(sdp).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn webrtc_begins_at_the_last_key_frame_and_ends_when_told() {
    let page = Page::start_with(|config| config.live.webrtc_port = 0).await;
    let (browser, sink) = gate(&page).await;
    let sets = SETS.map(|set| hex::decode(set).unwrap());
    let config = VideoConfig::from_nals(VideoCodec::H264, sets.iter().map(Vec::as_slice)).unwrap();
    let config = Arc::new(config);
    let init = init_segment(Bytes::from_static(b"init"));
    let mut peer = Peer::new();
    let mut change = peer.rtc.sdp_api();
    change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (sdp, pending) = change.apply().unwrap();
    let sdp = sdp.to_sdp_string();
    assert_eq!(error_of(offer(&browser, sdp.clone(), "application/sdp").await).await.0, 503, "nothing comes yet");

    sink.push(&fragment(0, &init, &Bytes::from_static(b"fragment")));
    (0..10).for_each(|n| sink.picture(&picture(n, &config)));
    assert_eq!(error_of(offer(&browser, sdp.clone(), "text/plain").await).await.0, 415);
    assert_eq!(error_of(offer(&browser, "v=0".to_owned(), "application/sdp").await).await.0, 400);
    assert_eq!(error_of(offer(&page.stranger(), sdp.clone(), "application/sdp").await).await.0, 401);
    let answer = offer(&browser, sdp, "application/sdp").await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (201, "application/sdp")
    );
    let session = answer.headers()["location"].to_str().unwrap().to_owned();
    let answer = SdpAnswer::from_sdp_string(&answer.text().await.unwrap()).unwrap();
    peer.rtc.sdp_api().accept_answer(pending, answer).unwrap();

    let feeding = {
        let config = config.clone();
        tokio::spawn(async move {
            for n in 10.. {
                tokio::time::sleep(Duration::from_millis(40)).await;
                sink.picture(&picture(n, &config));
            }
        })
    };
    let (packets, _peer) = tokio::task::spawn_blocking(move || (peer.receive(60), peer)).await.unwrap();
    let mut numbers: Vec<u64> = packets.iter().map(|(number, _)| *number).collect();
    let first = packets.iter().min_by_key(|(number, _)| *number).unwrap();
    assert_eq!(first.1, sets[0], "parameter sets stand before the first key frame");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 60, "each packet once");
    assert_eq!(browser.request(Method::DELETE, &session).send().await.unwrap().status(), 204);
    let (hub, gate) = (page.context.live.clone(), "gate".parse().unwrap());
    let left = async {
        // Two seats: the second is free once the session has left.
        let _first = hub.watch_pictures(&gate, StreamKind::Main).unwrap();
        while hub.watch_pictures(&gate, StreamKind::Main).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), left).await.expect("the session ends");
    feeding.abort();
    page.stop().await;
}

#[tokio::test]
async fn b_frames_are_refused_with_the_reason() {
    let page = Page::start_with(|config| config.live.webrtc_port = 0).await;
    let (browser, sink) = gate(&page).await;
    let sets =
        ["6764001eacd940a02ff970110000030001000003003c0f162d96", "68ebe3cb22c0"].map(|set| hex::decode(set).unwrap());
    let config = VideoConfig::from_nals(VideoCodec::H264, sets.iter().map(Vec::as_slice)).unwrap();
    sink.push(&fragment(0, &init_segment(Bytes::from_static(b"init")), &Bytes::from_static(b"fragment")));
    sink.picture(&picture(0, &Arc::new(config)));
    let answer = offer(&browser, "v=0".to_owned(), "application/sdp").await;
    let (status, code, message) = error_of(answer).await;
    assert_eq!((status, code.as_str()), (406, "reordered"), "{message}");
    page.stop().await;
}
