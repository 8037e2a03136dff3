//! RTSP out as FFmpeg reads it, over TCP and UDP, and whom it is refused.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::live::PictureSubscription;
use gtv_edge::media::{FragmentSink, Picture, StreamKind, VideoCodec, VideoConfig};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Browser, PASSWORD, Page, error_of};
use crate::live::fragment;
use crate::media::init_segment;

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
pub async fn play(sink: Arc<dyn FragmentSink>) {
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

/// The box with a camera that plays, and `yard`, which does not.
pub async fn playing(basic: bool) -> (Page, Browser, SocketAddr, JoinHandle<()>) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = SocketAddr::from(([127, 0, 0, 1], free));
    let page = Page::start_with(|config| {
        config.live.rtsp_listen = Some(listen);
        config.live.rtsp_basic = basic;
    })
    .await;
    let browser = page.administrator().await;
    for id in ["gate", "yard"] {
        let camera = json!({ "id": id, "main_url": format!("rtsp://192.0.2.1/{id}") });
        assert_eq!(browser.post("/api/cidades/cameras", &camera).await.status(), 201);
    }
    let sink = page.context.live.sink(&"gate".parse().unwrap(), StreamKind::Main);
    sink.push(&fragment(0, &init_segment(b"init".as_slice().into()), &b"fragment".as_slice().into()));
    let film = tokio::spawn(play(sink));
    let gate = "gate".parse().unwrap();
    let seen = |viewer: PictureSubscription| !viewer.recent.is_empty();
    let pictures = async {
        while !page.context.live.watch_pictures(&gate, StreamKind::Main).is_ok_and(seen) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), pictures).await.expect("pictures");
    (page, browser, listen, film)
}

/// Adds a stream login: its id and password.
pub async fn login(browser: &Browser, name: &str, cameras: Option<&[&str]>) -> (String, String) {
    let answer = browser.post("/api/admin/stream-logins", &json!({ "name": name, "cameras": cameras })).await;
    assert_eq!(answer.status(), 201);
    let body: Value = answer.json().await.unwrap();
    (body["login"]["id"].as_str().unwrap().to_owned(), body["password"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_reads_the_camera_by_digest_with_a_stream_login() {
    let (page, browser, listen, film) = playing(false).await;
    let (id, password) = login(&browser, "vms", Some(&["gate"])).await;
    for transport in ["tcp", "udp"] {
        let seen = read(format!("rtsp://vms:{password}@{listen}/gate/main"), transport).await;
        let (lines, errors) = (String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
        assert!(seen.status.success(), "{transport}: {errors}");
        let frames = lines.lines().filter(|line| line.starts_with("0,")).count();
        assert_eq!((frames, errors.contains("error while decoding")), (40, false), "{transport}: {errors}");
    }
    let user = format!("ana:{}", PASSWORD.replace(' ', "%20"));
    for (url, status) in [
        (format!("rtsp://{listen}/gate/main"), "401"),
        (format!("rtsp://vms:wrong-password@{listen}/gate/main"), "401"),
        (format!("rtsp://{user}@{listen}/gate/main"), "401"),
        (format!("rtsp://vms:{password}@{listen}/yard/main"), "403"),
        (format!("rtsp://vms:{password}@{listen}/other/main"), "404"),
        (format!("rtsp://vms:{password}@{listen}/gate/sub"), "503"),
    ] {
        let refused = read(url.clone(), "tcp").await;
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        // FFmpeg has words of its own for some of them.
        let told = errors.contains(status) || errors.contains("5XX");
        assert!(!refused.status.success() && told, "{url}: {errors}");
    }
    assert_eq!(browser.delete(&format!("/api/admin/stream-logins/{id}")).await.status(), 204);
    let refused = read(format!("rtsp://vms:{password}@{listen}/gate/main"), "tcp").await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"));

    let log = browser.json("/api/admin/audit").await;
    let count =
        |action: &str| log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count();
    assert!(count("rtsp.login") >= 7, "each connection's login is written down");
    assert_eq!((count("stream-login.create"), count("stream-login.remove")), (1, 1));
    assert!(
        !log.to_string().contains(&password)
            && !browser.json("/api/admin/stream-logins").await.to_string().contains(&password)
    );
    film.abort();
    page.stop().await;
}

/// A client that says just what it is told to.
struct Talk {
    socket: TcpStream,
    number: u32,
}

impl Talk {
    fn begin(listen: SocketAddr) -> Self {
        let socket = TcpStream::connect(listen).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
        Self { socket, number: 0 }
    }

    /// Status and header lines.
    fn describe(&mut self, authorization: &str) -> (u16, Vec<String>) {
        let given =
            if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}\r\n") };
        self.ask("DESCRIBE", URI, &given)
    }

    fn ask(&mut self, method: &str, uri: &str, fields: &str) -> (u16, Vec<String>) {
        self.number += 1;
        let request = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{fields}\r\n", self.number);
        self.socket.write_all(request.as_bytes()).unwrap();
        // Nothing behind the answer may be taken out of the socket.
        let mut reader = BufReader::with_capacity(1, &self.socket);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let length =
            lines.iter().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |text| text.parse().unwrap());
        reader.read_exact(&mut vec![0; length]).unwrap();
        (lines[0].split(' ').nth(1).unwrap().parse().unwrap(), lines)
    }
}

const URI: &str = "rtsp://box/gate/main";

/// What an independent library answers to the challenge with that algorithm.
fn answer(lines: &[String], algorithm: &str, password: &str) -> String {
    let asked = lines.iter().filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
    let asked = asked.filter(|text| text.contains(&format!("algorithm={algorithm}"))).collect::<Vec<_>>()[0];
    let mut client = http_auth::PasswordClient::try_from(asked).unwrap();
    let params = http_auth::PasswordParams { username: "vms", password, uri: URI, method: "DESCRIBE", body: None };
    client.respond(&params).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_digests_are_taken_once_and_until_the_login_is_removed() {
    let (page, browser, listen, film) = playing(true).await;
    let (id, password) = login(&browser, "vms", None).await;
    let talk = tokio::task::spawn_blocking(move || {
        let mut old = String::new();
        for algorithm in ["MD5", "SHA-256"] {
            let mut talk = Talk::begin(listen);
            let (status, lines) = talk.describe("");
            assert_eq!(status, 401);
            assert_eq!(talk.describe(&answer(&lines, algorithm, "wrong")).0, 401, "{algorithm}");
            let right = answer(&lines, algorithm, &password);
            assert_eq!(talk.describe(&right).0, 200, "{algorithm}");
            old = right;
        }
        // Heard on the wire and said again: it answers another question.
        let (status, lines) = Talk::begin(listen).describe(&old);
        assert!(status == 401 && lines.iter().any(|line| line.contains("stale=true")), "{lines:?}");
        let basic = format!("Basic {}", STANDARD.encode(format!("vms:{password}")));
        let mut talk = Talk::begin(listen);
        assert_eq!(talk.describe(&basic).0, 200, "as allowed here");
        talk
    });
    let mut talk = talk.await.unwrap();
    assert_eq!(browser.delete(&format!("/api/admin/stream-logins/{id}")).await.status(), 204);
    let left = tokio::task::spawn_blocking(move || talk.socket.read(&mut [0; 16]).unwrap());
    assert_eq!(left.await.unwrap(), 0, "who may not read any more is cut off");
    film.abort();
    page.stop().await;
}

#[tokio::test]
async fn stream_logins_are_for_administrators_and_have_names_of_their_own() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let operator = page.user(&browser, "rui", "operator").await;
    let path = "/api/admin/stream-logins";
    assert_eq!(operator.post(path, &json!({ "name": "vms" })).await.status(), 403);
    login(&browser, "vms", None).await;
    for (body, status, field) in [
        (json!({ "name": "vms" }), 409, "name"),
        (json!({ "name": "rui" }), 409, "name"),
        (json!({ "name": "V M" }), 400, "name"),
        (json!({ "name": "other", "cameras": [] }), 400, "cameras"),
    ] {
        let (found, _, error) = error_of(browser.post(path, &body).await).await;
        assert_eq!((found, error["error"]["field"].as_str()), (status, Some(field)), "{body}");
    }
    let user = json!({ "username": "vms", "password": PASSWORD, "role": "viewer" });
    assert_eq!(browser.post("/api/admin/users", &user).await.status(), 409);
    assert_eq!(browser.json(path).await["logins"][0]["name"], "vms");
    assert_eq!(browser.delete(&format!("{path}/{}", uuid::Uuid::nil())).await.status(), 404);
    page.stop().await;
}

/// Larger than a key frame of a 4K camera, so that the network of one machine is full soon.
const PICTURE: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_alone() {
    let (page, browser, listen, film) = playing(true).await;
    film.abort();
    let (_, password) = login(&browser, "vms", None).await;
    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("vms:{password}")));
    let begin = move || {
        let mut talk = Talk::begin(listen);
        assert_eq!(talk.ask("DESCRIBE", URI, &basic).0, 200);
        let way = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        assert_eq!(talk.ask("SETUP", &format!("{URI}/track1"), way).0, 200);
        assert_eq!(talk.ask("PLAY", URI, "").0, 200);
        talk.socket
    };
    let (mut quick, mut slow) = tokio::task::spawn_blocking(move || (begin(), begin())).await.unwrap();
    let sink = page.context.live.sink(&"gate".parse().unwrap(), StreamKind::Main);
    let units = pictures();
    let config = VideoConfig::from_nals(VideoCodec::H264, gtv_edge::media::sized_units(&units[0])).unwrap();
    let config = Arc::new(config);
    let sending = tokio::spawn(async move {
        for n in 0i64.. {
            let unit = [&[if n % 25 == 0 { 0x65 } else { 0x41 }], &vec![7; PICTURE][..]].concat();
            let data = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat();
            let (key, pts) = (n % 25 == 0, 90_000_000 + n * 3600);
            sink.picture(&Picture { data: data.into(), key, time: UtcMicros::now(), pts, config: config.clone() });
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    // Until the other has been cut, this one reads everything; the time of each picture tells what is missing.
    let other_is_cut = Arc::new(AtomicBool::new(false));
    let until = other_is_cut.clone();
    let reading = std::thread::spawn(move || {
        let mut times = Vec::new();
        while !until.load(Ordering::Relaxed) {
            let mut head = [0; 4];
            quick.read_exact(&mut head).unwrap();
            let mut packet = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
            quick.read_exact(&mut packet).unwrap();
            if head[1] == 0 {
                times.push(u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]));
            }
        }
        times.dedup();
        times
    });
    let metrics = page.context.metrics.clone();
    let counted = async {
        let slow = |line: &str| line.contains("gtv_dropped_total") && line.contains("slow_viewer");
        while !metrics.render().lines().any(slow) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), counted).await.expect("the slow one is cut and counted");
    other_is_cut.store(true, Ordering::Relaxed);
    let times = tokio::task::spawn_blocking(move || reading.join().unwrap()).await.unwrap();
    // What was kept from before stands somewhere else on the line.
    let from = times.iter().position(|time| *time >= 90_000_000).unwrap();
    assert!(times[from..].len() >= 100, "{} pictures", times.len());
    assert!(times[from..].windows(2).all(|pair| pair[1] - pair[0] == 3600), "nothing is missing");
    let ended = tokio::task::spawn_blocking(move || {
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).map_or(0, |length| length)
    });
    // What the network held, and then the end.
    assert!(ended.await.unwrap() < 60_000_000);
    sending.abort();
    page.stop().await;
}
