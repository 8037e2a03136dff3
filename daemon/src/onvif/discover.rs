//! WS-Discovery: one probe on the chosen interface, or on all of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::OnvifError;

/// A device that answered a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundDevice {
    /// Endpoint reference, stable for the life of the device (`urn:uuid:...`).
    pub endpoint: String,
    /// ONVIF device service.
    pub onvif_url: String,
    pub host: String,
    /// From the scope `onvif://www.onvif.org/name/...`.
    pub name: Option<String>,
    /// From the scope `onvif://www.onvif.org/hardware/...`.
    pub hardware: Option<String>,
    /// From the scope `onvif://www.onvif.org/location/...`.
    pub location: Option<String>,
}

/// Every device that answers within `timeout`, in the order of their addresses.
pub async fn discover(interface: Option<Ipv4Addr>, timeout: Duration) -> Result<Vec<FoundDevice>, OnvifError> {
    let answers = match interface {
        Some(address) => oxvif::discovery::probe_result_on(timeout, &[address]).await,
        None => oxvif::discovery::probe_result(timeout).await,
    };
    let answers = answers.map_err(|source| OnvifError::Discovery {
        interface: interface.map_or_else(|| "all interfaces".to_owned(), |address| address.to_string()),
        source,
    })?;
    let mut found: Vec<FoundDevice> = answers
        .into_iter()
        .filter_map(|answer| {
            let (onvif_url, host) = preferred_address(&answer.xaddrs)?;
            let name = scope(&answer.scopes, "name");
            let hardware = scope(&answer.scopes, "hardware");
            let location = scope(&answer.scopes, "location");
            Some(FoundDevice { endpoint: answer.endpoint, onvif_url, host, name, hardware, location })
        })
        .collect();
    found.sort_by(|a, b| a.onvif_url.cmp(&b.onvif_url));
    found.dedup_by(|a, b| a.onvif_url == b.onvif_url);
    Ok(found)
}

/// The first IPv4 address a device gives, else the first one that is a URL at all: link-local IPv6 addresses, which
/// many cameras list as well, need an interface name to be of use.
fn preferred_address(xaddrs: &[String]) -> Option<(String, String)> {
    let parsed: Vec<url::Url> = xaddrs
        .iter()
        .filter_map(|text| url::Url::parse(text).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .collect();
    let url = parsed.iter().find(|url| matches!(url.host(), Some(url::Host::Ipv4(_)))).or(parsed.first())?;
    Some((url.to_string(), url.host_str()?.to_owned()))
}

fn scope(scopes: &[String], kind: &str) -> Option<String> {
    let prefix = format!("onvif://www.onvif.org/{kind}/");
    let value = scopes.iter().find_map(|scope| scope.strip_prefix(&prefix))?;
    let decoded = percent_decode(value);
    (!decoded.is_empty()).then_some(decoded)
}

/// Scopes are URIs, so names with blanks arrive percent-encoded (RFC 3986, section 2.1).
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_ipv4_and_ignores_nonsense() {
        let xaddrs = ["", "http://[fe80::1]/onvif", "http://10.0.0.9:8000/onvif/device_service"].map(String::from);
        let (url, host) = preferred_address(&xaddrs).unwrap();
        assert_eq!((url.as_str(), host.as_str()), ("http://10.0.0.9:8000/onvif/device_service", "10.0.0.9"));
        assert_eq!(preferred_address(&["nonsense".to_owned()]), None);
    }

    #[test]
    fn scopes_are_decoded() {
        let scopes =
            ["onvif://www.onvif.org/name/Port%C3%A3o%20Sul", "onvif://www.onvif.org/hardware/"].map(String::from);
        assert_eq!(scope(&scopes, "name").as_deref(), Some("Portão Sul"));
        assert_eq!(scope(&scopes, "hardware"), None);
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%é"), "%é");
    }
}
