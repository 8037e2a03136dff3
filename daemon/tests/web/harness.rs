//! A served page with a store of its own and a box around it that does what it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gtv_edge::base::identity::Identity;
use gtv_edge::base::ids::{CameraId, DetectionId};
use gtv_edge::base::metrics;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::secret::SecretBox;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::camera::{CameraState, CameraStatus};
use gtv_edge::config::units::{ByteSize, HumanDuration};
use gtv_edge::config::{CameraConfig, Config, RecordConfig};
use gtv_edge::control::{self, Health, Pipelines};
use gtv_edge::live::Hub;
use gtv_edge::lpr::Engine;
use gtv_edge::record::Recorder;
use gtv_edge::store::{Bucket, DetectionRow, Store};
use gtv_edge::sync;
use gtv_edge::web::{WebContext, serve};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

pub const PASSWORD: &str = "uma senha bem longa";

/// Cameras that never answer; everything else of the box is real.
#[derive(Default)]
struct Unreachable {
    cameras: Mutex<Vec<watch::Sender<CameraStatus>>>,
}

impl Pipelines for Unreachable {
    fn start(&self, camera: &CameraConfig, _: &Tasks) -> Result<watch::Receiver<CameraStatus>, String> {
        let status = CameraStatus {
            state: if camera.enabled { CameraState::Unreachable } else { CameraState::Disabled },
            reason: "no answer from 192.0.2.1:554; check power and cable".into(),
            ..CameraStatus::disabled()
        };
        let (sender, receiver) = watch::channel(status);
        self.cameras.lock().unwrap().push(sender);
        Ok(receiver)
    }

    fn stopped(&self, _: &CameraId) {}

    fn set_zones(&self, _: &CameraConfig) {}

    fn set_retention(&self, _: &RecordConfig) {}
}

pub struct Page {
    pub address: SocketAddr,
    pub context: WebContext,
    pub code: String,
    pub tasks: Tasks,
    _folder: TempDir,
}

impl Page {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        config.web.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.lpr.enabled = false;
        // Recordings of these tests are of any time, and of any machine.
        config.record.max_age = HumanDuration::secs(1000 * 365 * 86_400);
        config.record.min_free = ByteSize(0);
        change(&mut config);
        let tasks = Tasks::new();
        let store = Store::open(folder.path()).unwrap();
        let secrets = SecretBox::open_or_create(folder.path()).unwrap();
        let pipelines = Arc::new(Unreachable::default());
        let supervisor = control::start(config.clone(), config.clone(), pipelines, secrets.clone(), &tasks);
        // The configuration is in force once the supervisor has started it.
        assert!(supervisor.ping().await);
        let live = Hub::new(2);
        let pusher = control::start_pushes(live.clone(), &supervisor, secrets.clone(), &tasks);
        let context = WebContext {
            pusher,
            health: Arc::new(Health::new(store.clone(), supervisor.clone(), || 0)),
            supervisor,
            live,
            recorder: Recorder::start(&store, &config.record, &config.clips, &tasks).await.unwrap(),
            lpr: Engine::start(&config.lpr, store.clone(), &tasks),
            sync: sync::start(&config, store.clone(), Identity::open_or_create(folder.path()).unwrap(), &tasks),
            secrets,
            lockout: Arc::default(),
            metrics: metrics::install(),
            store,
        };
        let serving = serve(context.clone(), &tasks).await.unwrap();
        let code = serving.setup_code.unwrap();
        Self { address: serving.address, context, code, tasks, _folder: folder }
    }

    pub fn store(&self) -> &Store {
        &self.context.store
    }

    pub async fn stop(self) {
        assert!(self.tasks.shutdown(Duration::from_secs(60)).await, "the page did not stop");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A browser that nobody has logged in with.
    pub fn stranger(&self) -> Browser {
        Browser { client: Client::builder().cookie_store(true).build().unwrap(), base: self.url("") }
    }

    /// The first administrator, made with the setup code.
    pub async fn administrator(&self) -> Browser {
        let browser = self.stranger();
        let body = json!({ "code": self.code, "username": "ana", "password": PASSWORD });
        let answer = browser.post("/api/admin/setup", &body).await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        browser
    }

    /// A further user of that role, logged in.
    pub async fn user(&self, administrator: &Browser, name: &str, role: &str) -> Browser {
        let body = json!({ "username": name, "password": PASSWORD, "role": role });
        assert_eq!(administrator.post("/api/admin/users", &body).await.status(), 201);
        let browser = self.stranger();
        let body = json!({ "username": name, "password": PASSWORD });
        assert_eq!(browser.post("/api/admin/login", &body).await.status(), 200);
        browser
    }

    /// Stores a detection with a crop; newer for larger `n`.
    pub async fn detection(&self, camera: &str, plate: &str, n: i64) -> DetectionId {
        let crop = bytes::Bytes::from(format!("jpeg of {plate}"));
        let crop = self.store().put_object(crop, "image/jpeg", Bucket::LprImages).await.unwrap();
        let id = DetectionId::new();
        let time = UtcMicros(1_790_000_000_000_000 + n * 1_000_000);
        let row = DetectionRow {
            id,
            camera: camera.parse().unwrap(),
            plate: Plate::normalize(plate),
            layout: "br-mercosul".into(),
            category: Some("commercial".into()),
            confidence: 0.97,
            alternatives: vec![("QQQ0Q00".into(), 0.01)],
            first_seen: time,
            last_seen: time.add_micros(900_000),
            best_at: time.add_micros(400_000),
            quad: [[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]],
            bbox: [1.0, 2.0, 3.0, 4.0],
            frame_width: 1920,
            frame_height: 1080,
            direction: Some("approaching".into()),
            reads: 7,
            single: false,
            crop: Some(crop),
            frame: None,
            clip: None,
            clip_unavailable: None,
            slots: Value::Null,
        };
        self.store().insert_detection(row).await.unwrap();
        id
    }
}

pub struct Browser {
    pub client: Client,
    base: String,
}

impl Browser {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).header("X-GTV-Request", "1")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The JSON of a successful answer.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PUT, path).json(body).send().await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }
}

/// The error of an answer: status, code and the whole body.
pub async fn error_of(answer: Response) -> (u16, String, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
    let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
    assert!(!body["error"]["message"].as_str().unwrap_or_default().is_empty(), "{body}");
    (status, code, body)
}
