//! Recorded sessions (`protocol/tests/sessions/*.json`): what a box and a centre of a release said to each other, byte by
//! byte. Today's centre must take what that box said, and today's box must understand what that centre said.
//! `GTV_RECORD_SESSION=FILE` writes the session of this run, to be kept with the release.

#[path = "../../central/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use gtv_edge::base::identity::Identity;
use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::{CameraConfig, Config, SyncConfig};
use gtv_edge::store::{AlertRow, Bucket, ClipOutcome, DetectionRow, Severity, Store, StoredClip, Stream};
use gtv_edge::sync;
use gtv_protocol::{Message, auth, codec};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{Center, Garage, Postgres};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async};

const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Serialize, Deserialize)]
struct Session {
    software: String,
    version: u16,
    box_id: String,
    /// Seed of the Ed25519 key, hex. The box existed for this recording only.
    box_key: String,
    objects: Vec<Object>,
    frames: Vec<Recorded>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Object {
    bucket: String,
    key: String,
    hex: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Recorded {
    from: From,
    hex: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Box,
    Centre,
}

impl Session {
    fn frames(&self, from: From) -> Vec<Vec<u8>> {
        self.frames.iter().filter(|frame| frame.from == from).map(|frame| hex::decode(&frame.hex).unwrap()).collect()
    }

    /// The first control message of this type, as JSON.
    fn find(&self, from: From, kind: &str) -> Option<Value> {
        self.frames(from).iter().filter_map(|frame| control(frame)).find(|value| value["type"] == kind)
    }

    fn batches(&self) -> Vec<gtv_protocol::Batch> {
        let decode = |frame: &Vec<u8>| match codec::decode(frame) {
            Ok(Message::Batch(batch)) => Some(batch),
            Ok(_) => None,
            Err(error) => panic!("a recorded frame is not readable: {error}"),
        };
        self.frames(From::Box).iter().filter_map(decode).collect()
    }

    /// A data folder with the key and the id of the recorded box.
    fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("keys")).unwrap();
        std::fs::write(folder.path().join("keys/box.key"), hex::decode(&self.box_key).unwrap()).unwrap();
        std::fs::write(folder.path().join("keys/box.id"), &self.box_id).unwrap();
        folder
    }
}

/// A frame that is no batch, as JSON: tag 1, then the text.
fn control(frame: &[u8]) -> Option<Value> {
    frame.strip_prefix(&[1]).map(|json| serde_json::from_slice(json).unwrap())
}

fn frame_of(value: &Value) -> Frame {
    let mut frame = vec![1];
    frame.extend(serde_json::to_vec(value).unwrap());
    Frame::Binary(frame.into())
}

/// What an older reader looks for is still there, and of the same type.
fn assert_covers(old: &Value, new: &Value, place: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let now = new.get(key).unwrap_or_else(|| panic!("{place}.{key} is gone"));
                assert_covers(value, now, &format!("{place}.{key}"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (old, new) => {
            assert_eq!(std::mem::discriminant(old), std::mem::discriminant(new), "{place} was {old} and is {new}");
        }
    }
}

/// PostgreSQL, S3 and gtv-sync, which vends keys to its boxes.
struct Servers {
    center: Center,
    garage: Garage,
    postgres: Postgres,
}

impl Servers {
    fn start() -> Self {
        let postgres = Postgres::start_new();
        let garage = Garage::start_empty();
        let center = Center::start_vending(&postgres, &garage);
        Self { center, garage, postgres }
    }

    fn bucket(&self, name: &str) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(self.garage.endpoint())
            .with_region(support::garage::REGION)
            .with_bucket_name(name)
            .with_access_key_id(support::garage::ACCESS_KEY)
            .with_secret_access_key(support::garage::SECRET_KEY)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .build()
            .unwrap()
    }

    async fn count(&self, from: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query_one(&format!("SELECT count(*) FROM {from}"), &[]).await.unwrap().get(0)
    }
}

/// A box with something of everything that is told to a centre.
async fn tell(store: &Store) {
    let now = UtcMicros::now();
    for number in 0..3 {
        let bytes = Bytes::from(format!("crop {number}"));
        let crop = store.put_object(bytes, "image/jpeg", Bucket::LprImages).await.unwrap();
        if number == 2 {
            // The centre does not find it and asks for it.
            store.mark_uploaded(&crop.sha256).await.unwrap();
        }
        let row = DetectionRow {
            id: DetectionId::new(),
            camera: "gate".parse().unwrap(),
            plate: Plate::normalize(&format!("ABC1D2{number}")),
            layout: "br-mercosul".to_owned(),
            category: Some("private".to_owned()),
            confidence: 0.97,
            alternatives: vec![("ABC1D28".to_owned(), 0.02)],
            first_seen: now.add_micros(-1_000_000),
            last_seen: now,
            best_at: now,
            quad: [[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]],
            bbox: [1.0, 2.0, 3.0, 4.0],
            frame_width: 1920,
            frame_height: 1080,
            direction: Some("approaching".to_owned()),
            reads: 5,
            single: false,
            crop: Some(crop),
            frame: None,
            clip: None,
            clip_unavailable: None,
            slots: json!([[["A", 0.99]]]),
        };
        store.insert_detection(row.clone()).await.unwrap();
        let clip = if number == 0 {
            let object = store.put_object(Bytes::from_static(b"clip"), "video/mp4", Bucket::Recordings).await.unwrap();
            ClipOutcome::Stored(StoredClip {
                object,
                stream: Stream::Main,
                start: now.add_micros(-5_000_000),
                end: now,
            })
        } else {
            ClipOutcome::Unavailable("nothing was recorded then".to_owned())
        };
        store.attach_clip(row.id, clip).await.unwrap();
    }
    let alert = AlertRow {
        id: uuid::Uuid::new_v4(),
        at: now,
        kind: "watchlist-hit".to_owned(),
        severity: Severity::Critical,
        camera: Some("gate".parse().unwrap()),
        detection: None,
        title: "A watched plate passed".to_owned(),
        detail: Value::Null,
        acknowledged_at: None,
        acknowledged_by: None,
    };
    store.insert_alert(alert, Some(Plate::normalize("ABC1D21"))).await.unwrap();
}

/// Runs delivery of a box until everything is told, and `longer` after that.
async fn deliver(folder: &Path, url: String, longer: Duration) {
    let store = Store::open(folder).unwrap();
    let identity = Identity::open_or_create(folder).unwrap();
    tell(&store).await;
    let gate = CameraConfig { id: "gate".parse().unwrap(), name: "Gate".to_owned(), ..CameraConfig::default() };
    let config = Config {
        data_dir: folder.to_owned(),
        sync: SyncConfig { url, batch_records: 4, ..SyncConfig::default() },
        cameras: vec![gate],
        ..Config::default()
    };
    let tasks = Tasks::new();
    let handle = sync::start(&config, store.clone(), identity.clone(), &tasks);
    let told = async {
        while handle.status().borrow().acked_seq == 0
            || store.outbox_status(identity.box_id).await.unwrap().pending() > 0
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, told).await.is_ok();
    assert!(in_time, "not told in time: {:#?}", handle.status().borrow());
    tokio::time::sleep(longer).await;
    let status = handle.status().borrow().clone();
    assert_eq!((status.centre, status.objects, status.conflict), (None, None, None));
    assert!(tasks.shutdown(Duration::from_secs(20)).await);
}

/// A real box and a real centre with a listener between them.
async fn record(servers: &Servers, longer: Duration) -> Session {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/sync/v1", listener.local_addr().unwrap());
    let frames: Arc<Mutex<Vec<Recorded>>> = Arc::default();
    let (kept, target) = (frames.clone(), servers.center.url());
    let relay = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let (mut near_out, mut near_in) = accept_async(near).await.unwrap().split();
        let (far, _) = connect_async(target).await.unwrap();
        let (mut far_out, mut far_in) = far.split();
        let keep = |from, frame: &Frame| {
            if let Frame::Binary(bytes) = frame {
                kept.lock().unwrap().push(Recorded { from, hex: hex::encode(bytes) });
            }
        };
        loop {
            let passed = tokio::select! {
                Some(Ok(frame)) = near_in.next() => { keep(From::Box, &frame); far_out.send(frame).await }
                Some(Ok(frame)) = far_in.next() => { keep(From::Centre, &frame); near_out.send(frame).await }
                else => break,
            };
            if passed.is_err() {
                break;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    deliver(folder.path(), url, longer).await;
    relay.abort();
    let frames = frames.lock().unwrap().clone();
    let identity = Identity::open_or_create(folder.path()).unwrap();
    let mut session = Session {
        software: format!("gtv-edge {}", env!("CARGO_PKG_VERSION")),
        version: gtv_protocol::VERSION_MAX,
        box_id: identity.box_id.0.to_string(),
        box_key: hex::encode(std::fs::read(folder.path().join("keys/box.key")).unwrap()),
        objects: Vec::new(),
        frames,
    };
    for object in session.batches().iter().flat_map(|batch| &batch.records).flat_map(|record| &record.objects) {
        let bytes =
            servers.bucket(&object.bucket).get(&object.key.as_str().into()).await.unwrap().bytes().await.unwrap();
        let (bucket, key, hex) = (object.bucket.clone(), object.key.clone(), hex::encode(bytes));
        if session.objects.iter().all(|known| known.key != key) {
            session.objects.push(Object { bucket, key, hex });
        }
    }
    session
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn receive(socket: &mut Socket) -> Value {
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("the centre answers in time");
        if let Frame::Binary(bytes) = next.expect("the centre does not hang up").unwrap() {
            return control(&bytes).expect("the centre sends no batches");
        }
    }
}

/// Says to today's centre what the recorded box said.
async fn replay_box(session: &Session, servers: &Servers) {
    for object in &session.objects {
        let bytes = hex::decode(&object.hex).unwrap();
        servers.bucket(&object.bucket).put(&object.key.as_str().into(), PutPayload::from(bytes)).await.unwrap();
    }
    let (mut socket, _) = connect_async(servers.center.url()).await.unwrap();
    let folder = session.folder();
    let identity = Identity::open_or_create(folder.path()).unwrap();
    let (mut last, mut answered) = ((0, 0), 0);
    for frame in session.frames(From::Box) {
        let said = control(&frame);
        let kind = said.as_ref().map_or("batch", |value| value["type"].as_str().unwrap());
        if kind == "proof" {
            // The only thing that cannot be said again as it was: it signs the nonce of the challenge.
            let challenge = receive(&mut socket).await;
            assert_covers(&session.find(From::Centre, "challenge").unwrap(), &challenge, "challenge");
            let nonce = gtv_protocol::Nonce::parse(challenge["data"]["nonce"].as_str().unwrap()).unwrap();
            let hello = session.frames(From::Box).remove(0);
            let mut proof = said.clone().unwrap();
            proof["data"]["signature"] = hex::encode(identity.sign(&auth::challenge_payload(&nonce, &hello))).into();
            socket.send(frame_of(&proof)).await.unwrap();
            let welcome = receive(&mut socket).await;
            assert_covers(&session.find(From::Centre, "welcome").unwrap(), &welcome, "welcome");
            continue;
        }
        socket.send(Frame::Binary(frame.into())).await.unwrap();
        let (wanted, old) = match kind {
            "batch" => ("ack", session.find(From::Centre, "ack")),
            "ping" => ("pong", session.find(From::Centre, "pong")),
            "renew_access" => ("access", session.find(From::Centre, "access")),
            _ => continue,
        };
        let answer = receive(&mut socket).await;
        assert_eq!(answer["type"], wanted, "{answer}");
        assert_covers(&old.unwrap(), &answer, wanted);
        if wanted == "ack" {
            last = (answer["data"]["epoch"].as_i64().unwrap(), answer["data"]["seq"].as_u64().unwrap());
        }
        answered += 1;
    }
    assert!(answered > 1, "nothing was replayed");
    let batches = session.batches();
    let records: Vec<_> = batches.iter().flat_map(|batch| &batch.records).collect();
    let head = records.iter().map(|record| (record.epoch, record.seq)).max().unwrap();
    assert_eq!(last, head, "everything is committed");
    let kind = |kind: &str| {
        let ids: std::collections::BTreeSet<_> = records.iter().filter(|r| r.kind == kind).map(|r| &r.id).collect();
        ids.len() as i64
    };
    let of_box = |table: &str| format!("{table} WHERE box_id = '{}'", session.box_id);
    assert_eq!(servers.count(&of_box("ai.detections")).await, kind("detection"));
    assert_eq!(servers.count(&of_box("ai.alerts")).await, kind("alert"));
    assert_eq!(servers.count(&of_box("streaming.clips")).await, kind("clip"));
    assert_eq!(servers.count(&of_box("sync.incidents")).await, 0);
}

/// Answers today's box with what the recorded centre said; only numbers and addresses are those of today.
async fn replay_centre(session: &Session, servers: &Servers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/sync/v1", listener.local_addr().unwrap());
    let (script, endpoint) = (session.clone(), servers.garage.endpoint());
    let centre = tokio::spawn(async move {
        let said = |kind: &str| script.find(From::Centre, kind);
        let (near, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(near).await.unwrap();
        let mut reject = said("reject");
        while let Some(Ok(frame)) = socket.next().await {
            let Frame::Binary(bytes) = frame else { continue };
            let answer = match codec::decode(&bytes).unwrap() {
                Message::Hello(_) => said("challenge").unwrap(),
                Message::Proof(_) => {
                    let mut welcome = said("welcome").unwrap();
                    welcome["data"]["resume_after"] = Value::Null;
                    welcome["data"]["access"]["endpoint"] = endpoint.clone().into();
                    welcome
                }
                Message::Batch(batch) => {
                    let (first, last) = (&batch.records[0], batch.records.last().unwrap());
                    let (mut answer, seq) = match reject.take() {
                        Some(reject) => (reject, first.seq),
                        None => (said("ack").unwrap(), last.seq),
                    };
                    answer["data"]["epoch"] = last.epoch.into();
                    answer["data"]["seq"] = seq.into();
                    answer
                }
                Message::Ping { .. } => {
                    let mut pong = said("pong").unwrap();
                    pong["data"]["id"] = control(&bytes).unwrap()["data"]["id"].clone();
                    pong
                }
                Message::RenewAccess => said("access").unwrap(),
                other => panic!("a box does not say {other:?}"),
            };
            if let Some(now) = control(&bytes) {
                let recorded = script.find(From::Box, now["type"].as_str().unwrap());
                assert_covers(&recorded.unwrap_or(Value::Null), &now, "the box's message");
            }
            if socket.send(frame_of(&answer)).await.is_err() {
                break;
            }
        }
    });
    let folder = session.folder();
    deliver(folder.path(), url, Duration::from_millis(500)).await;
    centre.await.expect("the recorded centre understood the box");
}

fn kept() -> Vec<(PathBuf, Session)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/sessions");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let session = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        (path, session)
    };
    paths.into_iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_session_of_today_is_recorded_and_said_again() {
    let servers = Servers::start();
    let file = std::env::var_os("GTV_RECORD_SESSION");
    // Long enough for the box to ask whether the centre is still there.
    let longer = Duration::from_secs(if file.is_some() { 17 } else { 0 });
    let session = record(&servers, longer).await;
    assert!(session.find(From::Centre, "reject").is_some(), "an object was missing");
    if let Some(file) = file {
        assert!(session.find(From::Centre, "pong").is_some());
        std::fs::write(file, serde_json::to_vec_pretty(&session).unwrap()).unwrap();
    }
    replay_centre(&session, &servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn sessions_of_every_release_are_understood_by_both_sides() {
    let servers = Servers::start();
    let sessions = kept();
    assert!(!sessions.is_empty());
    for (path, session) in sessions {
        println!("{}: {}", path.display(), session.software);
        replay_box(&session, &servers).await;
        replay_centre(&session, &servers).await;
    }
}
