//! RTSP out as FFmpeg reads it, over TCP and UDP, and whom it is refused.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use gtv_edge::base::time::UtcMicros;
use gtv_edge::media::{FragmentSink, Picture, StreamKind, VideoCodec, VideoConfig};
use serde_json::json;

use crate::harness::{PASSWORD, Page};
use crate::live::fragment;
use crate::media::init_segment;

/// Whom [`Page::administrator`] makes.
const USER: &str = "ana";

/// Two seconds of video as pictures with lengths before their units; the first begins with parameter sets.
fn pictures() -> Vec<Vec<u8>> {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-t", "2", "-c:v", "libx264"])
        .args(["-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25"])
        .args(["-x264-params", "aud=1:sliced-threads=0:repeat-headers=1", "-f", "h264", "-"])
        .output()
        .expect("ffmpeg runs");
    let stream = made.stdout;
    let starts: Vec<usize> = (0..stream.len() - 4).filter(|&at| stream[at..at + 3] == [0, 0, 1]).collect();
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for (n, start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).map_or(stream.len(), |next| *next);
        let unit = &stream[start + 3..end];
        // The zero before a start code of four bytes belongs to it.
        let unit = if n + 1 < starts.len() { unit.strip_suffix(&[0]).unwrap_or(unit) } else { unit };
        if unit[0] & 0x1f == 9 {
            pictures.push(Vec::new());
        }
        let picture = pictures.last_mut().expect("delimiters come first");
        picture.extend_from_slice(&(unit.len() as u32).to_be_bytes());
        picture.extend_from_slice(unit);
    }
    pictures
}

/// Plays them over and over.
async fn play(sink: Arc<dyn FragmentSink>) {
    let film = pictures();
    let units = gtv_edge::media::sized_units(&film[0]);
    let config = Arc::new(VideoConfig::from_nals(VideoCodec::H264, units).expect("parameter sets"));
    for (n, data) in film.iter().cycle().enumerate() {
        let (key, pts) = (n % 25 == 0, n as i64 * 3600);
        sink.picture(&Picture { data: data.clone().into(), key, time: UtcMicros::now(), pts, config: config.clone() });
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

async fn read(url: String, transport: &'static str) -> Output {
    let reading = tokio::task::spawn_blocking(move || {
        Command::new("ffmpeg")
            .args(["-v", "error", "-timeout", "8000000", "-rtsp_transport", transport, "-i", &url])
            .args(["-frames:v", "40", "-f", "framecrc", "-"])
            .output()
            .expect("ffmpeg runs")
    });
    reading.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_reads_the_camera_with_a_user_of_the_box() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = SocketAddr::from(([127, 0, 0, 1], free));
    let page = Page::start_with(|config| config.live.rtsp_listen = Some(listen)).await;
    let browser = page.administrator().await;
    let camera = json!({ "id": "gate", "main_url": "rtsp://192.0.2.1/main" });
    assert_eq!(browser.post("/api/cidades/cameras", &camera).await.status(), 201);
    let sink = page.context.live.sink(&"gate".parse().unwrap(), StreamKind::Main);
    sink.push(&fragment(0, &init_segment(b"init".as_slice().into()), &b"fragment".as_slice().into()));
    let playing = tokio::spawn(play(sink));
    tokio::time::sleep(Duration::from_millis(500)).await;

    let password = PASSWORD.replace(' ', "%20");
    for transport in ["tcp", "udp"] {
        let seen = read(format!("rtsp://{USER}:{password}@{listen}/gate/main"), transport).await;
        let (lines, errors) = (String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
        assert!(seen.status.success(), "{transport}: {errors}");
        let frames = lines.lines().filter(|line| line.starts_with("0,")).count();
        assert_eq!((frames, errors.contains("error while decoding")), (40, false), "{transport}: {errors}");
    }
    for (url, status) in [
        (format!("rtsp://{listen}/gate/main"), "401"),
        (format!("rtsp://{USER}:wrong-password@{listen}/gate/main"), "401"),
        (format!("rtsp://{USER}:{password}@{listen}/other/main"), "404"),
        (format!("rtsp://{USER}:{password}@{listen}/gate/sub"), "503"),
    ] {
        let refused = read(url.clone(), "tcp").await;
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        // FFmpeg has words of its own for some of them.
        let told = errors.contains(status) || errors.contains("5XX");
        assert!(!refused.status.success() && told, "{url}: {errors}");
    }
    let log = browser.json("/api/admin/audit").await;
    let logins = log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "rtsp.login").count();
    assert!(logins >= 5, "each connection's login is written down: {logins}");
    playing.abort();
    page.stop().await;
}
