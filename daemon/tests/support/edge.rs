//! `gtv-edge` as a process with a configuration and a data folder of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[path = "../../../central/tests/support/ports.rs"]
#[allow(clippy::duplicate_mod, reason = "some tests have the rest of that folder too, under names of their own")]
mod ports;

/// A loaded machine needs this long at most.
const READY: Duration = Duration::from_secs(60);

/// A box under test.
pub struct Edge {
    pub folder: TempDir,
    pub port: u16,
    _held: ports::Port,
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Edge {
    /// Writes a configuration with `sections` (TOML) after the common part; starts nothing.
    pub fn new(sections: &str) -> Self {
        let keep = std::env::var_os("GTV_KEEP").is_some();
        let folder = tempfile::Builder::new().prefix("gtv-edge-").disable_cleanup(keep).tempdir().unwrap();
        let held = ports::Port::reserve();
        let edge = Self { folder, port: held.number(), _held: held, child: None, log: Arc::default() };
        edge.configure(sections);
        edge
    }

    /// Replaces the configuration; it counts from the next start on.
    pub fn configure(&self, sections: &str) {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/manifest.toml");
        let text = format!(
            "data_dir = \"{}\"\n[web]\nlisten = \"127.0.0.1:{}\"\n[discovery]\ninterface = \"127.0.0.1\"\n\
             [record]\nmin_free = \"64 MiB\"\nsegment = \"10s\"\n[lpr]\nmanifest = \"{}\"\n{sections}",
            self.data_dir().display(),
            self.port,
            manifest.display(),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A command of the same binary with the same configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gtv-edge"));
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }

    /// Starts the daemon and waits until its page answers.
    pub fn start(&mut self) {
        let mut child =
            self.command(&["run"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = self.log.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| log.lock().unwrap().push(line)));
        self.child = Some(child);
        let deadline = Instant::now() + READY;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "gtv-edge ended with {ended:?}:\n{}", self.log());
            assert!(Instant::now() < deadline, "gtv-edge does not listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The one-time code of the first start, as the console shows it.
    pub fn setup_code(&self) -> String {
        let deadline = Instant::now() + READY;
        loop {
            let found = self.log.lock().unwrap().iter().rev().find_map(|line| code_in(line));
            if let Some(code) = found {
                return code;
            }
            assert!(Instant::now() < deadline, "no setup code on the console:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL, as a power cut does it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; true when it ended in order within `limit`.
    pub fn stop(&mut self, limit: Duration) -> bool {
        let Some(mut child) = self.child.take() else { return true };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        false
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `XXXX-XXXX-XXXX` alone on a line.
fn code_in(line: &str) -> Option<String> {
    let line = line.trim();
    let groups: Vec<&str> = line.split('-').collect();
    let looks =
        groups.len() == 3 && groups.iter().all(|g| g.len() == 4 && g.chars().all(|c| c.is_ascii_alphanumeric()));
    looks.then(|| line.to_owned())
}
