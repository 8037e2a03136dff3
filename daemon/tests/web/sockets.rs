//! WebSockets with a real client, and with one that does not follow the protocol.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gtv_edge::media::StreamKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::{Browser, Page, error_of};
use crate::live::fragment;
use crate::media::init_segment;

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub async fn token(browser: &Browser) -> String {
    let answer = browser.post("/api/admin/refresh", &json!({})).await;
    answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

pub async fn open(page: &Page, path: &str, token: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{}{path}", page.address).into_client_request().unwrap();
    request.headers_mut().insert("cookie", format!("gtv_access={token}").parse().unwrap());
    connect_async(request).await.map(|(socket, _)| socket)
}

/// The next message that is not a ping.
pub async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = timeout(Duration::from_secs(10), socket.next()).await.expect("a message in time");
        match message.expect("an open socket").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

async fn closing(socket: &mut Socket) -> (u16, String) {
    match next(socket).await {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn detections_arrive_as_they_are_stored() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let mut socket = open(&page, "/api/ai/lpr/stream", &token(&browser).await).await.unwrap();
    let id = page.detection("gate", "AAA1A11", 0).await;
    let event: Value = serde_json::from_str(next(&mut socket).await.to_text().unwrap()).unwrap();
    assert_eq!((event["type"].as_str(), event["detection"]["plate"].as_str()), (Some("detection"), Some("AAA1A11")));
    page.store().attach_clip(id, gtv_edge::store::ClipOutcome::Unavailable("recording is off".into())).await.unwrap();
    let event: Value = serde_json::from_str(next(&mut socket).await.to_text().unwrap()).unwrap();
    assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("clip"), Some(id.to_string().as_str())));
    page.stop().await;
}

#[tokio::test]
async fn strangers_and_plain_requests_get_no_socket() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    match open(&page, "/api/ai/lpr/stream", "nonsense").await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 401),
        other => panic!("{other:?}"),
    }
    let (status, code, _) = error_of(browser.get("/api/ai/lpr/stream").await).await;
    assert_eq!((status, code.as_str()), (426, "upgrade_required"));
    match open(&page, "/api/streaming/cameras/none/live", &token(&browser).await).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 404),
        other => panic!("{other:?}"),
    }
    page.stop().await;
}

#[tokio::test]
async fn what_a_client_may_not_send_closes_with_a_reason() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let token = token(&browser).await;
    let mut talking = open(&page, "/api/ai/lpr/stream", &token).await.unwrap();
    talking.send(Message::text("hello")).await.unwrap();
    let (code, reason) = closing(&mut talking).await;
    assert!(code == 1003 && !reason.is_empty(), "{code} {reason}");
    let mut large = open(&page, "/api/ai/lpr/stream", &token).await.unwrap();
    large.send(Message::binary(vec![0; 100_000])).await.unwrap();
    let (code, reason) = closing(&mut large).await;
    assert!(code == 1009 && reason.contains("Invalid frame"), "{code} {reason}");
    page.stop().await;
}

#[tokio::test]
async fn an_invalid_frame_closes_with_code_and_message() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let mut raw = TcpStream::connect(page.address).await.unwrap();
    let hello = format!(
        "GET /api/ai/lpr/stream HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\ncookie: gtv_access={}\r\n\r\n",
        page.address,
        token(&browser).await
    );
    raw.write_all(hello.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(raw.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    // All reserved bits set, an opcode that does not exist, and no mask.
    raw.write_all(&[0xff, 0x05, b'h', b'e', b'l', b'l', b'o']).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(10), raw.read_to_end(&mut answer)).await.expect("the box closes").ok();
    let close = answer.windows(2).position(|w| w[0] == 0x88).map(|at| &answer[at..]).expect("a close frame");
    assert_eq!(u16::from_be_bytes([close[2], close[3]]), 1002);
    assert!(String::from_utf8_lossy(&close[4..]).contains("Invalid frame"));
    page.stop().await;
}

#[tokio::test]
async fn logging_out_and_stopping_end_open_sockets() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let mut socket = open(&page, "/api/ai/lpr/stream", &token(&browser).await).await.unwrap();
    let stopping = tokio::spawn(page.stop());
    let (code, _) = closing(&mut socket).await;
    assert_eq!(code, 1001);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_silent_camera_says_why() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let camera = json!({ "id": "gate", "main_url": "rtsp://192.0.2.1/main" });
    assert_eq!(browser.post("/api/cidades/cameras", &camera).await.status(), 201);
    let mut socket = open(&page, "/api/streaming/cameras/gate/live", &token(&browser).await).await.unwrap();
    let event: Value = serde_json::from_str(next(&mut socket).await.to_text().unwrap()).unwrap();
    assert_eq!((event["type"].as_str(), event["state"].as_str()), (Some("waiting"), Some("unreachable")));
    assert!(event["reason"].as_str().unwrap().contains("check power"));
    assert_eq!(browser.delete("/api/cidades/cameras/gate").await.status(), 204);
    let (code, _) = closing(&mut socket).await;
    assert_eq!(code, 4404);
    page.stop().await;
}

/// Fragments of 64 KB: a key frame of a 4K camera.
const FRAGMENT: usize = 64 * 1024;
/// More than the box, both kernels and the queue of a viewer hold.
const FRAGMENTS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_does_not_read_loses_fragments_alone() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let camera = json!({ "id": "gate", "main_url": "rtsp://192.0.2.1/main" });
    assert_eq!(browser.post("/api/cidades/cameras", &camera).await.status(), 201);
    let token = token(&browser).await;
    let sink = page.context.live.sink(&"gate".parse().unwrap(), StreamKind::Main);
    let init = init_segment(b"init".as_slice().into());
    // The number stands at the start of each.
    let push = |n: usize| {
        let mut data = vec![0; FRAGMENT];
        data[..4].copy_from_slice(&(n as u32).to_be_bytes());
        sink.push(&fragment(n, &init, &data.into()));
    };
    push(0);
    let path = "/api/streaming/cameras/gate/live";
    let mut quick = open(&page, path, &token).await.unwrap();
    let mut slow = open(&page, path, &token).await.unwrap();
    let number = |message: &Message| match message {
        Message::Binary(data) if data.len() == FRAGMENT => Some(u32::from_be_bytes(data[..4].try_into().unwrap())),
        _ => None,
    };
    let mut seen = Vec::new();
    for n in 1..FRAGMENTS {
        push(n);
        // As fast as this one takes them.
        while seen.last().is_none_or(|last| *last + 1 < n as u32) {
            seen.extend(number(&next(&mut quick).await));
        }
    }
    let all: Vec<u32> = (0..FRAGMENTS as u32 - 1).collect();
    assert_eq!(seen, all, "the one that reads loses nothing and waits for nobody");
    // What the other finds when it reads again: the old, and then the newest.
    let mut late = Vec::new();
    while late.last().is_none_or(|last| *last + 1 < FRAGMENTS as u32) {
        match next(&mut slow).await {
            // It took nothing for ten seconds.
            Message::Close(_) => break,
            message => late.extend(number(&message)),
        }
    }
    let lost = FRAGMENTS - late.len();
    assert!(lost > 100 && late.windows(2).all(|pair| pair[0] < pair[1]), "{lost} lost");
    let counted = page.context.metrics.render();
    let line = counted.lines().find(|line| line.contains("gtv_dropped_total") && line.contains("slow_"));
    assert!(line.is_some(), "it is counted: {counted}");
    page.stop().await;
}
