//! RTSP push to FFmpeg as the server, to one that asks for a password, and to none.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gtv_edge::live::rtsp::{Ha1, attempt};
use serde_json::{Value, json};

use crate::harness::{Browser, error_of};
use crate::rtsp::playing;

const CAMERA: &str = "/api/cidades/cameras/gate";

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// FFmpeg as a server that takes one stream of 40 pictures.
fn server(address: SocketAddr) -> Child {
    Command::new("ffmpeg")
        .args(["-v", "error", "-rtsp_flags", "listen", "-i", &format!("rtsp://{address}/live/gate")])
        .args(["-frames:v", "40", "-f", "framecrc", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg runs")
}

/// Waits until the push is in that state; what it says.
async fn state(browser: &Browser, wanted: &str) -> Value {
    for _ in 0..100 {
        let status = browser.json(CAMERA).await["push"]["status"].clone();
        if status["state"] == wanted {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never {wanted}: {}", browser.json(CAMERA).await["push"]);
}

async fn set(browser: &Browser, push: Value) {
    let answer = browser.put(CAMERA, &json!({ "push": push })).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gets_the_stream_again_and_again() {
    let (page, browser, _, film) = playing(false).await;
    let address = free();
    set(&browser, json!({ "url": format!("rtsp://{address}/live/gate") })).await;
    let failed = state(&browser, "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("cannot be reached"), "{failed}");
    // It comes up, ends, and comes up once more.
    for round in 0..2 {
        let child = server(address);
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let (lines, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let frames = lines.lines().filter(|line| line.starts_with("0,")).count();
        assert_eq!((output.status.success(), frames), (true, 40), "round {round}: {errors}");
    }
    set(&browser, json!({ "url": "" })).await;
    assert_eq!(browser.json(CAMERA).await["push"]["status"], Value::Null);
    let sub = browser.put(CAMERA, &json!({ "push": { "url": "rtsp://box/x", "stream": "sub" } })).await;
    let (status, _, error) = error_of(sub).await;
    assert_eq!((status, error["error"]["field"].as_str()), (400, Some("push.stream")));
    film.abort();
    page.stop().await;
}

/// One request: its head and its body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A server that takes a stream only from `vms` with `secret`; gives the packets of the first moments.
fn guarded(listener: &TcpListener) -> Vec<u8> {
    let proof = Ha1::of("vms", "secret");
    loop {
        let (socket, _) = listener.accept().unwrap();
        let (mut out, mut reader) = (socket.try_clone().unwrap(), BufReader::new(socket));
        while let Some((head, body)) = request(&mut reader) {
            let method = head.split(' ').next().unwrap().to_owned();
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let given = field("Authorization: ").and_then(|value| attempt(&value, &method));
            let number = field("CSeq: ").unwrap();
            if !given.is_some_and(|given| given.user == "vms" && proof.proves(&given)) {
                let asked = "WWW-Authenticate: Digest realm=\"gtv-edge\", nonce=\"n\", algorithm=SHA-256\r\n\
                             WWW-Authenticate: Basic realm=\"gtv-edge\"\r\n";
                write!(out, "RTSP/1.0 401 Unauthorized\r\nCSeq: {number}\r\n{asked}\r\n").unwrap();
                continue;
            }
            if method == "ANNOUNCE" {
                assert!(String::from_utf8(body).unwrap().contains("a=rtpmap:96 H264/90000"));
            }
            let way = field("Transport: ").map_or_else(String::new, |way| format!("Transport: {way}\r\n"));
            write!(out, "RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 12;timeout=60\r\n{way}\r\n").unwrap();
            if method == "RECORD" {
                assert_eq!(field("Session: ").as_deref(), Some("12"));
                let mut packets = vec![0; 20_000];
                reader.read_exact(&mut packets).unwrap();
                return packets;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_ask_for_a_password_which_is_never_shown() {
    let (page, browser, _, film) = playing(false).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken = tokio::task::spawn_blocking(move || guarded(&listener));
    set(&browser, json!({ "url": format!("rtsp://vms:wrong@{address}/gate") })).await;
    let failed = state(&browser, "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("refuses user and password"), "{failed}");
    set(&browser, json!({ "password": "secret" })).await;
    let packets = taken.await.unwrap();
    assert_eq!((packets[0], packets[1]), (b'$', 1), "a sender report comes first");
    let shown = browser.json(CAMERA).await;
    assert_eq!(
        (shown["push"]["url"].as_str(), &shown["push"]["has_password"]),
        (Some(&*format!("rtsp://{address}/gate")), &json!(true))
    );
    let kept = std::fs::read_to_string(page.context.supervisor.config().data_dir.join("overrides.toml")).unwrap();
    assert!(kept.contains("enc:") && !kept.contains("secret") && !shown.to_string().contains("secret"), "{kept}");
    film.abort();
    page.stop().await;
}
