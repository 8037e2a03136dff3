//! Redis for one test, on 127.0.0.1; nothing is persisted.

use super::ports::Port;
use super::process::{Process, dying_with_us, find_program};
use std::net::TcpStream;
use tempfile::TempDir;

pub struct Redis {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl Redis {
    pub fn start_new() -> Self {
        let folder = tempfile::Builder::new().prefix("gtv-redis-").tempdir().expect("a temporary folder");
        let process = Process::new("redis", folder.path().join("log"));
        let mut server = Self { process, port: Port::reserve(), folder };
        server.start();
        server
    }

    /// Starts again after `kill`, on the same port and empty.
    pub fn start(&mut self) {
        let port = self.port.number();
        let mut command = dying_with_us(&find_program("redis-server", "GTV_REDIS", &[]), None);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(self.folder.path());
        self.process.spawn(command);
        self.process.wait_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port.number())
    }
}
