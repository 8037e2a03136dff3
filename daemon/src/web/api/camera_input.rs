//! A camera as somebody adds or changes it.
use serde::Deserialize;
use utoipa::ToSchema;

use super::camera_view::RecordHow;
use super::zones::ZoneBody;
use crate::base::secret::Secret;
use crate::config::units::ByteSize;
use crate::config::{CameraClock, CameraConfig, LprStream, PushStream, RecordStreams, StreamRecord, Transport};

/// Where to send a stream of the camera; what is absent keeps its value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushInput {
    /// Empty: nowhere. A user and password in it are taken out and stored sealed.
    pub url: Option<String>,
    #[schema(value_type = Option<String>)]
    pub stream: Option<PushStream>,
    pub username: Option<String>,
    /// Absent keeps the stored one.
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
}

/// A camera to add, or the fields of one to change; what is absent keeps its value (or its default).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraInput {
    /// Chosen at creation, made from the name when absent; cannot be changed.
    pub id: Option<String>,
    pub name: Option<String>,
    pub enabled: Option<bool>,
    /// Empty removes it.
    pub onvif_url: Option<String>,
    /// RTSP address; a user and password in it are taken out and stored sealed.
    pub main_url: Option<String>,
    /// Empty removes it.
    pub sub_url: Option<String>,
    pub username: Option<String>,
    /// Absent keeps the stored one.
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
    #[schema(value_type = Option<String>)]
    pub transport: Option<Transport>,
    #[schema(value_type = Option<String>)]
    pub record: Option<RecordStreams>,
    pub audio: Option<bool>,
    #[schema(value_type = Option<String>)]
    pub lpr: Option<LprStream>,
    #[schema(value_type = Option<String>)]
    pub clock: Option<CameraClock>,
    /// Share of the picture's width, 0 to 1; 0 counts every plate.
    pub min_plate_width: Option<f64>,
    /// Bytes that the recordings of this camera may take; 0: no limit of its own.
    pub max_bytes: Option<u64>,
    pub record_main: Option<RecordHow>,
    pub record_sub: Option<RecordHow>,
    /// Takes effect without interrupting the camera's recording.
    pub push: Option<PushInput>,
    /// All zones of the camera, at most 16; they take effect without interrupting its recording.
    pub zones: Option<Vec<ZoneBody>>,
}

impl CameraInput {
    pub(super) fn apply_to(self, camera: &mut CameraConfig) {
        fn put<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        let optional = |url: String| (!url.trim().is_empty()).then(|| url.trim().to_owned());
        put(&mut camera.name, self.name.map(|name| name.trim().to_owned()));
        put(&mut camera.enabled, self.enabled);
        put(&mut camera.onvif_url, self.onvif_url.map(optional));
        put(&mut camera.main_url, self.main_url.map(|url| url.trim().to_owned()));
        put(&mut camera.sub_url, self.sub_url.map(optional));
        put(&mut camera.transport, self.transport);
        put(&mut camera.record, self.record);
        put(&mut camera.audio, self.audio);
        put(&mut camera.lpr, self.lpr);
        put(&mut camera.clock, self.clock);
        put(&mut camera.min_plate_width, self.min_plate_width);
        put(&mut camera.max_bytes, self.max_bytes.map(ByteSize));
        put(&mut camera.record_main, self.record_main.map(StreamRecord::from));
        put(&mut camera.record_sub, self.record_sub.map(StreamRecord::from));
        put(&mut camera.zones, self.zones.map(|zones| zones.into_iter().map(Into::into).collect()));
        // Credentials typed into the address first, so that the fields of their own win.
        if let Some((username, password)) = take_credentials(&mut camera.main_url) {
            camera.username = username;
            camera.password = password;
        }
        if let Some(url) = &mut camera.sub_url {
            take_credentials(url);
        }
        put(&mut camera.username, self.username);
        put(&mut camera.password, self.password);
        if let Some(asked) = self.push {
            let push = &mut camera.push;
            put(&mut push.url, asked.url.map(|url| url.trim().to_owned()));
            put(&mut push.stream, asked.stream);
            if let Some((username, password)) = take_credentials(&mut push.url) {
                push.username = username;
                push.password = password;
            }
            put(&mut push.username, asked.username);
            put(&mut push.password, asked.password);
        }
    }
}

/// Pure. Cuts `user:password@` out of an address.
fn take_credentials(address: &mut String) -> Option<(String, Secret)> {
    let mut url = url::Url::parse(address).ok()?;
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| {
        let pair = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let found = (decode(url.username()), Secret::new(decode(url.password().unwrap_or_default())));
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    *address = url.into();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_stay_in_an_address() {
        let mut camera = CameraConfig::default();
        let input: CameraInput =
            serde_json::from_str(r#"{"main_url": "rtsp://admin:p%40ss+1@10.0.0.2:554/main?x=1"}"#).unwrap();
        input.apply_to(&mut camera);
        assert_eq!(camera.main_url, "rtsp://10.0.0.2:554/main?x=1");
        assert_eq!((camera.username.as_str(), camera.password.expose()), ("admin", "p@ss+1"));
    }

    #[test]
    fn absent_fields_keep_and_empty_addresses_clear() {
        let mut camera = CameraConfig { sub_url: Some("rtsp://x/".into()), audio: false, ..CameraConfig::default() };
        camera.password = Secret::new("kept");
        let input: CameraInput = serde_json::from_str(r#"{"name": "A", "sub_url": ""}"#).unwrap();
        input.apply_to(&mut camera);
        assert_eq!((camera.name.as_str(), camera.sub_url.as_deref(), camera.audio), ("A", None, false));
        assert_eq!(camera.password.expose(), "kept");
    }
}
