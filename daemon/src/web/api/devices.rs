//! Cameras that are not configured yet: looking for them, and asking one what it offers.
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::reply::Response;

use crate::base::error::Kind;
use crate::base::secret::Secret;
use crate::onvif::{self, Credentials, DeviceReport, FoundDevice, OnvifError};
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::Req;

const TIMEOUT_MAX_SECONDS: u64 = 15;

#[derive(Deserialize, ToSchema)]
pub struct DiscoverRequest {
    /// IPv4 address of the interface to search; the configured one, or all, when absent.
    #[schema(value_type = Option<String>)]
    pub interface: Option<Ipv4Addr>,
    /// 1 to 15; the configured time when absent.
    pub timeout_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub struct DiscoverResult {
    pub devices: Vec<DiscoveredDevice>,
}

#[derive(Serialize, ToSchema)]
pub struct DiscoveredDevice {
    #[serde(flatten)]
    pub device: FoundDevice,
    /// The configured camera with this address, if there is one.
    pub camera: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub struct ProbeRequest {
    /// ONVIF device service, or the device's bare address.
    pub url: String,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    #[schema(value_type = String)]
    pub password: Secret,
}

/// Searches the network for ONVIF devices.
#[utoipa::path(post, path = "/api/cidades/discover", tag = "cidades", request_body = DiscoverRequest,
    responses((status = 200, body = DiscoverResult), (status = 409, body = ErrorBody)))]
pub async fn discover(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: DiscoverRequest = req.json()?;
    let config = app.config();
    let timeout = match asked.timeout_seconds {
        Some(seconds @ 1..=TIMEOUT_MAX_SECONDS) => Duration::from_secs(seconds),
        Some(_) => {
            let message = format!("`timeout_seconds` must be from 1 to {TIMEOUT_MAX_SECONDS}.");
            return Err(ApiError::invalid("timeout_seconds", message));
        }
        None => *config.discovery.timeout,
    };
    let _turn = take_turn(&app)?;
    app.audit(&req, "cameras.discover", "network", Outcome::Done).await?;
    let interface = asked.interface.or(config.discovery.interface);
    let found = onvif::discover(interface, timeout).await.map_err(|error| refused(&error))?;
    let devices = found
        .into_iter()
        .map(|device| {
            // Several cameras behind one address differ by the port of their ONVIF service only.
            let camera = config.cameras.iter().find(|camera| match &camera.onvif_url {
                Some(onvif) => authority(onvif, true) == authority(&device.onvif_url, true),
                None => authority(&camera.main_url, false) == authority(&device.onvif_url, false),
            });
            DiscoveredDevice { camera: camera.map(|camera| camera.id.to_string()), device }
        })
        .collect();
    reply::json(&DiscoverResult { devices })
}

/// Asks one device for its profiles with one try of the given user.
#[utoipa::path(post, path = "/api/cidades/discover/probe", tag = "cidades", request_body = ProbeRequest,
    responses((status = 200, body = DeviceReport), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn probe(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: ProbeRequest = req.json()?;
    let url = device_url(&asked.url)?;
    let _turn = take_turn(&app)?;
    app.audit(&req, "cameras.probe", &url, Outcome::Done).await?;
    let credentials = Credentials { username: asked.username, password: asked.password };
    let report = onvif::probe_device(&url, &credentials, &app.context.lockout).await;
    reply::json(&report.map_err(|error| refused(&error))?)
}

fn take_turn(app: &App) -> ApiResult<tokio::sync::SemaphorePermit<'_>> {
    app.discovering.try_acquire().map_err(|_| {
        ApiError::conflict("Somebody is searching for cameras right now.", "Wait a few seconds and try again.")
    })
}

/// A device that refuses must not read as the page's own session having ended, so that becomes 422.
fn refused(error: &OnvifError) -> ApiError {
    let kind = error.kind();
    let mut answer = ApiError::of_kind(kind, error.to_string(), "");
    if matches!(kind, Kind::Unauthorised | Kind::Forbidden | Kind::TooMany) {
        answer.status = http::StatusCode::UNPROCESSABLE_ENTITY;
        answer.code = "device_refused";
        answer.field = Some("password".into());
    }
    answer
}

/// Pure. `10.0.0.5` and `10.0.0.5:8080` become the usual address of the ONVIF device service.
fn device_url(text: &str) -> ApiResult<String> {
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let invalid = || ApiError::invalid("url", "Write the camera's address: 10.0.0.5 or http://10.0.0.5:8080/...");
    let mut url = url::Url::parse(&full).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ApiError::invalid("url", "User and password have fields of their own; leave them out here."));
    }
    if url.path() == "/" {
        url.set_path("/onvif/device_service");
    }
    Ok(url.into())
}

/// Host of an address, with its port when asked; `None` never equals a real one because found devices have a host.
fn authority(text: &str, with_port: bool) -> Option<(String, Option<u16>)> {
    let url = url::Url::parse(text).ok()?;
    let port = with_port.then(|| url.port_or_known_default()).flatten();
    Some((url.host_str()?.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_addresses_become_device_services() {
        assert_eq!(device_url("10.0.0.5").unwrap(), "http://10.0.0.5/onvif/device_service");
        assert_eq!(device_url(" 10.0.0.5:8080 ").unwrap(), "http://10.0.0.5:8080/onvif/device_service");
        assert_eq!(device_url("https://cam/x/y").unwrap(), "https://cam/x/y");
        for bad in ["", "ftp://cam/", "http://u:p@cam/", "http://", "file:///etc/passwd"] {
            assert!(device_url(bad).is_err(), "{bad}");
        }
    }
}
