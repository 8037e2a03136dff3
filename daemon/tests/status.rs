//! The centre knows how the cameras of a box are: the demo camera goes and comes, the box is killed, and the centre tells
//! of it in events, to who asks, and in Redis.

#[path = "../../central/tests/support/mod.rs"]
mod servers;
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};
use servers::{Center, Garage, Postgres, Rabbitmq, Redis};
use support::demo::Demo;
use support::edge::Edge;

const PATIENCE: Duration = Duration::from_secs(90);
const SECRET: &str = "a secret of at least thirty-two characters";

struct Stage {
    _postgres: Postgres,
    _garage: Garage,
    broker: Rabbitmq,
    _redis: Redis,
    center: Center,
    token: String,
}

impl Stage {
    fn new() -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let (broker, redis) = (Rabbitmq::start_new(), Redis::start_new());
        let (amqp, url) = (broker.url(), redis.url());
        let settings = [
            ("GTV_SYNC_AMQP_URL", amqp.as_str()),
            ("GTV_SYNC_REDIS_URL", url.as_str()),
            ("GTV_SYNC_API_SECRET", SECRET),
            ("GTV_SYNC_BOX_S3_ACCESS", "presigned"),
            ("GTV_SYNC_API_PER_MINUTE", "1000000"),
        ];
        let center = Center::start_with(&postgres, &garage, &settings);
        let arguments = ["token", "--prefeitura", "test", "--role", "viewer", "--name", "ana"];
        let token = center.command_ok(&arguments).trim().to_owned();
        Self { _postgres: postgres, _garage: garage, broker, _redis: redis, center, token }
    }

    /// What the centre says of the camera now.
    fn camera(&self) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--header"]).arg(format!("Authorization: Bearer {}", self.token));
        curl.arg(format!("http://{}/api/streaming/streams", self.center.address()));
        let text = curl.output().unwrap().stdout;
        serde_json::from_slice::<Value>(&text).unwrap_or_default()["streams"][0].clone()
    }

    async fn until(&self, edge: &Edge, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let camera = self.camera();
            if wanted(&camera) {
                return camera;
            }
            assert!(started.elapsed() < PATIENCE, "not {what}: {camera}\n{}\n{}", self.center.log(), edge.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the queue of stream events has brought `count` more starts and stops.
    async fn events(&self, count: usize) -> Vec<Value> {
        let connection = Connection::connect(&self.broker.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let (started, mut events) = (Instant::now(), Vec::new());
        while events.len() < count {
            let message = channel.basic_get("stream.processing".into(), BasicGetOptions::default()).await.unwrap();
            let Some(message) = message else {
                assert!(started.elapsed() < PATIENCE, "{events:?}\n{}", self.center.log());
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            message.delivery.ack(BasicAckOptions::default()).await.unwrap();
            let event: Value = serde_json::from_slice(&message.delivery.data).unwrap();
            if event["event"].as_str().unwrap().starts_with("Stream") {
                events.push(event);
            }
        }
        events
    }
}

fn names(events: &[Value]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (event["event"].as_str().unwrap(), event["thing"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_goes_is_known_at_the_centre() {
    let stage = Stage::new();
    let demo = Demo::start(&[]);
    let mut edge = Edge::new(&format!(
        "[box]\nprefeitura = \"test\"\n[live]\nwebrtc_port = 0\n[sync]\nurl = \"{}\"\n[[camera]]\nid = \"gate\"\n\
         main_url = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n",
        stage.center.url(),
        demo.main_url(0),
        demo.user(),
        demo.password(),
    ));
    edge.start();
    let camera = stage.until(&edge, "streaming", |camera| camera["streaming"] == true).await;
    assert_eq!((&camera["recording"], &camera["source"]), (&json!(true), &json!("status")), "{camera}");
    assert_eq!((&camera["main"]["codec"], &camera["main"]["width"]), (&json!("h264"), &json!(640)), "{camera}");
    assert_eq!(names(&stage.events(1).await), [("StreamStarted", "gate")]);

    demo.fault("stall-after=0").await;
    let camera = stage.until(&edge, "stopped", |camera| camera["streaming"] == false).await;
    assert_eq!((&camera["online"], &camera["recording"]), (&json!(true), &json!(false)), "{camera}");
    let stopped = stage.events(1).await;
    assert_eq!(names(&stopped), [("StreamStopped", "gate")]);
    assert!(!stopped[0]["data"]["reason"].as_str().unwrap().is_empty(), "{}", stopped[0]);

    demo.fault("none").await;
    stage.until(&edge, "back", |camera| camera["streaming"] == true).await;
    assert_eq!(names(&stage.events(1).await), [("StreamStarted", "gate")]);

    // A power cut ends the stream too; the box says so when it is back.
    edge.kill();
    stage.until(&edge, "offline", |camera| camera["online"] == false).await;
    edge.start();
    let events = stage.events(2).await;
    assert_eq!(names(&events), [("StreamStopped", "gate"), ("StreamStarted", "gate")]);
    assert_eq!(events[0]["data"]["reason"], "the box started again");
    stage.until(&edge, "streaming", |camera| camera["streaming"] == true).await;
    assert!(edge.stop(Duration::from_secs(30)), "{}", edge.log());
}
