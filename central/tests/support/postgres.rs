//! PostgreSQL 15 or newer for one test: initdb in a temporary folder, one database `gtv`, trust on 127.0.0.1.

use super::ports::Port;
use super::process::{Process, dying_with_us, find_program, folder, run, user_ids};
use rustix::process::Signal;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Durability against power loss is not what these tests are about; `kill -9` is still survived.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=60",
    "listen_addresses=127.0.0.1",
    "logging_collector=off",
];

/// As a center would run it: every COMMIT is on disk before it returns.
const DURABLE: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
    "max_connections=60",
    "listen_addresses=127.0.0.1",
    "logging_collector=off",
];

pub struct Postgres {
    process: Process,
    port: Port,
    bin: PathBuf,
    user: Option<&'static str>,
    folder: TempDir,
    settings: &'static [&'static str],
}

impl Postgres {
    /// Creates the cluster and starts it.
    pub fn start_new() -> Self {
        Self::start_with(SETTINGS)
    }

    /// The same with the durability of a real server, for benchmarks.
    pub fn start_durable() -> Self {
        Self::start_with(DURABLE)
    }

    fn start_with(settings: &'static [&'static str]) -> Self {
        let bin = bin_folder();
        let folder = folder("gtv-pg-");
        // PostgreSQL refuses to run as root.
        let user = rustix::process::geteuid()
            .is_root()
            .then(|| ["postgres", "nobody"].into_iter().find(|user| user_ids(user).is_some()))
            .flatten();
        if let Some((uid, gid)) = user.and_then(user_ids) {
            chown(folder.path(), Some(uid), Some(gid)).expect("root may give its folder away");
        }
        let mut initdb = dying_with_us(&bin.join("initdb"), user);
        initdb.args(["--no-sync", "--auth=trust", "--username=gtv", "--encoding=UTF8", "--locale=C", "-D"]);
        initdb.arg(folder.path().join("data")).current_dir(folder.path());
        run(initdb);

        let log = folder.path().join("log");
        let process = Process::new("postgres", log);
        let mut server = Self { process, port: Port::reserve(), bin, user, folder, settings };
        for _ in 0..5 {
            if server.try_start() {
                server.create_database("gtv");
                return server;
            }
            server.port = Port::reserve();
        }
        panic!("postgres did not come up:\n{}", server.process.log_tail());
    }

    /// Starts again after `stop` or `kill`, on the same port and data.
    pub fn start(&mut self) {
        // After a kill the children need a moment to notice; until then the data folder counts as in use.
        for _ in 0..20 {
            if self.try_start() {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("postgres did not come up again:\n{}", self.process.log_tail());
    }

    fn try_start(&mut self) -> bool {
        let mut command = dying_with_us(&self.bin.join("postgres"), self.user);
        command.arg("-D").arg(self.folder.path().join("data")).current_dir(self.folder.path());
        command.args(["-p", &self.port.number().to_string(), "-k"]).arg(self.folder.path());
        for setting in self.settings {
            command.args(["-c", setting]);
        }
        self.process.spawn(command);
        let (bin, port) = (self.bin.clone(), self.port.number());
        self.process.became_ready(|| is_ready(&bin, port))
    }

    /// Fast shutdown: open connections are cut.
    pub fn stop(&mut self) {
        // To the postmaster only: it tells its children itself.
        self.process.stop_leader(Signal::INT, Duration::from_secs(20));
    }

    /// SIGKILL to all of it, as in a crash.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn create_database(&self, name: &str) {
        self.as_superuser(&format!("CREATE DATABASE {name}"));
    }

    /// A database whose owner is no superuser, and may create roles only if `attributes` say so; returns its address.
    pub fn create_owned_database(&self, owner: &str, attributes: &str, name: &str) -> String {
        self.as_superuser(&format!("CREATE ROLE {owner} LOGIN {attributes}"));
        self.as_superuser(&format!("CREATE DATABASE {name} OWNER {owner}"));
        format!("postgres://{owner}@127.0.0.1:{}/{name}", self.port.number())
    }

    pub fn as_superuser(&self, sql: &str) {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-qX", "-h", "127.0.0.1", "-U", "gtv", "-d", "postgres", "-p"]);
        command.arg(self.port.number().to_string()).args(["-c", sql]);
        run(command);
    }

    /// `postgres://` address of the database `gtv`.
    pub fn url(&self) -> String {
        self.url_of("gtv")
    }

    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://gtv@127.0.0.1:{}/{database}", self.port.number())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn is_ready(bin: &Path, port: u16) -> bool {
    let mut command = Command::new(bin.join("pg_isready"));
    command.args(["-q", "-h", "127.0.0.1", "-d", "postgres", "-U", "gtv", "-p", &port.to_string()]);
    command.status().is_ok_and(|status| status.success())
}

/// Debian keeps the server programs off PATH, one folder a version.
fn bin_folder() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin/postgres")))
        })
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, path)| path).into_iter().collect::<Vec<_>>();
    let postgres = find_program("postgres", "GTV_POSTGRES", &newest);
    postgres.parent().expect("a program lies in a folder").to_path_buf()
}
