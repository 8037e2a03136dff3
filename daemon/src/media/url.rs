//! Pure. RTSP addresses: credentials are joined to them in memory only, and what is shown names host and port alone.

use url::Url;
use zeroize::Zeroizing;

use super::error::MediaError;
use crate::base::secret::Secret;

/// The address that FFmpeg opens, with the credentials percent-encoded. Wiped when dropped; never log it.
pub fn stream_url(address: &str, username: &str, password: &Secret) -> Result<Zeroizing<String>, MediaError> {
    let mut url = parse(address)?;
    if !username.is_empty() {
        let set = url.set_username(username).and_then(|()| url.set_password(Some(password.expose())));
        set.map_err(|()| MediaError::Address { cause: "it cannot carry a user name".to_owned() })?;
    }
    Ok(Zeroizing::new(url.into()))
}

/// The address without credentials, for a client that takes them apart.
pub fn bare_url(address: &str) -> Result<Url, MediaError> {
    parse(address)
}

/// Host and port, for messages and logs.
pub fn place(address: &str) -> String {
    match parse(address) {
        Ok(url) => {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().unwrap_or(if url.scheme() == "rtsps" { 322 } else { 554 });
            format!("{host}:{port}")
        }
        Err(_) => "the camera's address".to_owned(),
    }
}

fn parse(address: &str) -> Result<Url, MediaError> {
    // The parser's own error never quotes the address, so a password in it stays out of the log.
    let url = Url::parse(address).map_err(|error| MediaError::Address { cause: error.to_string() })?;
    // Nothing but RTSP: FFmpeg would open files and other protocols just as readily.
    if !matches!(url.scheme(), "rtsp" | "rtsps") {
        return Err(MediaError::Address { cause: format!("`{}` is not rtsp or rtsps", url.scheme()) });
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(MediaError::Address { cause: "it names no host".to_owned() });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        serde_json::from_value(serde_json::Value::String(text.to_owned())).unwrap()
    }

    #[test]
    fn credentials_are_encoded_and_never_shown() {
        let url = stream_url("rtsp://10.0.0.5/a?b=1", "admin", &secret("p@ss:/w#rd")).unwrap();
        assert_eq!(url.as_str(), "rtsp://admin:p%40ss%3A%2Fw%23rd@10.0.0.5/a?b=1");
        assert_eq!(place("rtsp://admin:secret@10.0.0.5/user=admin_password=x"), "10.0.0.5:554");
        assert_eq!(place("rtsps://cam"), "cam:322");
    }

    #[test]
    fn only_rtsp_is_opened() {
        for bad in ["file:///etc/passwd", "http://10.0.0.5/", "rtsp:///x", "10.0.0.5", ""] {
            assert!(matches!(stream_url(bad, "", &secret("")), Err(MediaError::Address { .. })), "{bad}");
        }
    }
}
