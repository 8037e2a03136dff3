//! A private certificate authority, and a certificate of it for a server on 127.0.0.1, made by openssl.

use super::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub struct Authority {
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("gtv-ca-").tempdir().expect("a temporary folder");
        let this = Self { folder };
        let mut ca = request("authority", &this.path("ca.key"), &this.ca());
        ca.args(["-addext", "keyUsage=critical,keyCertSign"]);
        run(ca);
        let mut server = request("server", &this.key(), &this.certificate());
        server.arg("-CA").arg(this.ca()).arg("-CAkey").arg(this.path("ca.key"));
        server.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
        server.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(server);
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// PEM file that clients must trust.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.path("server.key")
    }
}

/// The beginning of a request for a certificate and its key.
fn request(name: &str, key: &Path, certificate: &Path) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", &format!("/CN=gtv test {name}"), "-keyout"]).arg(key);
    openssl.arg("-out").arg(certificate);
    openssl
}
