//! gtv-sync as a process, for tests of either side.

use super::garage::{ACCESS_KEY, Garage, REGION, SECRET_KEY};
use super::ports::Port;
use super::postgres::Postgres;
use super::process::{Process, dying_with_us, folder, run};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tempfile::TempDir;

pub struct Center {
    process: Process,
    port: Port,
    program: PathBuf,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

impl Center {
    /// Starts `gtv-sync serve` with open enrolment and waits until it is ready.
    pub fn start_new(postgres: &Postgres, garage: &Garage) -> Self {
        Self::start_with(postgres, garage, &[])
    }

    /// The same, handing its boxes the key of the object store, as a center does whose boxes have none of their own.
    pub fn start_vending(postgres: &Postgres, garage: &Garage) -> Self {
        let endpoint = garage.endpoint();
        let access = [
            ("GTV_SYNC_BOX_S3_ENDPOINT", endpoint.as_str()),
            ("GTV_SYNC_BOX_S3_ACCESS_KEY", ACCESS_KEY),
            ("GTV_SYNC_BOX_S3_SECRET_KEY", SECRET_KEY),
        ];
        Self::start_with(postgres, garage, &access)
    }

    /// The same with further environment variables (`GTV_SYNC_...`), which win over the defaults.
    pub fn start_with(postgres: &Postgres, garage: &Garage, more: &[(&str, &str)]) -> Self {
        let folder = folder("gtv-sync-");
        let mut environment = vec![
            ("GTV_SYNC_DATABASE_URL".to_owned(), postgres.url()),
            ("GTV_SYNC_S3_ENDPOINT".to_owned(), garage.endpoint()),
            ("GTV_SYNC_S3_REGION".to_owned(), REGION.to_owned()),
            ("GTV_SYNC_S3_ACCESS_KEY".to_owned(), ACCESS_KEY.to_owned()),
            ("GTV_SYNC_S3_SECRET_KEY".to_owned(), SECRET_KEY.to_owned()),
            ("GTV_SYNC_S3_ALLOW_HTTP".to_owned(), "true".to_owned()),
            ("GTV_SYNC_ENROL".to_owned(), "open".to_owned()),
        ];
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let process = Process::new("gtv-sync", folder.path().join("log"));
        let mut center = Self { process, port: Port::reserve(), program: program(), environment, folder };
        center.start();
        center
    }

    /// Starts again after `stop` or `kill`, on the same port.
    pub fn start(&mut self) {
        self.start_without_waiting();
        let port = self.port.number();
        self.process.wait_ready(|| http_get(port, "/readyz").is_some_and(|(status, _)| status == 200));
    }

    /// For tests in which the servers behind it are down.
    pub fn start_without_waiting(&mut self) {
        let mut command = dying_with_us(&self.program, None);
        command.arg("serve").envs(self.environment.iter().cloned());
        command.env("GTV_SYNC_LISTEN", format!("127.0.0.1:{}", self.port.number()));
        self.process.spawn(command);
    }

    /// Runs another subcommand with the same settings and returns its exit status and standard output.
    pub fn command(&self, arguments: &[&str]) -> (ExitStatus, String) {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.environment.iter().cloned());
        let output = command.output().unwrap_or_else(|e| panic!("{}: {e}", self.program.display()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status, text)
    }

    /// Like `command`, but a failure fails the test.
    pub fn command_ok(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.environment.iter().cloned());
        run(command)
    }

    /// SIGTERM, as systemd does it.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.process.stop(Signal::TERM, Duration::from_secs(20))
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// `ws://` address for the box's `sync.url`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/sync/v1", self.port.number())
    }

    /// `host:port`, for a load balancer.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Status and body of a GET on its HTTP side; `None` if nothing answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.port.number(), path)
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// GTV_SYNC, then beside the test binaries of this build.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("GTV_SYNC") {
        return PathBuf::from(path);
    }
    let here = std::env::current_exe().expect("a test knows its own path");
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("gtv-sync"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("gtv-sync is not built; run `cargo build -p gtv-sync` or set GTV_SYNC to its path"))
}

/// A plain HTTP/1.1 GET, so that this folder needs no client library.
pub fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
