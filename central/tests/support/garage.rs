//! Garage, an S3 server, for one test: one node, one key that may create buckets.

use super::ports::Port;
use super::process::{Process, cached, dying_with_us, find_program, folder, run};
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub const ACCESS_KEY: &str = "GK31c2f218a2e44f485b94239e";
pub const SECRET_KEY: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";
pub const REGION: &str = "garage";
const BUCKETS: [&str; 4] = ["recordings", "snapshots", "lpr-images", "exports"];

pub struct Garage {
    process: Process,
    program: PathBuf,
    s3: Port,
    rpc: Port,
    folder: TempDir,
}

impl Garage {
    /// Starts with the four buckets of the product in place, their names prefixed by `bucket_prefix`.
    pub fn start_new(bucket_prefix: &str) -> Self {
        let server = Self::start_empty();
        for bucket in BUCKETS {
            server.create_bucket(&format!("{bucket_prefix}{bucket}"));
        }
        server
    }

    /// Starts without buckets; the key may create them.
    pub fn start_empty() -> Self {
        let folder = folder("gtv-s3-");
        let log = folder.path().join("log");
        let mut server = Self {
            process: Process::new("garage", log),
            program: program(),
            s3: Port::reserve(),
            rpc: Port::reserve(),
            folder,
        };
        for _ in 0..5 {
            if server.try_start() {
                server.cli(&["key", "allow", "--create-bucket", ACCESS_KEY]);
                return server;
            }
            (server.s3, server.rpc) = (Port::reserve(), Port::reserve());
        }
        panic!("garage did not come up:\n{}", server.process.log_tail());
    }

    /// Starts again after `stop` or `kill`, on the same port and data.
    pub fn start(&mut self) {
        assert!(self.try_start(), "garage did not come up again:\n{}", self.process.log_tail());
    }

    fn try_start(&mut self) -> bool {
        let (s3, rpc) = (self.s3.number(), self.rpc.number());
        let root = self.folder.path().display();
        let config = format!(
            r#"metadata_dir = "{root}/meta"
data_dir = "{root}/data"
db_engine = "sqlite"
replication_factor = 1
metadata_fsync = false
data_fsync = false
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "1799bccfd7411eddcf9ebd316bc1f5287ad12a68094e1c6ac6abde7e6feae1ec"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{s3}"
"#
        );
        std::fs::write(self.config(), config).expect("the temporary folder is writable");
        let mut command = dying_with_us(&self.program, None);
        command.arg("-c").arg(self.config()).args(["server", "--single-node", "--default-access-key"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY).env("GARAGE_DEFAULT_SECRET_KEY", SECRET_KEY);
        command.env("RUST_LOG", "garage=info");
        self.process.spawn(command);
        // The key comes after the layout, so that its presence means that the server takes requests.
        let mut probe = Command::new(&self.program);
        probe.arg("-c").arg(self.config()).args(["key", "info", ACCESS_KEY]).env("RUST_LOG", "error");
        let s3_port = self.s3.number();
        self.process.became_ready(|| {
            std::net::TcpStream::connect(("127.0.0.1", s3_port)).is_ok()
                && probe.output().is_ok_and(|output| output.status.success())
        })
    }

    pub fn create_bucket(&self, name: &str) {
        self.cli(&["bucket", "create", name]);
        self.cli(&["bucket", "allow", "--read", "--write", "--owner", name, "--key", ACCESS_KEY]);
    }

    pub fn stop(&mut self) {
        self.process.stop(Signal::TERM, Duration::from_secs(5));
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

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3.number())
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("garage.toml")
    }

    fn cli(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.config()).args(arguments).env("RUST_LOG", "error");
        run(command);
    }
}

/// GTV_GARAGE, then the cache folder that scripts/test fills, then PATH.
fn program() -> PathBuf {
    find_program("garage", "GTV_GARAGE", &cached("garage/bin/garage"))
}
