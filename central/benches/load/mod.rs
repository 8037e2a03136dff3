//! Load of many boxes: chains made and signed beforehand, sent as fast as the service acknowledges; idle sessions.

use crate::client::{FakeBox, Uplink};
use futures_util::{StreamExt, stream};
use gtv_protocol::{Body, Message, PlateText, body, encode, limits};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Vehicles of the city; most of them pass again and again.
const VEHICLES: u64 = 100_000;
/// A box pings after this much silence.
const PING_EVERY: Duration = Duration::from_secs(15);

/// One box and the frames it will send.
pub struct Load {
    fake: FakeBox,
    frames: Vec<Vec<u8>>,
    pub records: u64,
}

/// `boxes` chains of `detections` each, of the last minutes, ready to be sent.
pub fn prepare(boxes: u64, detections: u64, batch: u64) -> Vec<Load> {
    let now_us = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros() as i64;
    let threads: Vec<_> = (0..boxes)
        .map(|number| {
            std::thread::spawn(move || {
                let mut fake = FakeBox::new();
                let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                for n in 0..detections {
                    let at_us = now_us - ((detections - n) * 1000) as i64;
                    let body = detection(next(&mut random) % VEHICLES, next(&mut random), at_us);
                    fake.append(&body, &Uuid::now_v7().to_string(), vec![]);
                }
                let mut frames = Vec::new();
                let mut first = 1;
                while first <= detections {
                    let last = (first + batch - 1).min(detections);
                    let frame = encode(&Message::Batch(fake.batch(first, last))).expect("within the limits");
                    frames.push(frame);
                    first = last + 1;
                }
                // The Hello tells the last number; the records themselves are in the frames.
                fake.chain.drain(..fake.chain.len() - 1);
                Load { fake, frames, records: detections }
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}

/// Sends all of it, each box with the window that the protocol allows, until everything is acknowledged.
pub async fn deliver(url: &str, boxes: Vec<Load>) {
    let tasks: Vec<JoinHandle<()>> = boxes
        .into_iter()
        .map(|load| {
            let url = url.to_owned();
            tokio::spawn(async move {
                let mut uplink = Uplink::dial(&url, &load.fake).await.expect("admitted");
                let mut frames = load.frames.into_iter();
                let mut in_flight = 0;
                let mut acknowledged = 0;
                while acknowledged < load.records {
                    while in_flight < limits::BATCHES_IN_FLIGHT_MAX {
                        let Some(frame) = frames.next() else { break };
                        uplink.send_raw(Frame::binary(frame)).await.expect("the connection holds");
                        in_flight += 1;
                    }
                    let seq = uplink.ack().await.seq;
                    assert!(seq > acknowledged, "acknowledged backwards");
                    acknowledged = seq;
                    in_flight -= 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a box was not served");
    }
}

pub struct Idle {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Boxes that only keep their session alive.
pub async fn connect_idle(url: &str, count: u64) -> Idle {
    let stop = CancellationToken::new();
    let uplinks: Vec<Uplink> = stream::iter(0..count)
        .map(|_| async { Uplink::dial(url, &FakeBox::new()).await.expect("admitted") })
        .buffer_unordered(32)
        .collect()
        .await;
    let tasks = uplinks.into_iter().map(|uplink| tokio::spawn(keep_alive(uplink, stop.clone()))).collect();
    Idle { stop, tasks }
}

async fn keep_alive(mut uplink: Uplink, stop: CancellationToken) {
    let mut id = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PING_EVERY) => {}
        }
        id += 1;
        uplink.send(Message::Ping { id }).await.expect("the connection holds");
        assert!(matches!(uplink.receive().await, Ok(Message::Pong { .. })), "no Pong");
    }
}

impl Idle {
    pub async fn close(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("an idle box lost its session");
        }
    }
}

pub async fn stored_detections(url: &str) -> u64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    let row = client.query_one("SELECT count(*) FROM ai.detections", &[]).await.expect("the table exists");
    row.get::<_, i64>(0).cast_unsigned()
}

/// User and system time of a process so far.
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; utime and stime are fields 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// The same of all processes that `pid` started and that still run.
pub fn cpu_seconds_of_children(pid: u32) -> f64 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).map(cpu_seconds).sum()
}

pub fn resident_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// A passage with alternatives and probabilities of the usual size.
fn detection(vehicle: u64, random: u64, at_us: i64) -> Body {
    let plate = plate_of(vehicle);
    let slots: Vec<_> = plate
        .chars()
        .map(|c| json!([[c, 0.9312], [char::from(b'A' + (random % 26) as u8), 0.0411], ["8", 0.0104], ["_", 0.0071]]))
        .collect();
    let changed = |at: usize| {
        let mut text = plate.clone().into_bytes();
        text[at] = b'0' + (random >> 8) as u8 % 10;
        PlateText(String::from_utf8(text).expect("ASCII"))
    };
    let x = (random % 1700) as f32 + 0.25;
    Body::Detection(body::Detection {
        camera: format!("camera-{}", random % 16),
        plate: PlateText(plate.clone()),
        layout: "br-mercosul".to_owned(),
        category: Some("private".to_owned()),
        confidence: 0.93,
        alternatives: vec![
            body::Alternative { text: changed(5), p: 0.04 },
            body::Alternative { text: changed(6), p: 0.01 },
        ],
        first_seen_us: at_us,
        last_seen_us: at_us + 900_000,
        best_at_us: at_us + 400_000,
        quad: [[x, 640.25], [x + 109.5, 641.0], [x + 109.25, 676.0], [x, 675.5]],
        bbox: [x, 640.25, x + 109.5, 676.0],
        frame_width: 1920,
        frame_height: 1080,
        direction: Some("approaching".to_owned()),
        reads: 9,
        single: false,
        slots: Some(slots.into()),
        crop: None,
        frame: None,
    })
}

/// Mercosul plate of a vehicle, spread over the alphabet.
fn plate_of(vehicle: u64) -> String {
    let mut rest = vehicle.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let mut pick = |first: u8, count: u64| {
        let c = char::from(first + (rest % count) as u8);
        rest /= count;
        c
    };
    "LLLNLNN".chars().map(|class| if class == 'L' { pick(b'A', 26) } else { pick(b'0', 10) }).collect()
}

/// xorshift64* (Vigna 2016).
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
}
