//! One request as handlers see it: parameters, query, body and who sent it, with errors that name the field.
use std::net::IpAddr;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use serde::de::DeserializeOwned;
use warp::ws::Ws;

use super::error::{ApiError, ApiResult};
use super::tokens::Identity;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::media::StreamKind;

pub struct Req {
    /// Names this request in the answer and the log.
    pub id: String,
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub peer: IpAddr,
    pub params: Vec<(&'static str, String)>,
    pub who: Option<Identity>,
    pub body: Bytes,
    /// The body of a route that takes a large one, at its beginning.
    pub upload: Option<std::fs::File>,
    pub ws: Option<Ws>,
}

impl Req {
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The user; routes that need one are only called with one.
    pub fn who(&self) -> ApiResult<&Identity> {
        self.who.as_ref().ok_or_else(ApiError::unauthorised)
    }

    /// A segment of the path; empty when the route has no such parameter.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    pub fn camera_id(&self) -> ApiResult<CameraId> {
        let id = self.param("id");
        id.parse().map_err(|_| ApiError::not_found(format!("Camera `{}`", shorten(id))))
    }

    pub fn json<T: DeserializeOwned>(&self) -> ApiResult<T> {
        let kind = self.header(header::CONTENT_TYPE).unwrap_or_default();
        if !kind.starts_with("application/json") {
            return Err(ApiError::new(
                http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body of this request must be JSON.",
                "Send it with `Content-Type: application/json`.",
            ));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            ApiError::invalid("body", format!("The body is not the JSON that this path takes: {error}"))
        })
    }

    /// A query value, percent-decoded; an empty one counts as absent.
    pub fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
            .filter(|value| !value.is_empty())
    }

    /// A time as RFC 3339 or as microseconds UTC.
    pub fn query_time(&self, name: &str) -> ApiResult<Option<UtcMicros>> {
        let Some(text) = self.query(name) else {
            return Ok(None);
        };
        if let Ok(micros) = text.parse::<i64>() {
            return Ok(Some(UtcMicros(micros)));
        }
        UtcMicros::parse_rfc3339(&text).map(Some).map_err(|_| {
            ApiError::invalid(name, format!("`{name}` is neither an RFC 3339 time nor microseconds since 1970."))
        })
    }

    pub fn required_time(&self, name: &str) -> ApiResult<UtcMicros> {
        self.query_time(name)?.ok_or_else(|| ApiError::invalid(name, format!("`{name}` is missing.")))
    }

    pub fn query_number(&self, name: &str, default: u32, max: u32) -> ApiResult<u32> {
        let Some(text) = self.query(name) else {
            return Ok(default);
        };
        match text.parse::<u32>() {
            Ok(value) if (1..=max).contains(&value) => Ok(value),
            _ => Err(ApiError::invalid(name, format!("`{name}` must be a number from 1 to {max}."))),
        }
    }

    /// `name=true|false`, false when absent.
    pub fn query_flag(&self, name: &str) -> ApiResult<bool> {
        match self.query(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::invalid(name, format!("`{name}` must be `true` or `false`."))),
        }
    }

    /// `stream=main|sub`, main when absent.
    pub fn query_stream(&self) -> ApiResult<StreamKind> {
        match self.query("stream").as_deref() {
            None | Some("main") => Ok(StreamKind::Main),
            Some("sub") => Ok(StreamKind::Sub),
            Some(_) => Err(ApiError::invalid("stream", "`stream` must be `main` or `sub`.")),
        }
    }

    pub fn bearer(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION)?.strip_prefix("Bearer ").map(str::trim)
    }

    /// The handshake of a WebSocket path.
    pub fn websocket(&mut self) -> ApiResult<Ws> {
        self.ws.take().ok_or_else(|| {
            ApiError::new(
                http::StatusCode::UPGRADE_REQUIRED,
                "upgrade_required",
                "This path speaks WebSocket only.",
                "Open it with a WebSocket client (version 13).",
            )
        })
    }
}

/// Outside text in a message stays short.
pub fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A cursor for the next page: opaque to callers, a row's key to us.
pub fn encode_cursor(key: &str) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key)
}

pub fn decode_cursor(cursor: &str) -> ApiResult<String> {
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::invalid("cursor", "`cursor` must be the `next` of an earlier page."))
}
