//! Certificate authorities of our own servers: PEM files named by flags, and what to say when one does not fit.

use anyhow::{Context, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;

/// The file that `flag` names, checked so that a mistake is seen at the start; `url` must have the scheme that uses it.
pub fn read(flag: &str, path: Option<&Path>, url: &str, scheme: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(path) = path else { return Ok(None) };
    let hint = || format!("{flag} {}: give it a PEM file with the server's certificate authority", path.display());
    if !url.starts_with(&format!("{scheme}://")) {
        bail!("{flag} is of no use with an address that is not {scheme}://");
    }
    let pem = std::fs::read(path).with_context(hint)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().with_context(hint)?;
    if certificates.is_empty() {
        bail!("{}; this one has none", hint());
    }
    Ok(Some(pem))
}

/// Adds what to do where the server's certificate was not accepted.
pub fn explain(problem: String, flag: &str) -> String {
    if problem.contains("certificate") {
        return format!(
            "{problem}; the server must show a certificate for its name that was signed by the authority in {flag}, or \
             without that flag by one that this machine knows"
        );
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named_with_their_flag() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |url| read("--redis-ca-file", Some(file.path()), url, "rediss").map_err(|e| format!("{e:#}"));
        assert!(read("redis://h").unwrap_err().contains("--redis-ca-file is of no use"));
        assert!(read("rediss://h").unwrap_err().contains("has none"));
        std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n").unwrap();
        assert!(read("rediss://h").unwrap_err().contains("PEM file"));
        assert!(super::read("x", None, "redis://h", "rediss").unwrap().is_none());
        assert!(
            explain("invalid peer certificate: UnknownIssuer".to_owned(), "--amqp-ca-file").contains("--amqp-ca-file")
        );
        assert_eq!(explain("refused".to_owned(), "--amqp-ca-file"), "refused");
    }
}
