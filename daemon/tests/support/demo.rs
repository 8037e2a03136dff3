//! Starts the demo camera for a test and stops it afterwards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A running demo camera.
pub struct Demo {
    child: Child,
    pub ready: Value,
}

impl Demo {
    /// A short small scene on free ports, with `extra` options; ends by itself after three minutes.
    pub fn start(extra: &[&str]) -> Self {
        let small = ["--scene-seconds", "6", "--size", "640x360", "--no-discovery", "--seconds", "180"];
        Self::launch(&[&small, extra].concat())
    }

    /// The whole street with its plates, found by WS-Discovery; ends by itself after fifteen minutes.
    pub fn street(extra: &[&str]) -> Self {
        Self::launch(&[&["--seconds", "900"], extra].concat())
    }

    fn launch(options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/demo-camera");
        let mut child = Command::new(script)
            .args(["--rtsp-port", "0", "--onvif-port", "0", "--control-port", "0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/demo-camera starts; scripts/setup installs what it needs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).expect("the first line is JSON");
        Self { child, ready }
    }

    pub fn main_url(&self, camera: usize) -> String {
        self.text(&["cameras", &camera.to_string(), "main"])
    }

    pub fn sub_url(&self, camera: usize) -> String {
        self.text(&["cameras", &camera.to_string(), "sub"])
    }

    pub fn user(&self) -> String {
        self.text(&["user"])
    }

    pub fn password(&self) -> String {
        self.text(&["password"])
    }

    /// Sends an order such as `stall-after=0` to the running camera.
    pub async fn fault(&self, fault: &str) {
        let url = format!("{}/fault", self.text(&["control"]));
        let answer =
            reqwest::Client::new().post(url).json(&serde_json::json!({ "fault": fault })).send().await.unwrap();
        assert!(answer.status().is_success(), "{fault}: {}", answer.text().await.unwrap());
    }

    pub async fn stats(&self) -> Value {
        reqwest::get(format!("{}/stats", self.text(&["control"]))).await.unwrap().json().await.unwrap()
    }

    /// Which vehicles pass when.
    pub async fn truth(&self) -> Value {
        reqwest::get(self.truth_url()).await.unwrap().json().await.unwrap()
    }

    pub fn truth_url(&self) -> String {
        format!("{}/truth", self.text(&["control"]))
    }

    fn text(&self, path: &[&str]) -> String {
        let found = self.ready.pointer(&format!("/{}", path.join("/"))).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("{path:?} in {}", self.ready)).to_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
