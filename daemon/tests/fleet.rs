//! Fleet management against a real broker: birth, health, last will, and a desired configuration that is applied,
//! refused with its reasons, and reported.

#[path = "../../central/tests/support/mod.rs"]
mod servers;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gtv_edge::alerts::{MQTT, Sender};
use gtv_edge::base::ids::{BoxId, CameraId};
use gtv_edge::base::secret::SecretBox;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::camera::CameraStatus;
use gtv_edge::config::units::HumanDuration;
use gtv_edge::config::{CameraConfig, Config, MqttConfig, RecordConfig};
use gtv_edge::control::{self, Pipelines};
use gtv_edge::fleet::{self, FleetContext};
use gtv_edge::store::{AlertPolicy, AlertRow, AlertTarget, Severity, Store};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};
use servers::Mosquitto;
use support::edge::Edge;

const PATIENCE: Duration = Duration::from_secs(90);

/// The fleet's side of the broker: remembers the newest message of each topic.
struct Fleet {
    client: AsyncClient,
    events: EventLoop,
    newest: BTreeMap<String, Value>,
}

impl Fleet {
    async fn connect(port: u16) -> Self {
        let (client, events) = AsyncClient::new(MqttOptions::new("fleet", "127.0.0.1", port), 16);
        client.subscribe("gtv/boxes/+/+", QoS::AtLeastOnce).await.unwrap();
        Self { client, events, newest: BTreeMap::new() }
    }

    /// Waits for a message on `.../<name>` that satisfies `wanted`.
    async fn wait(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                if let Event::Incoming(Packet::Publish(message)) = self.events.poll().await.unwrap() {
                    let topic = String::from_utf8(message.topic.to_vec()).unwrap();
                    let body: Value = serde_json::from_slice(&message.payload).unwrap();
                    self.newest.insert(topic.clone(), body.clone());
                    if topic.ends_with(&format!("/{name}")) && wanted(&body) {
                        return body;
                    }
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await.ok();
        found.unwrap_or_else(|| panic!("no such message on {name}; newest: {:?}", self.newest))
    }

    fn box_topic(&self, name: &str) -> String {
        let topic = self.newest.keys().next().expect("the box has spoken");
        format!("{}/{name}", topic.rsplit_once('/').unwrap().0)
    }

    async fn desire(&mut self, desired: &Value) {
        let topic = self.box_topic("desired");
        self.client.publish(topic, QoS::AtLeastOnce, true, desired.to_string()).await.unwrap();
    }
}

#[tokio::test]
async fn a_box_is_managed_over_mqtt() {
    let broker = Mosquitto::start_new();
    let mut fleet = Fleet::connect(broker.port()).await;
    let mut edge = Edge::new(&format!("[mqtt]\nurl = \"{}\"\nhealth_interval = \"1s\"\n", broker.url()));
    edge.start();
    let born = fleet.wait("state", |state| state["online"] == true).await;
    assert_eq!(born["version"], env!("CARGO_PKG_VERSION"));
    let health = fleet.wait("health", |_| true).await;
    assert!(health["uptime_s"].is_u64() && health["cameras"].is_object(), "{health}");

    // Everything that is wrong is named at once, and nothing is applied.
    let bad =
        json!({ "version": 1, "config": { "record": { "segment": "1h", "colour": 3 }, "camera": [{ "id": "X" }] } });
    fleet.desire(&bad).await;
    let report = fleet.wait("reported", |report| report["version"] == 1).await;
    assert_eq!(report["outcome"], "refused");
    let mut keys: Vec<&str> =
        report["problems"].as_array().unwrap().iter().map(|p| p["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["camera[0].id", "record.colour"]);

    // A camera that is desired runs; its health says that it cannot be reached, and what to do.
    let camera = json!({ "id": "gate", "name": "Gate", "main_url": "rtsp://127.0.0.1:9/main", "lpr": "off" });
    fleet.desire(&json!({ "version": 2, "config": { "camera": [camera] } })).await;
    let report = fleet.wait("reported", |report| report["version"] == 2).await;
    assert_eq!(report["outcome"], "applied", "{report}");
    let health = fleet.wait("health", |health| health["cameras"]["gate"]["state"] == "unreachable").await;
    assert!(!health["cameras"]["gate"]["reason"].as_str().unwrap().is_empty());

    // It is still there after a kill, which the broker tells of by the last will.
    edge.kill();
    fleet.wait("state", |state| state["online"] == false).await;
    edge.start();
    fleet.wait("state", |state| state["online"] == true).await;
    fleet.wait("health", |health| health["cameras"]["gate"].is_object()).await;

    assert!(edge.stop(Duration::from_secs(30)), "{}", edge.log());
    let last = fleet.wait("state", |state| state["online"] == false).await;
    assert_eq!(last["reason"], "stopped");
}

/// A box without cameras.
struct Nothing;

impl Pipelines for Nothing {
    fn start(&self, _: &CameraConfig, _: &Tasks) -> Result<tokio::sync::watch::Receiver<CameraStatus>, String> {
        Err("this box has no cameras".to_owned())
    }

    fn stopped(&self, _: &CameraId) {}

    fn set_zones(&self, _: &CameraConfig) {}

    fn set_retention(&self, _: &RecordConfig) {}
}

async fn raise(store: &Store, title: &str) {
    let alert = AlertRow {
        id: uuid::Uuid::now_v7(),
        at: UtcMicros::now(),
        kind: "watchlist-hit".to_owned(),
        severity: Severity::Critical,
        camera: None,
        detection: None,
        title: title.to_owned(),
        detail: json!({ "plate": "ABC1234" }),
        acknowledged_at: None,
        acknowledged_by: None,
    };
    store.insert_alert(alert, None).await.unwrap();
}

async fn wait_until_delivered(store: &Store, count: u64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let status = store.alert_targets().await.unwrap().remove(0);
        if status.delivered == count && status.waiting == 0 {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn alerts_wait_for_the_broker_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let targets = vec![AlertTarget { name: MQTT.to_owned(), kinds: Vec::new() }];
    store.set_alert_policy(AlertPolicy { targets, ..AlertPolicy::default() }).await.unwrap();
    // Raised before there is any connection; more than go out at once.
    for n in 0..20 {
        raise(&store, &format!("early {n}")).await;
    }
    let mut broker = Mosquitto::start_new();
    let mut listener = Fleet::connect(broker.port()).await;
    let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
    let secrets = SecretBox::open_or_create(folder.path()).unwrap();
    let tasks = Tasks::new();
    let box_id = BoxId::new();
    let context = FleetContext {
        config: MqttConfig { url: broker.url(), health_interval: HumanDuration::secs(1), ..MqttConfig::default() },
        box_id,
        secrets: secrets.clone(),
        supervisor: control::start(config.clone(), config, Arc::new(Nothing), secrets, &tasks),
        store: store.clone(),
        sender: Sender { box_id, name: "box 1".to_owned(), prefeitura: "demo".to_owned() },
        health: Arc::new(|| json!({})),
    };
    // The subscription must stand before the first alert goes out: it is not retained.
    while !matches!(listener.events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    fleet::start(context, &tasks).unwrap();
    let last = listener.wait("alerts", |message| message["alert"]["title"] == "early 19").await;
    assert_eq!((last["version"].as_i64(), last["box_name"].as_str()), (Some(1), Some("box 1")));
    assert_eq!(last["box"], box_id.to_string());
    assert_eq!(last["alert"]["detail"]["plate"], "ABC1234");
    wait_until_delivered(&store, 20).await;
    raise(&store, "live").await;
    listener.wait("alerts", |message| message["alert"]["title"] == "live").await;
    wait_until_delivered(&store, 21).await;

    broker.kill();
    raise(&store, "while the broker is away").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.alert_targets().await.unwrap()[0].waiting, 1);
    broker.start();
    wait_until_delivered(&store, 22).await;
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
}
