//! Live status in a real Redis: who is connected and which cameras are active, what is told when it changes, and that
//! nothing depends on Redis.

mod client;
mod support;

use client::{FakeBox, Uplink, camera, detection, status};
use futures_util::StreamExt;
use gtv_protocol::{Body, Draft, body};
use redis::aio::PubSub;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Center, Garage, Postgres, Redis};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "a secret of at least thirty-two characters";

struct Stage {
    postgres: Postgres,
    garage: Garage,
    redis: Redis,
    center: Center,
}

impl Stage {
    fn new() -> Self {
        let (postgres, garage, redis) = (Postgres::start_new(), Garage::start_empty(), Redis::start_new());
        let center = Self::service(&postgres, &garage, &redis);
        Self { postgres, garage, redis, center }
    }

    fn service(postgres: &Postgres, garage: &Garage, redis: &Redis) -> Center {
        let url = redis.url();
        let settings =
            [("GTV_SYNC_REDIS_URL", url.as_str()), ("GTV_SYNC_API_SECRET", SECRET), ("GTV_SYNC_API_PER_MINUTE", "20")];
        Center::start_with(postgres, garage, &settings)
    }

    /// The value of a key, and how long it lives.
    async fn key(&self, name: &str) -> Option<(Value, i64)> {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let text: Option<String> = redis::cmd("GET").arg(name).query_async(&mut connection).await.unwrap();
        let ttl: i64 = redis::cmd("TTL").arg(name).query_async(&mut connection).await.unwrap();
        text.map(|text| (serde_json::from_str(&text).unwrap(), ttl))
    }

    async fn until_key(&self, name: &str, present: bool) -> Value {
        let started = Instant::now();
        loop {
            match self.key(name).await {
                Some((value, _)) if present => return value,
                None if !present => return Value::Null,
                other => assert!(started.elapsed() < PATIENCE, "{name}: {other:?}\n{}", self.center.log()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn listen(&self) -> PubSub {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut listener = client.get_async_pubsub().await.unwrap();
        listener.subscribe("gtv:status:sao-paulo").await.unwrap();
        listener
    }

    fn health(&self) -> String {
        let (_, body) = self.center.get("/healthz").unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["live_status"].as_str().unwrap().to_owned()
    }

    fn ask(&self, path: &str) -> (u16, Value) {
        let arguments = ["token", "--prefeitura", "sao-paulo", "--role", "viewer", "--name", "ana"];
        let token = self.center.command_ok(&arguments);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--write-out", "\n%{http_code}", "--header"]);
        curl.arg(format!("Authorization: Bearer {}", token.trim()));
        curl.arg(format!("http://{}/api/{path}", self.center.address()));
        let text = String::from_utf8(curl.output().unwrap().stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap())
    }
}

async fn next(listener: &mut PubSub) -> Value {
    let message = tokio::time::timeout(PATIENCE, listener.on_message().next()).await.expect("a message").unwrap();
    serde_json::from_str(&message.get_payload::<String>().unwrap()).unwrap()
}

fn now_us() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64
}

fn see(fake: &mut FakeBox, at_us: i64) {
    let Body::Detection(mut passage) = detection("ABC1D23", None) else { unreachable!("it is a detection") };
    (passage.first_seen_us, passage.best_at_us, passage.last_seen_us) = (at_us, at_us, at_us);
    fake.append_draft(Draft::new(&Body::Detection(passage), &Uuid::now_v7().to_string(), at_us, vec![]).unwrap());
}

fn miss(fake: &mut FakeBox, at_us: i64) {
    let camera = "gate-1".to_owned();
    let (start_us, end_us, reason) = (at_us - 1, at_us, "no camera".to_owned());
    let gap = Body::Gap(body::Gap { camera, stream: "main".to_owned(), start_us, end_us, reason });
    fake.append_draft(Draft::new(&gap, &format!("gap {at_us}"), at_us, vec![]).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn boxes_and_cameras_show_their_state_and_tell_of_changes() {
    let stage = Stage::new();
    let mut listener = stage.listen().await;
    let mut fake = FakeBox::new();
    let (box_key, stream_key) = (format!("gtv:box:{}", fake.id), format!("gtv:stream:{}:gate-1", fake.id));
    let mut uplink = Uplink::dial(&stage.center.url(), &fake).await.unwrap();
    assert_eq!(next(&mut listener).await, json!({ "box": fake.id, "state": "online" }));
    let (status, ttl) = stage.key(&box_key).await.unwrap();
    assert_eq!((status["prefeitura"].as_str(), status["name"].as_str()), (Some("sao-paulo"), Some("test box")));
    assert!((120..=150).contains(&ttl), "{ttl}");

    // What is delivered late says nothing about now.
    let now = now_us();
    see(&mut fake, now - 3_600_000_000);
    uplink.deliver(&fake).await;
    see(&mut fake, now - 3_000_000);
    uplink.send_batch(fake.batch(2, 2)).await.unwrap();
    uplink.ack().await;
    assert_eq!(next(&mut listener).await, json!({ "box": fake.id, "camera": "gate-1", "state": "active" }));
    miss(&mut fake, now - 2_000_000);
    uplink.send_batch(fake.batch(3, 3)).await.unwrap();
    uplink.ack().await;
    assert_eq!(next(&mut listener).await["state"], "interrupted");
    // An older word that comes later changes nothing.
    see(&mut fake, now - 2_500_000);
    uplink.send_batch(fake.batch(4, 4)).await.unwrap();
    uplink.ack().await;
    let (stream, _) = stage.key(&stream_key).await.unwrap();
    assert_eq!((stream["state"].as_str(), stream["reason"].as_str()), (Some("interrupted"), Some("no camera")));

    let (status, answer) = stage.ask("cidades/boxes");
    assert_eq!((status, &answer["boxes"][0]["online"]), (200, &json!(true)), "{answer}");

    // The box moves to another service: the end of the first session does not end the second.
    let second = Stage::service(&stage.postgres, &stage.garage, &stage.redis);
    let moved = Uplink::dial(&second.url(), &fake).await.unwrap();
    let session = moved.welcome.session.to_string();
    let started = Instant::now();
    while stage.key(&box_key).await.unwrap().0["session"] != json!(session) {
        assert!(started.elapsed() < PATIENCE);
    }
    drop(uplink);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(stage.key(&box_key).await.is_some());
    drop(moved);
    assert_eq!(next(&mut listener).await, json!({ "box": fake.id, "state": "offline" }));
    stage.until_key(&box_key, false).await;
    let (_, answer) = stage.ask("cidades/boxes");
    assert_eq!(answer["boxes"][0]["online"], json!(false), "{answer}");

    // The minute may turn meanwhile: of so many, more than 20 fall into one.
    let refused = (0..45).map(|_| stage.ask("cidades/cameras").0).filter(|status| *status == 429).count();
    assert!(refused > 0, "more than 20 questions within a minute");
}

/// Delivers what the box has not delivered yet.
async fn deliver(uplink: &mut Uplink, fake: &FakeBox, first: u64) {
    uplink.send_batch(fake.batch(first, fake.head().seq)).await.unwrap();
    uplink.ack().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_box_says_of_its_cameras_counts() {
    let stage = Stage::new();
    let mut listener = stage.listen().await;
    let mut fake = FakeBox::new();
    let stream_key = format!("gtv:stream:{}:gate-1", fake.id);
    let say = |fake: &mut FakeBox, body: &Body, id: &str, at_us: i64| {
        fake.append_draft(Draft::new(body, id, at_us, vec![]).unwrap());
    };
    let mut uplink = Uplink::dial(&stage.center.url(), &fake).await.unwrap();
    assert_eq!(next(&mut listener).await["state"], "online");
    let now = now_us();
    say(&mut fake, &camera("Gate"), "gate-1", now);
    say(&mut fake, &status(true, now - 9), "status", now - 8_000_000);
    deliver(&mut uplink, &fake, 1).await;
    assert_eq!(next(&mut listener).await, json!({ "box": fake.id, "camera": "gate-1", "state": "streaming" }));
    let (stream, ttl) = stage.key(&stream_key).await.unwrap();
    assert_eq!((&stream["source"], &stream["main"]["width"]), (&json!("status"), &json!(2560)), "{stream}");
    assert!(ttl > 600, "{ttl}");
    // A gap that was closed late does not say that the camera is gone.
    miss(&mut fake, now - 1_000_000);
    deliver(&mut uplink, &fake, 3).await;
    let shown = |answer: &Value| answer["streams"][0].clone();
    let now_shown = shown(&stage.ask("streaming/streams").1);
    assert_eq!((&now_shown["streaming"], &now_shown["online"]), (&json!(true), &json!(true)), "{now_shown}");
    assert_eq!((&now_shown["camera_name"], &now_shown["recording"]), (&json!("Gate"), &json!(true)));

    say(&mut fake, &status(false, now), "status", now);
    deliver(&mut uplink, &fake, 4).await;
    assert_eq!(next(&mut listener).await["state"], "unreachable", "and nothing of the gap");
    let now_shown = shown(&stage.ask("streaming/streams").1);
    assert_eq!((&now_shown["streaming"], &now_shown["state"]), (&json!(false), &json!("unreachable")), "{now_shown}");
    assert_eq!(now_shown["reason"], "the camera does not answer");
    let (_, boxes) = stage.ask("cidades/boxes");
    assert_eq!(boxes["boxes"][0]["status"]["cameras_streaming"], 0, "{boxes}");
    assert_eq!(boxes["boxes"][0]["status"].get("streams"), None, "{boxes}");

    // The box goes: what it said last is shown, but nothing streams.
    say(&mut fake, &status(true, now + 1), "status", now + 1);
    deliver(&mut uplink, &fake, 5).await;
    drop(uplink);
    stage.until_key(&format!("gtv:box:{}", fake.id), false).await;
    let now_shown = shown(&stage.ask("streaming/streams").1);
    assert_eq!((&now_shown["online"], &now_shown["state"]), (&json!(false), &json!("streaming")), "{now_shown}");
    assert_eq!(now_shown["streaming"], false);

    // A box of an older release says nothing of its cameras.
    let mut old = FakeBox::new();
    say(&mut old, &camera("Old gate"), "gate-1", now);
    see(&mut old, now);
    let mut uplink = Uplink::dial(&stage.center.url(), &old).await.unwrap();
    uplink.deliver(&old).await;
    stage.until_key(&format!("gtv:stream:{}:gate-1", old.id), true).await;
    let now_shown = shown(&stage.ask(&format!("streaming/streams?box={}", old.id)).1);
    assert_eq!((&now_shown["source"], &now_shown["streaming"]), (&json!("activity"), &json!(true)), "{now_shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_taken_without_redis_and_the_status_comes_back_with_it() {
    let mut stage = Stage::new();
    let mut fake = FakeBox::new();
    let box_key = format!("gtv:box:{}", fake.id);
    let uplink = Uplink::dial(&stage.center.url(), &fake).await.unwrap();
    stage.until_key(&box_key, true).await;
    assert_eq!(stage.health(), "on");

    stage.redis.kill();
    drop(uplink);
    see(&mut fake, now_us());
    let mut uplink = Uplink::dial(&stage.center.url(), &fake).await.unwrap();
    uplink.deliver(&fake).await;
    let started = Instant::now();
    while !stage.health().starts_with("down: ") {
        assert!(started.elapsed() < PATIENCE, "{}", stage.health());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.center.get("/readyz").unwrap().0, 200, "ready without it");
    let (status, answer) = stage.ask("cidades/boxes");
    assert_eq!((status, &answer["boxes"][0]["online"]), (200, &Value::Null), "nobody knows: {answer}");

    stage.redis.start();
    drop(uplink);
    let _uplink = Uplink::dial(&stage.center.url(), &fake).await.unwrap();
    stage.until_key(&box_key, true).await;
    let started = Instant::now();
    while stage.health() != "on" {
        assert!(started.elapsed() < PATIENCE, "{}", stage.health());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// It takes connections and says nothing: whoever asks waits for it half a second at a time, not several.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_redis_delays_nobody_for_long() {
    const QUESTIONS: usize = 10;
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    fake.append(&camera("Gate"), "gate-1", vec![]);
    let mut uplink = Uplink::dial(&stage.center.url(), &fake).await.unwrap();
    uplink.deliver(&fake).await;
    stage.until_key(&format!("gtv:box:{}", fake.id), true).await;
    let (status, known) = stage.ask("streaming/streams");
    assert_eq!((status, &known["streams"][0]["online"]), (200, &json!(true)), "{known}");

    stage.redis.pause();
    let started = Instant::now();
    for _ in 0..QUESTIONS {
        let (status, answer) = stage.ask("streaming/streams");
        assert_eq!((status, &answer["streams"][0]["online"]), (200, &Value::Null), "{answer}");
    }
    // Counting it, who is connected, and which cameras are alive: at three seconds each these were ninety.
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
    see(&mut fake, now_us());
    deliver(&mut uplink, &fake, 2).await;
    stage.redis.resume();
    let started = Instant::now();
    while stage.ask("streaming/streams").1["streams"][0]["online"] != json!(true) {
        assert!(started.elapsed() < PATIENCE, "{}", stage.center.log());
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}
