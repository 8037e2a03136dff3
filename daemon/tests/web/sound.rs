//! Sound of a live camera: as FFmpeg hears it by RTSP, and as an independent peer receives it by WebRTC.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::live::PictureSubscription;
use gtv_edge::media::{AudioCodec, FragmentSink, Sound, SoundConfig, StreamKind};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};

use crate::harness::Page;
use crate::live::{Peer, gate, offer};
use crate::rtsp::{login, play, playing};

const RATE: i64 = 16_000;

/// A tone as one system of cameras sends it: frames, samples of each, and what they are.
fn tone(codec: AudioCodec) -> (Arc<SoundConfig>, Vec<Bytes>, i64) {
    let input = ["-v", "error", "-f", "lavfi", "-i", "sine=frequency=440", "-t", "4", "-ac", "1"];
    let output: &[&str] = match codec {
        AudioCodec::Aac => &["-ar", "16000", "-c:a", "aac", "-f", "adts", "-"],
        _ => &["-ar", "8000", "-c:a", "pcm_alaw", "-f", "alaw", "-"],
    };
    let made = Command::new("ffmpeg").args(input).args(output).output().expect("ffmpeg runs").stdout;
    if codec != AudioCodec::Aac {
        let config = SoundConfig { codec, rate: 8000, channels: 1, specific: Bytes::new() };
        return (Arc::new(config), made.chunks(320).map(Bytes::copy_from_slice).collect(), 320);
    }
    let mut rest = &made[..];
    let mut frames = Vec::new();
    while rest.len() > 7 {
        let length = (usize::from(rest[3]) & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
        frames.push(Bytes::copy_from_slice(&rest[7..length]));
        rest = &rest[length..];
    }
    // AAC-LC, 16 kHz, one channel.
    let config = SoundConfig { codec, rate: RATE as u32, channels: 1, specific: Bytes::from_static(&[0x14, 0x08]) };
    (Arc::new(config), frames, 1024)
}

/// Sounds over and over, beside the film.
async fn sound(sink: Arc<dyn FragmentSink>, codec: AudioCodec) {
    let (config, frames, samples) = tone(codec);
    let pace = Duration::from_micros(samples as u64 * 1_000_000 / u64::from(config.rate));
    let mut ticks = tokio::time::interval(pace);
    for (n, data) in frames.iter().cycle().enumerate() {
        ticks.tick().await;
        let pts = n as i64 * samples;
        sink.sound(&Sound { data: data.clone(), pts, time: UtcMicros::now(), config: config.clone() });
    }
}

/// Waits until the camera is seen and heard.
async fn plays(page: &Page) {
    let both = async {
        let gate = "gate".parse().unwrap();
        let playing = |viewer: PictureSubscription| viewer.sound.is_some() && !viewer.recent.is_empty();
        while !page.context.live.watch_pictures(&gate, StreamKind::Main).is_ok_and(playing) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), both).await.expect("picture and sound");
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_hears_aac_and_g711_by_rtsp() {
    for (codec, name, transport) in
        [(AudioCodec::Aac, "aac", "tcp"), (AudioCodec::Aac, "aac", "udp"), (AudioCodec::PcmALaw, "pcm_alaw", "tcp")]
    {
        let (page, browser, listen, film) = playing(false).await;
        let sink = page.context.live.sink(&"gate".parse().unwrap(), StreamKind::Main);
        let sounding = tokio::spawn(sound(sink, codec));
        plays(&page).await;
        let (_, password) = login(&browser, "vms", None).await;
        let url = format!("rtsp://vms:{password}@{listen}/gate/main");
        let heard = tokio::task::spawn_blocking(move || {
            Command::new("ffmpeg")
                .args(["-hide_banner", "-timeout", "8000000", "-rtsp_transport", transport, "-i", &url])
                .args(["-t", "3", "-af", "volumedetect", "-f", "null", "-"])
                .output()
                .expect("ffmpeg runs")
        });
        let heard = heard.await.unwrap();
        let told = String::from_utf8_lossy(&heard.stderr).into_owned();
        assert!(heard.status.success() && told.contains(&format!("Audio: {name}")), "{name} {transport}: {told}");
        let volume = told.split("mean_volume: ").nth(1).and_then(|text| text.split(' ').next()).unwrap_or("none");
        // FFmpeg's tone has -21 dB; silence has -91.
        assert!(volume.parse::<f64>().is_ok_and(|db| db > -30.0), "{name} {transport}: {told}");
        let samples = told.split("n_samples: ").nth(1).and_then(|text| text.split_whitespace().next()).unwrap_or("0");
        let least = if codec == AudioCodec::Aac { 2 * RATE } else { 16_000 };
        assert!(samples.parse::<i64>().is_ok_and(|count| count > least), "{name} {transport}: {told}");
        sounding.abort();
        film.abort();
        page.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webrtc_has_g711_as_it_is_and_aac_as_opus() {
    for codec in [AudioCodec::PcmALaw, AudioCodec::Aac] {
        let page = Page::start_with(|config| config.live.webrtc_port = 0).await;
        let (browser, sink) = gate(&page).await;
        let init = crate::media::init_segment(Bytes::from_static(b"init"));
        sink.push(&crate::live::fragment(0, &init, &Bytes::from_static(b"fragment")));
        let tasks = [tokio::spawn(play(sink.clone())), tokio::spawn(sound(sink, codec))];
        plays(&page).await;
        let mut peer = Peer::new();
        let mut change = peer.rtc.sdp_api();
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (sdp, pending) = change.apply().unwrap();
        let answer = offer(&browser, sdp.to_sdp_string(), "application/sdp").await;
        assert_eq!(answer.status(), 201);
        let text = answer.text().await.unwrap();
        let name = if codec == AudioCodec::Aac { "opus/48000/2" } else { "PCMA/8000" };
        assert!(text.contains(name), "{text}");
        let answer = SdpAnswer::from_sdp_string(&text).unwrap();
        peer.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        let packets = tokio::task::spawn_blocking(move || peer.sound(40)).await.unwrap();
        let (step, (_, frames, _)) = (if codec == AudioCodec::Aac { 960 } else { 320 }, tone(codec));
        let mut times: Vec<u32> = packets.iter().map(|(time, _)| *time).collect();
        times.sort_unstable();
        times.dedup();
        // A packet may be lost on a busy machine; its neighbors stay on the grid.
        let steps: Vec<u32> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|found| found % step == 0), "{codec:?}: {times:?}");
        assert!(steps.iter().filter(|found| **found == step).count() > 20, "{codec:?}: {times:?}");
        match codec {
            AudioCodec::Aac => {
                // 20 ms of one channel in one frame (RFC 6716 3.1), and more than silence.
                let whole = |data: &[u8]| data[0].trailing_zeros() >= 3 && data.len() > 20;
                assert!(packets.iter().skip(5).all(|(_, data)| whole(data)), "{packets:?}");
            }
            _ => assert!(packets.iter().all(|(_, data)| frames.iter().any(|frame| frame == data))),
        }
        for task in tasks {
            task.abort();
        }
        page.stop().await;
    }
}
