//! A box at protocol level: keeps a chain, uploads objects, speaks to gtv-sync.
#![allow(dead_code)] // Each test binary uses its own part of this folder.

use crate::support::garage::{ACCESS_KEY, Garage, REGION, SECRET_KEY};
use ed25519_dalek::SigningKey;
use futures_util::{SinkExt, StreamExt};
use gtv_protocol::hex_bytes::HexBytes;
use gtv_protocol::status::{CameraStreams, StreamChange, StreamMeasures};
use gtv_protocol::{
    Ack, Batch, Body, Draft, Hash, Hello, Message, ObjectRef, PlateText, Position, Proof, Record, Refusal, Reject,
    UnavailableObject, VersionRange, Welcome, auth, body, decode, encode, merkle,
};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(60);
pub const EPOCH: i64 = 1_790_000_000_000_000;

/// The box's own side: identity and the whole chain, as its outbox would keep it.
pub struct FakeBox {
    pub id: Uuid,
    pub key: SigningKey,
    pub epoch: i64,
    pub chain: Vec<Record>,
    pub prefeitura: String,
    pub enrol_code: Option<String>,
    pub unavailable: Vec<UnavailableObject>,
}

impl FakeBox {
    pub fn new() -> Self {
        Self {
            id: Uuid::now_v7(),
            key: SigningKey::from_bytes(&rand::random()),
            epoch: EPOCH,
            chain: Vec::new(),
            prefeitura: "sao-paulo".to_owned(),
            enrol_code: None,
            unavailable: Vec::new(),
        }
    }

    pub fn head(&self) -> Position {
        self.chain.last().map_or_else(
            || Position::start(self.id, self.epoch),
            |r| Position { epoch: r.epoch, seq: r.seq, hash: r.hash },
        )
    }

    /// Appends a record to the chain.
    pub fn append(&mut self, body: &Body, id: &str, objects: Vec<ObjectRef>) {
        self.append_draft(Draft::new(body, id, EPOCH, objects).unwrap());
    }

    pub fn append_draft(&mut self, draft: Draft) {
        let head = self.head();
        self.chain.push(draft.seal(self.id, self.epoch, head.seq + 1, head.hash));
    }

    /// A detection whose crop is `crop`; returns its id.
    pub fn detect(&mut self, plate: &str, crop: Option<&ObjectRef>) -> Uuid {
        let id = Uuid::now_v7();
        let body = detection(plate, crop.map(|object| object.sha256));
        self.append(&body, &id.to_string(), crop.cloned().into_iter().collect());
        id
    }

    /// A passage that was seen at this time, microseconds since 1970.
    pub fn detect_at(&mut self, first_seen_us: i64) {
        let Body::Detection(seen) = detection("AAA1A11", None) else { unreachable!("it is one") };
        let (last_seen_us, best_at_us) = (first_seen_us + 900_001, first_seen_us + 400_000);
        let seen = body::Detection { first_seen_us, last_seen_us, best_at_us, ..seen };
        self.append(&Body::Detection(seen), &Uuid::now_v7().to_string(), vec![]);
    }

    /// Signs a root over records `first..=last` and states that the hour of `EPOCH` had this much to tell.
    pub fn prove(&mut self, first: u64, last: u64, records: u64, objects: u64, evicted: u64) {
        let under = &self.chain[first as usize - 1..last as usize];
        let mut proof = body::Proof {
            epoch: self.epoch,
            first_seq: first,
            last_seq: last,
            root: merkle::root(under.iter().map(|record| &record.hash)),
            ledger: self.id,
            hours: vec![body::HourCount { start_us: EPOCH / body::HOUR_US * body::HOUR_US, records, objects, evicted }],
            signature: HexBytes([0; 64]),
        };
        proof.signature = auth::sign(&self.key, &auth::proof_payload(self.id, &proof));
        let id = format!("{first}-{last}/{records}");
        self.append(&Body::Proof(proof), &id, vec![]);
    }

    /// Begins a new chain, as after the loss of the box's database.
    pub fn lose_database(&mut self) {
        self.epoch += 1;
        self.chain.clear();
    }

    pub fn batch(&self, first: u64, last: u64) -> Batch {
        let records = self.chain[first as usize - 1..last as usize].to_vec();
        self.sign(records)
    }

    pub fn sign(&self, records: Vec<Record>) -> Batch {
        auth::sign_batch(&self.key, self.id, records, self.unavailable.clone()).unwrap()
    }

    pub fn object(&self, bucket: &str, content: &[u8]) -> ObjectRef {
        ObjectRef::new(self.id, bucket, sha256(content), content.len() as u64, "image/jpeg")
    }

    pub fn hello(&self) -> Hello {
        Hello {
            versions: VersionRange::ours(),
            box_id: self.id,
            public_key: auth::public_key(&self.key),
            name: "test box".to_owned(),
            prefeitura: self.prefeitura.clone(),
            site: "gate".to_owned(),
            software: "test 1".to_owned(),
            epoch: self.epoch,
            last_seq: self.head().seq,
            enrol_code: self.enrol_code.clone(),
        }
    }
}

pub fn sha256(content: &[u8]) -> Hash {
    HexBytes(Sha256::digest(content).into())
}

pub fn detection(plate: &str, crop: Option<Hash>) -> Body {
    Body::Detection(body::Detection {
        camera: "gate-1".to_owned(),
        plate: PlateText(plate.to_owned()),
        layout: "br-mercosul".to_owned(),
        category: Some("commercial".to_owned()),
        confidence: 0.97,
        alternatives: vec![
            body::Alternative { text: PlateText("ABC1C84".to_owned()), p: 0.02 },
            body::Alternative { text: PlateText("A8C1C34".to_owned()), p: 0.01 },
        ],
        first_seen_us: EPOCH,
        last_seen_us: EPOCH + 900_001,
        best_at_us: EPOCH + 400_000,
        quad: [[1.5, 2.0], [80.0, 3.0], [79.0, 30.0], [2.0, 28.0]],
        bbox: [1.5, 2.0, 80.0, 30.0],
        frame_width: 1920,
        frame_height: 1080,
        direction: None,
        reads: 11,
        single: false,
        slots: None,
        crop,
        frame: None,
    })
}

/// A status in which the camera `gate-1` delivers or does not, with the change to that.
pub fn status(streaming: bool, at_us: i64) -> Body {
    let measures =
        StreamMeasures { codec: "h265".to_owned(), width: 2560, height: 1440, fps: 15.0, bitrate_bps: 4_000_000 };
    let reason = (!streaming).then(|| "the camera does not answer".to_owned());
    let camera = CameraStreams {
        camera: "gate-1".to_owned(),
        state: if streaming { "streaming" } else { "unreachable" }.to_owned(),
        since_us: at_us,
        recording: streaming,
        reason: reason.clone(),
        main: streaming.then_some(measures),
        ..CameraStreams::default()
    };
    let change = StreamChange { camera: "gate-1".to_owned(), stream: "main".to_owned(), streaming, at_us, reason };
    Body::BoxStatus(body::BoxStatus {
        software: "test 1".to_owned(),
        cameras: 1,
        cameras_streaming: u32::from(streaming),
        streams: Some(vec![camera]),
        changes: vec![change],
        ..body::BoxStatus::default()
    })
}

pub fn camera(name: &str) -> Body {
    Body::Camera(body::Camera {
        name: name.to_owned(),
        enabled: true,
        removed: false,
        manufacturer: None,
        model: None,
        latitude: None,
        longitude: None,
    })
}

/// S3 as the box sees it.
pub fn s3(garage: &Garage, bucket: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(garage.endpoint())
        .with_region(REGION)
        .with_bucket_name(bucket)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_allow_http(true)
        .build()
        .unwrap()
}

/// Stores `content` where `object` says.
pub async fn upload(garage: &Garage, object: &ObjectRef, content: &[u8]) {
    let payload = PutPayload::from(content.to_vec());
    s3(garage, &object.bucket).put(&Path::from(object.key.as_str()), payload).await.unwrap();
}

/// One session.
pub struct Uplink {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub welcome: Welcome,
}

/// Why there is no session.
#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    Broken(String),
}

impl Failure {
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Broken(problem) => panic!("connection broke: {problem}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Uplink {
    pub async fn dial(url: &str, fake: &FakeBox) -> Result<Self, Failure> {
        Self::dial_with(url, fake, None).await
    }

    /// The same with TLS of one's own, for a `wss://` address.
    pub async fn dial_with(url: &str, fake: &FakeBox, tls: Option<Connector>) -> Result<Self, Failure> {
        Self::greet(url, &fake.hello(), &fake.key, tls).await
    }

    pub async fn dial_as(url: &str, hello: &Hello, key: &SigningKey) -> Result<Self, Failure> {
        Self::greet(url, hello, key, None).await
    }

    async fn greet(url: &str, hello: &Hello, key: &SigningKey, tls: Option<Connector>) -> Result<Self, Failure> {
        let (mut socket, _) = connect_async_tls_with_config(url, None, true, tls).await?;
        let hello_frame = encode(&Message::Hello(hello.clone())).unwrap();
        socket.send(Frame::binary(hello_frame.clone())).await?;
        let challenge = match receive(&mut socket).await? {
            Message::Challenge(challenge) => challenge,
            Message::Refusal(refusal) => return Err(Failure::Refused(refusal)),
            other => panic!("no Challenge: {other:?}"),
        };
        let signature = auth::sign(key, &auth::challenge_payload(&challenge.nonce, &hello_frame));
        socket.send(Frame::binary(encode(&Message::Proof(Proof { signature })).unwrap())).await?;
        match receive(&mut socket).await? {
            Message::Welcome(welcome) => Ok(Self { socket, welcome: *welcome }),
            Message::Refusal(refusal) => Err(Failure::Refused(refusal)),
            other => panic!("no Welcome: {other:?}"),
        }
    }

    pub async fn send(&mut self, message: Message) -> Result<(), Failure> {
        self.send_raw(Frame::binary(encode(&message).unwrap())).await
    }

    pub async fn send_raw(&mut self, frame: Frame) -> Result<(), Failure> {
        Ok(self.socket.send(frame).await?)
    }

    pub async fn send_batch(&mut self, batch: Batch) -> Result<(), Failure> {
        self.send(Message::Batch(batch)).await
    }

    pub async fn receive(&mut self) -> Result<Message, Failure> {
        receive(&mut self.socket).await
    }

    pub async fn ack(&mut self) -> Ack {
        match self.receive().await {
            Ok(Message::Ack(ack)) => ack,
            other => panic!("no Ack: {other:?}"),
        }
    }

    pub async fn reject(&mut self) -> Reject {
        match self.receive().await {
            Ok(Message::Reject(reject)) => reject,
            other => panic!("no Reject: {other:?}"),
        }
    }

    pub async fn refusal(&mut self) -> Refusal {
        match self.receive().await {
            Ok(Message::Refusal(refusal)) => refusal,
            other => panic!("no Refusal: {other:?}"),
        }
    }

    /// Sends all of the box's chain that is not committed and waits for its acknowledgement.
    pub async fn deliver(&mut self, fake: &FakeBox) {
        let done = self.welcome.resume_after.filter(|p| p.epoch == fake.epoch).map_or(0, |p| p.seq);
        let last = fake.head().seq;
        self.send_batch(fake.batch(done + 1, last)).await.unwrap();
        assert_eq!(self.ack().await, Ack { epoch: fake.epoch, seq: last });
    }
}

async fn receive(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<Message, Failure> {
    loop {
        let next = tokio::time::timeout(TIMEOUT, socket.next()).await;
        match next.map_err(|_| Failure::Broken("the center says nothing".to_owned()))? {
            None => return Err(Failure::Broken("connection ended".to_owned())),
            Some(frame) => match frame? {
                Frame::Binary(bytes) => return Ok(decode(&bytes).unwrap()),
                Frame::Close(_) => return Err(Failure::Broken("closed".to_owned())),
                _ => {}
            },
        }
    }
}
