//! mosquitto, an MQTT broker, for one test: anonymous access on 127.0.0.1, nothing persisted.

use super::ports::Port;
use super::process::{Process, dying_with_us, find_program, folder};
use rustix::process::Signal;
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;

pub struct Mosquitto {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl Mosquitto {
    pub fn start_new() -> Self {
        let folder = folder("gtv-mqtt-");
        let log = folder.path().join("log");
        let mut broker = Self { process: Process::new("mosquitto", log), port: Port::reserve(), folder };
        for _ in 0..5 {
            if broker.try_start() {
                return broker;
            }
            broker.port = Port::reserve();
        }
        panic!("mosquitto did not come up:\n{}", broker.process.log_tail());
    }

    /// Starts again after `stop` or `kill`, on the same port.
    pub fn start(&mut self) {
        assert!(self.try_start(), "mosquitto did not come up again:\n{}", self.process.log_tail());
    }

    fn try_start(&mut self) -> bool {
        let port = self.port.number();
        let config = self.folder.path().join("mosquitto.conf");
        // Started by root it would drop to a user who cannot read this folder.
        let user = if rustix::process::geteuid().is_root() { "user root\n" } else { "" };
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{user}");
        std::fs::write(&config, text).expect("the temporary folder is writable");
        let mut command = dying_with_us(&find_program("mosquitto", "GTV_MOSQUITTO", &[]), None);
        command.arg("-c").arg(config);
        self.process.spawn(command);
        self.process.became_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok())
    }

    pub fn stop(&mut self) {
        self.process.stop(Signal::TERM, Duration::from_secs(5));
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port.number())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }
}
