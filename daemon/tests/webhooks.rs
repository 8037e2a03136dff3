//! Alerts told by HTTP to a real receiver: signed, in order, tried again, kept across a restart, and given up visibly.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gtv_edge::alerts::{Sender, WebhookContext, start_webhooks};
use gtv_edge::base::ids::{BoxId, DetectionId};
use gtv_edge::base::plate::Plate;
use gtv_edge::base::secret::{Secret, SecretBox};
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::HumanDuration;
use gtv_edge::config::{Config, WebhookConfig};
use gtv_edge::store::{DetectionRow, Severity, Store, TargetStatus, WatchEntry, WatchlistChange};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const SECRET: &str = "a secret of the receiver";
const PATIENCE: Duration = Duration::from_secs(90);

/// What came: headers in lower case, and the body.
#[derive(Clone, Debug)]
struct Received {
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// As a receiver verifies it.
    fn alert(&self) -> Value {
        let (time, signature) = self.header("x-gtv-signature").split_once(",v1=").expect("a signature");
        let unix_s = time.strip_prefix("t=").unwrap();
        let age_s = UtcMicros::now().0 / 1_000_000 - unix_s.parse::<i64>().unwrap();
        assert!((0..60).contains(&age_s), "{age_s}");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{unix_s}.{}", self.body).as_bytes());
        mac.verify_slice(&hex::decode(signature).unwrap()).expect("signed with the secret");
        let message: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!((message["version"].as_i64(), message["box_name"].as_str()), (Some(1), Some("box 1")));
        message["alert"].clone()
    }
}

/// An HTTP receiver that answers with the statuses it is given, then with 204; status 0 hangs up.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<u16>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?token=t0ken", listener.local_addr().unwrap());
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.talk(stream).await });
            }
        });
        url
    }

    async fn talk(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_owned());
            }
            let pair = |line: &String| {
                let (key, value) = line.split_once(':')?;
                Some((key.to_lowercase(), value.trim().to_owned()))
            };
            let headers: Vec<_> = head.iter().filter_map(pair).collect();
            let length = headers.iter().find(|(key, _)| key == "content-length").unwrap().1.parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let body = String::from_utf8(body).unwrap();
            self.received.lock().unwrap().push(Received { headers, body });
            let status = self.answers.lock().unwrap().pop_front().unwrap_or(204);
            if status == 0 {
                return;
            }
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:9/\r\n\r\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

struct Hooked {
    store: Store,
    tasks: Tasks,
    config: watch::Sender<Arc<Config>>,
}

impl Hooked {
    async fn start(folder: &std::path::Path, hooks: Vec<WebhookConfig>) -> Self {
        let store = Store::open(folder).unwrap();
        let mut config = Config { webhooks: hooks, ..Config::default() };
        config.alerts.cooldown = HumanDuration::secs(0);
        store.set_alert_policy(gtv_edge::alerts::policy(&config)).await.unwrap();
        let (config, seen) = watch::channel(Arc::new(config));
        let tasks = Tasks::new();
        let sender = Sender { box_id: BoxId::new(), name: "box 1".to_owned(), prefeitura: "demo".to_owned() };
        let secrets = SecretBox::open_or_create(folder).unwrap();
        start_webhooks(WebhookContext { store: store.clone(), config: seen, secrets, sender }, &tasks);
        Self { store, tasks, config }
    }

    async fn stop(self) {
        assert!(self.tasks.shutdown(Duration::from_secs(60)).await);
    }

    /// Waits until the first receiver's state satisfies `wanted`.
    async fn wait(&self, wanted: impl Fn(&TargetStatus) -> bool) -> TargetStatus {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.store.alert_targets().await.unwrap().remove(0);
            if wanted(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn hook(url: &str) -> WebhookConfig {
    WebhookConfig {
        name: "police".to_owned(),
        url: url.to_owned(),
        secret: Secret::new(SECRET),
        allow_http: true,
        ..WebhookConfig::default()
    }
}

async fn watch_plate(store: &Store, plate: &str) {
    let list = WatchlistChange {
        name: "Stolen".to_owned(),
        severity: Severity::Critical,
        reason: "stolen".to_owned(),
        enabled: true,
    };
    let list = store.create_watchlist(list, "ana").await.unwrap().id;
    let plate = Plate::normalize(plate);
    let entry = WatchEntry { plate, reason: String::new(), valid_from: None, valid_until: None };
    store.put_watch_entry(list, entry).await.unwrap();
}

async fn pass(store: &Store, plate: &str, n: i64) {
    let row = serde_json::json!({
        "id": DetectionId::new(), "camera": "gate", "plate": plate, "layout": "br-old", "confidence": 0.9,
        "alternatives": [], "first_seen": n, "last_seen": n, "best_at": n, "quad": [[0, 0], [1, 0], [1, 1], [0, 1]],
        "bbox": [0, 0, 1, 1], "frame_width": 64, "frame_height": 48, "direction": null, "reads": 2, "single": false,
        "crop": null, "frame": null, "clip": null, "clip_unavailable": null, "slots": null, "category": null
    });
    let row: DetectionRow = serde_json::from_value(row).unwrap();
    store.insert_detection(row).await.unwrap();
}

#[tokio::test]
async fn a_hit_is_told_signed_and_again_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    let url = server.start().await;
    server.answer(&[500, 0, 302]);
    let hooked = Hooked::start(folder.path(), vec![hook(&url)]).await;
    watch_plate(&hooked.store, "ABC1234").await;
    for n in 1..=3 {
        pass(&hooked.store, "ABC1234", n).await;
    }
    let failing = hooked.wait(|status| status.error.is_some()).await;
    assert!(!failing.error.unwrap().contains("t0ken"), "the address may hold a secret");
    let status = hooked.wait(|status| status.delivered == 3).await;
    assert_eq!((status.waiting, status.given_up, status.error), (0, 0, None));

    let received = server.received();
    let seen: Vec<i64> = received.iter().map(|r| r.alert()["detail"]["seen_at"].as_i64().unwrap()).collect();
    assert_eq!(seen, [1, 1, 1, 1, 2, 3], "in order, the first one until it was taken");
    let first = &received[0];
    let alert = first.alert();
    assert_eq!((alert["kind"].as_str(), alert["detail"]["plate"].as_str()), (Some("watchlist-hit"), Some("ABC1234")));
    assert_eq!(first.header("x-gtv-event"), "watchlist-hit");
    assert_eq!(
        (first.header("x-gtv-delivery"), first.header("content-type")),
        (alert["id"].as_str().unwrap(), "application/json")
    );
    hooked.stop().await;
}

#[tokio::test]
async fn what_waits_survives_a_restart_and_one_bad_message_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = hook("http://127.0.0.1:9/hook");
    let hooked = Hooked::start(folder.path(), vec![nowhere]).await;
    watch_plate(&hooked.store, "ABC1234").await;
    for n in 1..=3 {
        pass(&hooked.store, "ABC1234", n).await;
    }
    hooked.wait(|status| status.error.is_some() && status.waiting == 3).await;
    hooked.stop().await;

    let server = Server::default();
    server.answer(&[422]);
    let url = server.start().await;
    let hooked = Hooked::start(folder.path(), vec![hook(&url)]).await;
    hooked.wait(|status| status.delivered == 3).await;
    let seen: Vec<i64> = server.received().iter().map(|r| r.alert()["detail"]["seen_at"].as_i64().unwrap()).collect();
    assert_eq!(seen, [1, 2, 3, 1], "the refused one last");
    hooked.stop().await;
}

#[tokio::test]
async fn what_is_not_taken_in_time_is_given_up_and_a_new_address_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let impatient = WebhookConfig { give_up: HumanDuration::millis(200), ..hook("http://127.0.0.1:9/hook") };
    let hooked = Hooked::start(folder.path(), vec![impatient]).await;
    watch_plate(&hooked.store, "ABC1234").await;
    pass(&hooked.store, "ABC1234", 1).await;
    let status = hooked.wait(|status| status.given_up == 1).await;
    assert_eq!(status.waiting, 0);
    assert!(status.error.as_deref().unwrap_or_default().contains("not delivered within 200ms"), "{status:?}");

    let server = Server::default();
    let url = server.start().await;
    let mut config = (**hooked.config.borrow()).clone();
    config.webhooks = vec![hook(&url)];
    hooked.config.send_replace(Arc::new(config));
    pass(&hooked.store, "ABC1234", 2).await;
    hooked.wait(|status| status.delivered == 1).await;
    assert_eq!(server.received()[0].alert()["detail"]["seen_at"], 2);
    hooked.stop().await;
}
