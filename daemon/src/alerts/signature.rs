//! Pure. The signature of a webhook's message: HMAC-SHA256 over time and body, so that neither can be exchanged and an
//! old message cannot be played again.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::secret::Secret;

/// The header that carries it.
pub const HEADER: &str = "x-gtv-signature";

/// `t=<unix seconds>,v1=<hex of HMAC-SHA256(secret, "<unix seconds>.<body>")>`
pub fn sign(secret: &Secret, unix_s: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("a key of any length will do");
    mac.update(format!("{unix_s}.").as_bytes());
    mac.update(body.as_bytes());
    format!("t={unix_s},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn agrees_with_another_implementation() {
        let signed = sign(&Secret::new("0123456789abcdef"), 1_700_000_000, "{\"a\":1}");
        assert_eq!(signed, "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23");
    }
}
