//! RabbitMQ for one test: its own node name, Erlang port mapper and folder, on 127.0.0.1.

use super::authority::Authority;
use super::ports::Port;
use super::process::{Process, dying_with_us, find_program, folder};
use rustix::process::Signal;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub struct Rabbitmq {
    process: Process,
    mapper: Process,
    port: Port,
    mapper_port: Port,
    distribution_port: Port,
    folder: TempDir,
    is_tls: bool,
}

impl Rabbitmq {
    pub fn start_new() -> Self {
        Self::start_with(None)
    }

    /// Takes TLS only, with the certificate of this authority.
    pub fn start_tls(authority: &Authority) -> Self {
        Self::start_with(Some(authority))
    }

    fn start_with(authority: Option<&Authority>) -> Self {
        let folder = folder("gtv-amqp-");
        let process = Process::new("rabbitmq", folder.path().join("log"));
        let mapper = Process::new("epmd", folder.path().join("epmd.log"));
        let [port, mapper_port, distribution_port] = [(); 3].map(|()| Port::reserve());
        let is_tls = authority.is_some();
        let mut server = Self { process, mapper, port, mapper_port, distribution_port, folder, is_tls };
        if let Some(authority) = authority {
            let config = format!(
                "listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{}\nssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\nssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
                server.port.number(),
                authority.ca().display(),
                authority.certificate().display(),
                authority.key().display(),
            );
            std::fs::write(server.folder.path().join("rabbitmq.conf"), config).expect("the folder is writable");
        }
        // Started here and not by the node, which would leave it running.
        let mut epmd = dying_with_us(&find_program("epmd", "GTV_EPMD", &[]), None);
        epmd.args(["-address", "127.0.0.1", "-port", &server.mapper_port.number().to_string()]);
        server.mapper.spawn(epmd);
        server.mapper.wait_ready({
            let port = server.mapper_port.number();
            move || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        server.start();
        server
    }

    /// Starts again after `stop` or `kill`, on the same port and data.
    pub fn start(&mut self) {
        let port = self.port.number();
        // Debian's wrapper insists on the user rabbitmq; the script behind it runs as whoever starts it.
        let places = ["/usr/lib/rabbitmq/bin/rabbitmq-server".into()];
        let mut command = dying_with_us(&find_program("rabbitmq-server", "GTV_RABBITMQ", &places), None);
        self.set_environment(&mut command);
        self.process.spawn(command);
        self.process.wait_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    fn set_environment(&self, command: &mut Command) {
        let folder = self.folder.path();
        let (port, distribution) = (self.port.number(), self.distribution_port.number().to_string());
        command.env("HOME", folder).env("RABBITMQ_MNESIA_BASE", folder.join("data"));
        command.env("RABBITMQ_LOG_BASE", folder).env("RABBITMQ_LOGS", "-");
        let config = if self.is_tls { "rabbitmq.conf" } else { "none" };
        command.env("RABBITMQ_CONF_ENV_FILE", folder.join("none")).env("RABBITMQ_CONFIG_FILE", folder.join(config));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"));
        command.env("RABBITMQ_NODENAME", format!("gtv{port}@localhost"));
        if !self.is_tls {
            command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1").env("RABBITMQ_NODE_PORT", port.to_string());
        }
        command.env("RABBITMQ_DIST_PORT", distribution);
        command.env("ERL_EPMD_PORT", self.mapper_port.number().to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        // The node needs little here, and other tests run beside it.
        let arguments = "-noinput +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none";
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments);
        // "Input" makes the script become the node, instead of waiting for it and leaving it behind.
        command.env("RABBITMQ_ALLOW_INPUT", "1");
    }

    pub fn stop(&mut self) {
        self.process.stop(Signal::TERM, Duration::from_secs(30));
    }

    /// SIGKILL to all of it, as in a crash.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// `amqp://` or `amqps://` address.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "amqps" } else { "amqp" };
        format!("{scheme}://guest:guest@127.0.0.1:{}/%2f", self.port.number())
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}
