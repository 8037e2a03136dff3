//! The real HAProxy with the configuration that is delivered, before several gtv-sync.

use super::ports::Port;
use super::process::{Process, dying_with_us, find_program, folder, run};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub struct Haproxy {
    process: Process,
    port: Port,
    stats: Port,
    folder: TempDir,
}

impl Haproxy {
    /// `config` as in central/deploy, `services` as `host:port`; the certificate is made for 127.0.0.1.
    pub fn start_new(config: &Path, services: [&str; 2]) -> Self {
        let folder = folder("gtv-haproxy-");
        let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("ca.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=gtv-sync", "-addext", "subjectAltName=IP:127.0.0.1"]);
        // An authority's certificate, which is the default, must not be a server's.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]);
        openssl.arg(&key).arg("-out").arg(&certificate);
        run(openssl);
        let both = [&certificate, &key].map(|path| std::fs::read_to_string(path).expect("openssl wrote it")).concat();
        std::fs::write(folder.path().join("both.pem"), both).expect("the temporary folder is writable");

        let process = Process::new("haproxy", folder.path().join("log"));
        let mut server = Self { process, port: Port::reserve(), stats: Port::reserve(), folder };
        let mut command = dying_with_us(&find_program("haproxy", "GTV_HAPROXY", &[]), None);
        command.arg("-f").arg(config);
        command.env("GTV_BIND", format!("127.0.0.1:{}", server.port.number()));
        command.env("GTV_STATS_BIND", format!("127.0.0.1:{}", server.stats.number()));
        command.env("GTV_CERT", server.folder.path().join("both.pem"));
        command.env("GTV_SYNC_1", services[0]).env("GTV_SYNC_2", services[1]);
        server.process.spawn(command);
        let ports = [server.port.number(), server.stats.number()];
        server.process.wait_ready(|| ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()));
        server
    }

    /// PEM file of the authority that clients must trust.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// `wss://` address for the box's `sync.url`.
    pub fn url(&self) -> String {
        format!("wss://127.0.0.1:{}/sync/v1", self.port.number())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn stats_port(&self) -> u16 {
        self.stats.number()
    }
}
