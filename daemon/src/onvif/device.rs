//! Asks one device who it is and which streams it has.

use std::time::{Duration, Instant};

use oxvif::error::OnvifError as Oxvif;
use oxvif::soap::SoapError;
use oxvif::transport::TransportError;
use oxvif::{OnvifClient, OnvifSession};
use serde::Serialize;
use url::{Host, Url};
use utoipa::ToSchema;

use super::{LockoutGuard, OnvifError};
use crate::base::secret::Secret;
use crate::base::time::UtcMicros;

const TIMEOUT: Duration = Duration::from_secs(15);
/// More than any fixed camera has; an encoder with 32 inputs is added input by input.
const MAX_PROFILES: usize = 16;

/// User and password of a camera; an empty user asks without.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

/// One media profile of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceProfile {
    pub token: String,
    pub name: String,
    /// `h264`, `h265`, `jpeg`, or what the device calls it.
    pub codec: Option<String>,
    /// Pixels.
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// Without credentials.
    pub rtsp_url: String,
    pub snapshot_url: Option<String>,
}

/// What a device says of itself; profiles with the largest picture first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceReport {
    pub onvif_url: String,
    pub manufacturer: String,
    pub model: String,
    pub firmware: String,
    pub serial: String,
    /// Camera clock minus box clock.
    pub clock_offset_ms: i64,
    pub profiles: Vec<DeviceProfile>,
}

/// Asks the device at `onvif_url`. Ends at the first refusal: one credential try a device.
pub async fn probe_device(
    onvif_url: &str,
    credentials: &Credentials,
    guard: &LockoutGuard,
) -> Result<DeviceReport, OnvifError> {
    let (url, host) = device_address(onvif_url)?;
    guard.check(&host, credentials, Instant::now())?;
    let asked = tokio::time::timeout(TIMEOUT, ask(&url, &host, credentials)).await;
    let result = asked.unwrap_or_else(|_| {
        Err(OnvifError::Unreachable {
            host: host.clone(),
            message: format!("no answer within {} s", TIMEOUT.as_secs()),
        })
    });
    if matches!(result, Err(OnvifError::Unauthorised { .. })) {
        guard.refused(&host, credentials, Instant::now());
    }
    result
}

/// Camera clock minus box clock, in milliseconds; needs no credentials (ONVIF Core, GetSystemDateAndTime).
pub async fn device_clock_offset_ms(onvif_url: &str) -> Result<i64, OnvifError> {
    let (url, host) = device_address(onvif_url)?;
    let client = OnvifClient::new(url.as_str());
    let answer = tokio::time::timeout(TIMEOUT, client.get_system_date_and_time()).await;
    let answer = answer.map_err(|_| OnvifError::Unreachable { host: host.clone(), message: "no answer".to_owned() })?;
    offset_ms(&answer.map_err(|error| classify(&host, error))?)
        .ok_or_else(|| OnvifError::Protocol { host, message: "GetSystemDateAndTime without UTCDateTime".to_owned() })
}

/// The device clock has whole seconds: half of one is the best guess for the rest.
fn offset_ms(clock: &oxvif::types::SystemDateTime) -> Option<i64> {
    let device_ms = clock.utc_unix?.checked_mul(1000)?.checked_add(500)?;
    let offset = device_ms.checked_sub(UtcMicros::now().0 / 1000)?;
    Some(if offset.abs() <= 500 { 0 } else { offset })
}

async fn ask(url: &Url, host: &str, credentials: &Credentials) -> Result<DeviceReport, OnvifError> {
    let failed = |error| classify(host, error);
    let clock = OnvifClient::new(url.as_str()).get_system_date_and_time().await.map_err(failed)?;
    let mut builder = OnvifSession::builder(url.as_str()).with_clock_sync();
    if !credentials.username.is_empty() {
        builder = builder.with_credentials(&credentials.username, credentials.password.expose());
    }
    let session = builder.build().await.map_err(failed)?;
    let info = session.get_device_info().await.map_err(failed)?;
    let mut profiles = Vec::new();
    for profile in session.get_profiles().await.map_err(failed)?.into_iter().take(MAX_PROFILES) {
        // Some cameras list profiles without an encoder (metadata only): they have no stream to ask for.
        let Some(encoder_token) = &profile.video_encoder_token else { continue };
        let stream = session.get_stream_uri(&profile.token).await.map_err(failed)?;
        let Some(rtsp_url) = usable_stream_url(&stream.uri, url) else { continue };
        let encoder = session.get_video_encoder_configuration(encoder_token).await.ok();
        let snapshot = session.get_snapshot_uri(&profile.token).await.ok();
        profiles.push(DeviceProfile {
            codec: encoder.as_ref().map(|encoder| encoder.encoding.to_string().to_ascii_lowercase()),
            width: encoder.as_ref().map(|encoder| encoder.resolution.width),
            height: encoder.as_ref().map(|encoder| encoder.resolution.height),
            token: profile.token,
            name: profile.name,
            rtsp_url,
            snapshot_url: snapshot.map(|snapshot| snapshot.uri).filter(|uri| !uri.is_empty()),
        });
    }
    profiles.sort_by_key(|profile| {
        std::cmp::Reverse(u64::from(profile.width.unwrap_or(0)) * u64::from(profile.height.unwrap_or(0)))
    });
    Ok(DeviceReport {
        onvif_url: url.to_string(),
        manufacturer: info.manufacturer,
        model: info.model,
        firmware: info.firmware_version,
        serial: info.serial_number,
        clock_offset_ms: offset_ms(&clock).unwrap_or(0),
        profiles,
    })
}

/// Accepts a bare host too, as an installer types it.
fn device_address(text: &str) -> Result<(Url, String), OnvifError> {
    let invalid = || OnvifError::Address { url: text.to_owned() };
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&full).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(invalid());
    }
    let host = url.host_str().ok_or_else(invalid)?.to_owned();
    if url.path() == "/" {
        url.set_path("/onvif/device_service");
    }
    let host = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
    Ok((url, host))
}

/// The stream's address without credentials; a device that gives `0.0.0.0` means itself.
fn usable_stream_url(text: &str, device: &Url) -> Option<String> {
    let mut url = Url::parse(text.trim()).ok()?;
    if !matches!(url.scheme(), "rtsp" | "rtsps") || !url.has_host() {
        return None;
    }
    // Failing is impossible for a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
        url.set_host(device.host_str()).ok()?;
    }
    debug_assert!(!matches!(url.host(), None | Some(Host::Domain(""))));
    Some(url.to_string())
}

fn classify(host: &str, error: Oxvif) -> OnvifError {
    let host = host.to_owned();
    match error {
        Oxvif::Transport(TransportError::HttpStatus { status: 401 | 403, .. }) => OnvifError::Unauthorised { host },
        Oxvif::Transport(TransportError::HttpStatus { ref body, .. }) if body.contains("NotAuthorized") => {
            OnvifError::Unauthorised { host }
        }
        Oxvif::Soap(SoapError::Fault { ref code, ref subcode, ref reason, .. })
            if [Some(code), subcode.as_ref(), Some(reason)]
                .into_iter()
                .flatten()
                .any(|t| t.contains("NotAuthorized")) =>
        {
            OnvifError::Unauthorised { host }
        }
        Oxvif::Transport(TransportError::Http(source)) => {
            // reqwest's own text repeats the URL; the cause says what happened.
            let cause = std::iter::successors(Some(&source as &dyn std::error::Error), |e| e.source()).last();
            OnvifError::Unreachable { host, message: cause.map_or_else(|| source.to_string(), ToString::to_string) }
        }
        other => {
            let message: String = other.to_string().chars().take(300).collect();
            OnvifError::Protocol { host, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        let (url, host) = device_address("192.168.1.64").unwrap();
        assert_eq!((url.as_str(), host.as_str()), ("http://192.168.1.64/onvif/device_service", "192.168.1.64"));
        let (url, host) = device_address("http://cam.local:8000/dev").unwrap();
        assert_eq!((url.as_str(), host.as_str()), ("http://cam.local:8000/dev", "cam.local:8000"));
        for bad in ["rtsp://x/", "http://user:pass@x/", "http://", "://"] {
            assert!(device_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn stream_addresses_lose_credentials_and_gain_a_host() {
        let device = Url::parse("http://10.0.0.7/onvif/device_service").unwrap();
        let url = usable_stream_url("rtsp://admin:x@0.0.0.0:554/main?a=1", &device);
        assert_eq!(url.as_deref(), Some("rtsp://10.0.0.7:554/main?a=1"));
        assert_eq!(usable_stream_url("http://10.0.0.7/video", &device), None);
    }
}
