//! Pure. How a client proves who it is: Digest with SHA-256 or MD5, and Basic. What is kept of a password are its two
//! HA1, which prove it in all three ways.
//!
//! The challenges have no `qop`, in the form of RFC 2069 that every RTSP client speaks: what `qop` would prevent, an
//! answer used again, cannot be, as each connection has a nonce of its own.

use std::fmt::{Debug, Formatter};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub const REALM: &str = "gtv-edge";

/// RFC 7616 3.4.2, under [`REALM`]. Whoever has one can log in with it, so it is kept like a password.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Ha1 {
    md5: String,
    sha256: String,
}

impl Debug for Ha1 {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ha1")
    }
}

impl Ha1 {
    pub fn of(user: &str, password: &str) -> Self {
        let text = format!("{user}:{REALM}:{password}");
        Self { md5: Algorithm::Md5.hash(&text), sha256: Algorithm::Sha256.hash(&text) }
    }

    /// As it is kept.
    pub fn to_text(&self) -> String {
        format!("{}:{}", self.md5, self.sha256)
    }

    pub fn from_text(text: &str) -> Option<Self> {
        let (md5, sha256) = text.split_once(':')?;
        Some(Self { md5: md5.to_owned(), sha256: sha256.to_owned() })
    }

    /// Whether the attempt shows that its client knows the password.
    pub fn proves(&self, attempt: &Attempt) -> bool {
        match &attempt.proof {
            Proof::Password(password) => same(&Self::of(&attempt.user, password).sha256, &self.sha256),
            Proof::Digest(answer) => {
                let ha1 = match answer.algorithm {
                    Algorithm::Md5 => &self.md5,
                    Algorithm::Sha256 => &self.sha256,
                };
                let ha2 = answer.algorithm.hash(&format!("{}:{}", answer.method, answer.uri));
                same(&answer.algorithm.hash(&format!("{ha1}:{}:{ha2}", answer.nonce)), &answer.response)
            }
        }
    }
}

/// In a time that does not tell how far two texts are the same.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |all, (l, r)| all | (l ^ r)) == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(text.as_bytes())),
            Self::Sha256 => hex::encode(Sha256::digest(text.as_bytes())),
        }
    }
}

/// What a client says about itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    pub user: String,
    pub proof: Proof,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    Password(String),
    Digest(DigestAnswer),
}

#[derive(Clone, PartialEq, Eq)]
pub struct DigestAnswer {
    algorithm: Algorithm,
    /// Of the request.
    method: String,
    uri: String,
    pub nonce: String,
    response: String,
}

/// `Authorization` of a request with this method; `None` where it is none that is known here.
pub fn attempt(header: &str, method: &str) -> Option<Attempt> {
    let (scheme, value) = header.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(value.trim()).ok()?;
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        return Some(Attempt { user: user.to_owned(), proof: Proof::Password(password.to_owned()) });
    }
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let fields = fields(value);
    let field = |name: &str| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let response = field("response")?.to_ascii_lowercase();
    // Told by its length, as some clients leave out which one they chose.
    let algorithm = match response.len() {
        32 => Algorithm::Md5,
        64 => Algorithm::Sha256,
        _ => return None,
    };
    if field("realm")? != REALM {
        return None;
    }
    Some(Attempt {
        user: field("username")?.clone(),
        proof: Proof::Digest(DigestAnswer {
            algorithm,
            method: method.to_owned(),
            uri: field("uri")?.clone(),
            nonce: field("nonce")?.clone(),
            response,
        }),
    })
}

/// `name=value, name="value"`, with quotes and backslashes inside of quotes escaped (RFC 9110 5.6.4).
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, left) = if let Some(text) = after.strip_prefix('"') {
            quoted(text)
        } else {
            let end = after.find(',').unwrap_or(after.len());
            (after[..end].trim().to_owned(), &after[end..])
        };
        fields.push((name.trim_matches([' ', ',', '\t']).to_owned(), value));
        rest = left;
    }
    fields
}

/// What stands before the closing quote, and what comes behind it.
fn quoted(text: &str) -> (String, &str) {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &text[at + 1..]),
            c => {
                value.push(c);
                escaped = false;
            }
        }
    }
    (value, "")
}

/// What a client is asked for. MD5 comes last: FFmpeg answers the last Digest that it is asked for, and only knows MD5.
pub fn challenges(nonce: &str, stale: bool, basic: bool) -> Vec<String> {
    let stale = if stale { ", stale=true" } else { "" };
    let digest = |name: &str| format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm={name}{stale}");
    let basic = basic.then(|| format!("Basic realm=\"{REALM}\""));
    basic.into_iter().chain([digest("SHA-256"), digest("MD5")]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `DigestAnswer` of a client that knows the password.
    fn answered(algorithm: Algorithm, name: &str, password: &str) -> String {
        let ha1 = algorithm.hash(&format!("vms:{REALM}:{password}"));
        let ha2 = algorithm.hash("DESCRIBE:rtsp://box/gate");
        let response = algorithm.hash(&format!("{ha1}:n1:{ha2}"));
        format!(
            "Digest username=\"vms\", realm=\"{REALM}\", nonce=\"n1\", uri=\"rtsp://box/gate\", \
             response=\"{response}\"{name}"
        )
    }

    #[test]
    fn each_way_proves_the_password_and_no_other() {
        let ha1 = Ha1::from_text(&Ha1::of("vms", "right").to_text()).unwrap();
        for (algorithm, name) in [
            (Algorithm::Md5, ""),
            (Algorithm::Md5, ", algorithm=MD5"),
            (Algorithm::Sha256, ""),
            (Algorithm::Sha256, ", algorithm=SHA-256"),
        ] {
            let given = |password| attempt(&answered(algorithm, name, password), "DESCRIBE").unwrap();
            assert!(ha1.proves(&given("right")), "{name}");
            assert!(!ha1.proves(&given("wrong")), "{name}");
            let elsewhere = attempt(&answered(algorithm, name, "right"), "PLAY").unwrap();
            assert!(!ha1.proves(&elsewhere), "an answer is of one method");
        }
        let basic = |text: &str| attempt(&format!("Basic {}", STANDARD.encode(text)), "DESCRIBE").unwrap();
        assert!(ha1.proves(&basic("vms:right")) && !ha1.proves(&basic("vms:wrong")));
        assert!(!ha1.proves(&basic("other:right")));
    }

    /// The example of RFC 2069 as corrected by its errata.
    #[test]
    fn agrees_with_the_standard() {
        let ha1 = Algorithm::Md5.hash("Mufasa:testrealm@host.com:CircleOfLife");
        let known = Ha1 { md5: ha1, sha256: String::new() };
        let header = "Digest username=\"Mufasa\", realm=\"gtv-edge\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                      uri=\"/dir/index.html\", response=\"1949323746fe6a43ef61f9606e7febea\"";
        assert!(known.proves(&attempt(header, "GET").unwrap()));
    }

    #[test]
    fn what_is_no_attempt_is_none() {
        for other in ["", "Basic", "Basic !!", "Basic /w==", "Digest username=\"vw\"", "Bearer x", "Digest"] {
            assert!(attempt(other, "DESCRIBE").is_none(), "{other}");
        }
        let right = answered(Algorithm::Md5, "", "right");
        assert!(attempt(&right.replace(REALM, "other"), "DESCRIBE").is_none());
        assert!(attempt(&right.replace("response=\"", "response=\"a"), "DESCRIBE").is_none());
        let names = fields(r#"a="x, \"y\" \\", b = 2 ,c="#);
        let pairs: Vec<(&str, &str)> = names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", r#"x, "y" \"#), ("b", "2"), ("c", "")]);
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_panic(header in "(Digest |Basic )?.{0,200}") {
            attempt(&header, "DESCRIBE");
        }
    }
}
