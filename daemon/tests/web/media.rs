//! Video: recorded stretches as one seekable file, live messages, stills. The material is made by FFmpeg.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::media::{Fragment, InitSegment, StreamKind, VideoCodec};
use gtv_edge::store::{InitRow, NewFragment, NewSegment, Stream};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{Page, error_of};

pub const START: i64 = 1_790_000_000_000_000;
pub const SECOND: i64 = 1_000_000;

/// Eight seconds of video with sound, one fragment a second, as (initialization segment, fragments).
pub fn film(folder: &Path) -> (Bytes, Vec<Bytes>) {
    let path = folder.join("film.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-f", "lavfi", "-i", "sine"])
        .args(["-t", "8", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "25"])
        .args(["-c:a", "aac", "-video_track_timescale", "90000", "-movflags"])
        .args(["frag_keyframe+empty_moov+default_base_moof"])
        .arg(&path)
        .status()
        .expect("ffmpeg runs");
    assert!(made.success());
    let data = Bytes::from(std::fs::read(&path).unwrap());
    let mut boxes = Vec::new();
    let mut at = 0;
    while at + 8 <= data.len() {
        let size = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
        boxes.push((data[at + 4..at + 8].to_vec(), data.slice(at..at + size)));
        at += size;
    }
    let join =
        |parts: &[&(Vec<u8>, Bytes)]| Bytes::from(parts.iter().map(|(_, b)| b.as_ref()).collect::<Vec<_>>().concat());
    let head: Vec<_> = boxes.iter().filter(|(kind, _)| kind == b"ftyp" || kind == b"moov").collect();
    let body: Vec<_> = boxes.iter().filter(|(kind, _)| kind == b"moof" || kind == b"mdat").collect();
    (join(&head), body.chunks(2).map(join).collect())
}

pub fn init_segment(data: Bytes) -> Arc<InitSegment> {
    Arc::new(InitSegment {
        id: Sha256::digest(&data).into(),
        data,
        mime: "video/mp4; codecs=\"avc1.42c00d,mp4a.40.2\"".into(),
        video_codec: VideoCodec::H264,
        width: 320,
        height: 240,
        has_audio: true,
    })
}

/// Records the film from `START`, with a pause of ten seconds after the fourth second.
pub async fn record(page: &Page, init: &InitSegment, fragments: &[Bytes]) {
    let row = InitRow {
        id: init.id_hex(),
        data: init.data.to_vec(),
        mime: init.mime.clone(),
        codec: "h264".into(),
        width: 320,
        height: 240,
    };
    page.store().put_init(&row).await.unwrap();
    for (half, part) in fragments.chunks(4).enumerate() {
        let start = START + half as i64 * 14 * SECOND;
        let path = format!("recordings/{half}.mp4");
        let file = page.store().dir().join(&path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, [init.data.as_ref(), &part.concat()].concat()).unwrap();
        let new = NewSegment {
            camera: "gate".parse().unwrap(),
            stream: Stream::Main,
            path,
            init_id: init.id_hex(),
            start: UtcMicros(start),
            head_bytes: init.data.len() as u64,
            clocks: None,
        };
        let segment_id = page.store().open_segment(new).await.unwrap();
        let mut offset = init.data.len() as u64;
        let mut rows = Vec::new();
        for (n, fragment) in part.iter().enumerate() {
            let bytes = fragment.len() as u64;
            let start = UtcMicros(start + n as i64 * SECOND);
            rows.push(NewFragment { segment_id, offset, bytes, start, duration_us: SECOND, frames: 25, key: true });
            offset += bytes;
        }
        page.store().commit_fragments(rows).await.unwrap();
        page.store().close_segment(segment_id, &"0".repeat(64)).await.unwrap();
    }
}

pub fn ffprobe(args: &[&str], file: &Path) -> String {
    let out = Command::new("ffprobe").args(["-v", "error"]).args(args).arg(file).output().expect("ffprobe runs");
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn a_recorded_stretch_plays_as_one_file_from_zero() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    assert_eq!(fragments.len(), 8);
    let page = Page::start().await;
    let browser = page.administrator().await;
    record(&page, &init_segment(head), &fragments).await;
    let base = "/api/streaming/cameras/gate";

    let spans = browser.json(&format!("{base}/recordings?from={}&to={}", START - SECOND, START + 60 * SECOND)).await;
    let spans = spans["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert_eq!(spans[0], json!({ "stream": "main", "start": START, "end": START + 4 * SECOND }));

    // From the middle of the second GOP, over the pause, to the middle of the sixth.
    let (from, to) = (START + 3 * SECOND / 2, START + 31 * SECOND / 2);
    let path = format!("{base}/playback.mp4?from={from}&to={to}");
    let whole = browser.get(&path).await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["content-type"], "video/mp4; codecs=\"avc1.42c00d,mp4a.40.2\"");
    let etag = whole.headers()["etag"].clone();
    let whole = whole.bytes().await.unwrap();
    let file = folder.path().join("played.mp4");
    std::fs::write(&file, &whole).unwrap();
    let frames = ffprobe(
        &["-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"],
        &file,
    );
    assert_eq!(frames.trim(), "125", "GOPs 2, 3, 4 and, after the pause, 5 and 6");
    let times = ffprobe(&["-select_streams", "v", "-show_entries", "frame=pts_time", "-of", "csv=p=0"], &file);
    let times: Vec<f64> = times.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    assert!(times[0].abs() < 0.001, "{}", times[0]);
    assert!((times[75] - 3.0).abs() < 0.01, "the pause is left out: {}", times[75]);
    assert!(times.windows(2).all(|pair| pair[1] > pair[0]));
    let duration: f64 = ffprobe(&["-show_entries", "format=duration", "-of", "csv=p=0"], &file).trim().parse().unwrap();
    assert!((duration - 5.0).abs() < 0.1, "{duration}");

    let described = browser.json(&path.replace("playback.mp4", "playback")).await;
    assert_eq!((described["start"].as_i64(), described["next"].as_i64()), (Some(START + SECOND), None));
    assert_eq!(described["bytes"].as_u64(), Some(whole.len() as u64));
    let stretch = |media: i64, start: i64, s: i64| json!({"media": media, "start": start, "duration": s * SECOND, "frame": 40_000});
    let stretches = [stretch(0, START + SECOND, 3), stretch(3 * SECOND, START + 14 * SECOND, 2)];
    assert_eq!(described["stretches"], json!(stretches));

    // Any range is the same bytes, also across the borders of head and fragments.
    for (first, last) in [(0, 0), (10, 2000), (1000, whole.len() - 1), (whole.len() - 5, whole.len() + 100)] {
        let request = browser.request(Method::GET, &path).header("range", format!("bytes={first}-{last}"));
        let part = request.header("if-range", etag.clone()).send().await.unwrap();
        assert_eq!(part.status(), 206);
        let last = last.min(whole.len() - 1);
        assert_eq!(part.headers()["content-range"], format!("bytes {first}-{last}/{}", whole.len()));
        assert_eq!(part.bytes().await.unwrap(), whole.slice(first..=last), "{first}-{last}");
    }
    let beyond = browser.request(Method::GET, &path).header("range", format!("bytes={}-", whole.len()));
    assert_eq!(beyond.send().await.unwrap().status(), 416);
    let nothing = format!("{base}/playback.mp4?from={}&to={}", START - 60 * SECOND, START - 30 * SECOND);
    let (status, _, body) = error_of(browser.get(&nothing).await).await;
    assert_eq!(status, 404, "{body}");
    let log = browser.json("/api/admin/audit").await;
    let views = log["entries"].as_array().unwrap().iter().filter(|e| e["action"] == "recording.view").count();
    assert_eq!(views, 2, "the whole file and the range that begins it");
    page.stop().await;
}

/// Sends the film as a camera would; its first fragment does not begin with a key frame.
fn send(page: &Page, init: &Arc<InitSegment>, fragments: &[Bytes]) {
    let fragment = |(n, data): (usize, &Bytes)| {
        Arc::new(Fragment {
            camera: "gate".parse().unwrap(),
            stream: StreamKind::Main,
            init: init.clone(),
            data: data.clone(),
            start: UtcMicros(START + n as i64 * SECOND),
            duration_us: SECOND,
            frames: 25,
            key: n == 1,
            gop_end: true,
            sequence: n as u64 + 1,
            tfdt: 0,
            gap: None,
            clocks: None,
        })
    };
    let sink = page.context.live.sink(&"gate".parse().unwrap(), StreamKind::Main);
    fragments.iter().enumerate().map(fragment).for_each(|fragment| sink.push(&fragment));
}

#[tokio::test]
async fn live_viewers_begin_at_a_key_frame_with_the_decoder_settings() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let init = init_segment(head);
    let page = Page::start().await;
    let browser = page.administrator().await;
    let camera = json!({ "id": "gate", "main_url": "rtsp://192.0.2.1/main" });
    assert_eq!(browser.post("/api/cidades/cameras", &camera).await.status(), 201);
    send(&page, &init, &fragments[..3]);
    let token = browser.post("/api/admin/refresh", &json!({})).await.json::<Value>().await.unwrap();
    let mut request = format!("ws://{}/api/streaming/cameras/gate/live", page.address).into_client_request().unwrap();
    let cookie = format!("gtv_access={}", token["access_token"].as_str().unwrap());
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let mut messages = Vec::new();
    while messages.len() < 4 {
        let message = socket.next().await.unwrap().unwrap();
        if !message.is_ping() {
            messages.push(message);
        }
    }
    let event: Value = serde_json::from_str(messages[0].to_text().unwrap()).unwrap();
    assert_eq!((event["type"].as_str(), event["mime"].as_str()), (Some("init"), Some(init.mime.as_str())));
    assert_eq!(messages[1].clone().into_data(), init.data);
    assert_eq!(messages[2].clone().into_data(), fragments[1], "the first fragment does not begin with a key frame");
    assert_eq!(messages[3].clone().into_data(), fragments[2]);

    let still = browser.get("/api/streaming/cameras/gate/snapshot.jpg").await;
    assert_eq!((still.status().as_u16(), still.headers()["content-type"].to_str().unwrap()), (200, "image/jpeg"));
    let etag = still.headers()["etag"].clone();
    let jpeg = gtv_edge::media::jpeg::decode_image(&still.bytes().await.unwrap()).unwrap();
    assert_eq!((jpeg.width, jpeg.height), (320, 240));
    let same = browser.request(Method::GET, "/api/streaming/cameras/gate/snapshot.jpg").header("if-none-match", etag);
    assert_eq!(same.send().await.unwrap().status(), 304, "no newer key frame has come");
    page.stop().await;
}
