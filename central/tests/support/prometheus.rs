//! The real Prometheus, as the server of the centre or as the agent of a box.

use super::ports::Port;
use super::process::{Process, dying_with_us, find_program, run};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

pub struct Prometheus {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl Prometheus {
    /// `configure` writes the configuration into the folder that it gets; returns when it answers. Variables are for
    /// the agent's labels.
    pub fn start_new(configure: impl FnOnce(&Path), agent: bool, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("gtv-prometheus-").tempdir().expect("a temporary folder");
        configure(folder.path());
        let process = Process::new("prometheus", folder.path().join("log"));
        let mut server = Self { process, port: Port::reserve(), folder };
        let port = server.port.number();
        let mut command = dying_with_us(&find_program("prometheus", "GTV_PROMETHEUS", &[]), None);
        command.current_dir(server.folder.path()).arg("--config.file=prometheus.yml");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).envs(variables.iter().copied());
        if agent {
            command.args(["--enable-feature=agent,expand-external-labels", "--storage.agent.path=data"]);
        } else {
            command.args(["--web.enable-remote-write-receiver", "--storage.tsdb.path=data"]);
        }
        server.process.spawn(command);
        server.process.wait_ready(|| get(port, "/-/ready", &[]).contains("eady"));
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// What an expression gives now, as the JSON of the API.
    pub fn query(&self, expression: &str) -> String {
        let asked = format!("query={expression}");
        get(self.port.number(), "/api/v1/query", &["--get", "--data-urlencode", &asked])
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn get(port: u16, path: &str, more: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "10"]).args(more).arg(format!("http://127.0.0.1:{port}{path}"));
    String::from_utf8_lossy(&curl.output().expect("curl runs").stdout).into_owned()
}

/// Runs promtool in `folder`; a fault fails the test with what it said.
pub fn promtool(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(find_program("promtool", "GTV_PROMTOOL", &[]));
    command.current_dir(folder).args(arguments);
    run(command);
}
