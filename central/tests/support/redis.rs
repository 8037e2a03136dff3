//! Redis for one test, on 127.0.0.1; nothing is persisted.

use super::authority::Authority;
use super::ports::Port;
use super::process::{Process, dying_with_us, find_program, folder};
use std::net::TcpStream;
use tempfile::TempDir;

pub struct Redis {
    process: Process,
    port: Port,
    folder: TempDir,
    /// Options for TLS, and then nothing else.
    tls: Vec<String>,
}

impl Redis {
    pub fn start_new() -> Self {
        Self::start_with(Vec::new())
    }

    /// Takes TLS only, with the certificate of this authority.
    pub fn start_tls(authority: &Authority) -> Self {
        let path = |path: std::path::PathBuf| path.display().to_string();
        let files = [
            ("--tls-cert-file", path(authority.certificate())),
            ("--tls-key-file", path(authority.key())),
            ("--tls-ca-cert-file", path(authority.ca())),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        Self::start_with(files.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect())
    }

    fn start_with(tls: Vec<String>) -> Self {
        let folder = folder("gtv-redis-");
        let process = Process::new("redis", folder.path().join("log"));
        let mut server = Self { process, port: Port::reserve(), folder, tls };
        server.start();
        server
    }

    /// Starts again after `kill`, on the same port and empty.
    pub fn start(&mut self) {
        let port = self.port.number();
        let mut command = dying_with_us(&find_program("redis-server", "GTV_REDIS", &[]), None);
        let port_option =
            if self.tls.is_empty() { ["--tls-port", "0", "--port"] } else { ["--port", "0", "--tls-port"] };
        command.args(port_option).arg(port.to_string()).args(&self.tls);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(self.folder.path());
        self.process.spawn(command);
        self.process.wait_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Until `resume` it takes connections and says nothing.
    pub fn pause(&self) {
        self.process.pause();
    }

    pub fn resume(&self) {
        self.process.resume();
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_empty() { "redis" } else { "rediss" };
        format!("{scheme}://127.0.0.1:{}/0", self.port.number())
    }
}
