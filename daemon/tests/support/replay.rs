//! Starts the replay camera for a test and stops it afterwards.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use gtv_edge::base::secret::Secret;
use gtv_edge::config::{CameraConfig, LprStream};
use serde_json::Value;

/// A running replay camera with a small clip.
pub struct Replay {
    child: Child,
    orders: ChildStdin,
    ready: Value,
}

impl Replay {
    pub fn start(extra: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/replay-camera");
        let mut child = Command::new(script)
            .args(["--clip", "320x180:25:4:300"])
            .args(extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/replay-camera starts; scripts/setup installs what it needs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).expect("the first line is JSON");
        Self { orders: child.stdin.take().unwrap(), child, ready }
    }

    pub fn url(&self) -> String {
        self.ready["url"].as_str().unwrap().to_owned()
    }

    pub fn tls_url(&self) -> String {
        self.ready["tls_url"].as_str().unwrap().to_owned()
    }

    /// `hush` or `speak`.
    pub fn order(&mut self, text: &str) {
        self.orders.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    /// The camera as the box knows it.
    pub fn config(&self, password: &str) -> CameraConfig {
        CameraConfig {
            id: "gate".parse().unwrap(),
            main_url: self.url(),
            username: if password.is_empty() { String::new() } else { "admin".to_owned() },
            password: Secret::new(password),
            lpr: LprStream::Off,
            ..CameraConfig::default()
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
