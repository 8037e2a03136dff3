//! The configured cameras and their state. Every change goes through the supervisor as a whole configuration (C1).
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::reply::Response;

use super::zones::ZoneBody;
use crate::base::ids::CameraId;
use crate::base::secret::Secret;
use crate::camera::{CameraStatus, StreamInfo};
use crate::config::units::{ByteSize, HumanDuration};
use crate::config::{
    CameraClock, CameraConfig, Config, LprStream, PushConfig, PushStream, RecordMode, RecordStreams, StreamRecord,
    Transport,
};
use crate::control::{Change, Refused, Source};
use crate::live::rtsp::PushStatus;
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody, Problem, kind_remedy};
use crate::web::reply;
use crate::web::request::Req;

#[derive(Serialize, ToSchema)]
pub struct CameraList {
    pub cameras: Vec<CameraView>,
}

#[derive(Serialize, ToSchema)]
pub struct CameraView {
    pub id: String,
    /// The id where the configuration has no name.
    pub name: String,
    pub enabled: bool,
    pub onvif_url: Option<String>,
    pub main_url: String,
    pub sub_url: Option<String>,
    pub username: String,
    /// Passwords themselves are never shown.
    pub has_password: bool,
    #[schema(value_type = String)]
    pub transport: Transport,
    #[schema(value_type = String)]
    pub record: RecordStreams,
    pub audio: bool,
    #[schema(value_type = String)]
    pub lpr: LprStream,
    #[schema(value_type = String)]
    pub clock: CameraClock,
    /// Plates narrower than this share of the picture's width do not count; 0 counts all.
    pub min_plate_width: f64,
    /// Bytes that the recordings of this camera may take; 0: no limit of its own.
    pub max_bytes: u64,
    /// When the streams that `record` names are recorded.
    pub record_main: RecordHow,
    pub record_sub: RecordHow,
    pub push: PushView,
    pub zones: Vec<ZoneBody>,
    /// Absent while the change that added the camera is being applied.
    pub status: Option<CameraHealth>,
}

/// When a recorded stream is recorded.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordHow {
    /// `continuous`, `motion`, `detection` or `schedule`.
    #[schema(value_type = String)]
    pub mode: RecordMode,
    /// Seconds kept from before what happened, at most 60.
    #[serde(default = "default_pre_roll")]
    pub pre_roll_s: u64,
    /// Seconds kept after it, at most 600.
    #[serde(default = "default_post_roll")]
    pub post_roll_s: u64,
    /// Weekly times such as `mon-fri 07:00-19:00`, by the box's local clock; empty: always.
    #[serde(default)]
    pub schedule: Vec<String>,
}

fn default_pre_roll() -> u64 {
    StreamRecord::default().pre_roll.as_secs()
}

fn default_post_roll() -> u64 {
    StreamRecord::default().post_roll.as_secs()
}

impl From<&StreamRecord> for RecordHow {
    fn from(how: &StreamRecord) -> Self {
        Self {
            mode: how.mode,
            pre_roll_s: how.pre_roll.as_secs(),
            post_roll_s: how.post_roll.as_secs(),
            schedule: how.schedule.clone(),
        }
    }
}

impl From<RecordHow> for StreamRecord {
    fn from(how: RecordHow) -> Self {
        Self {
            mode: how.mode,
            pre_roll: HumanDuration::secs(how.pre_roll_s),
            post_roll: HumanDuration::secs(how.post_roll_s),
            schedule: how.schedule.iter().map(|entry| entry.trim().to_owned()).collect(),
        }
    }
}

/// Where a stream of the camera is sent by RTSP, and what comes of it.
#[derive(Serialize, ToSchema)]
pub struct PushView {
    /// Empty: nowhere.
    pub url: String,
    /// `main` or `sub`.
    #[schema(value_type = String)]
    pub stream: PushStream,
    pub username: String,
    /// Passwords themselves are never shown.
    pub has_password: bool,
    /// Absent while nothing is to be sent.
    pub status: Option<PushHealth>,
}

#[derive(Serialize, ToSchema)]
pub struct PushHealth {
    /// `connecting`, `sending`, `waiting` (for the camera) or `failed`.
    pub state: String,
    /// Why nothing is sent; empty while something is.
    pub reason: String,
    /// Since when the state holds, microseconds UTC.
    pub since: i64,
}

impl PushView {
    fn of(push: &PushConfig, status: Option<PushStatus>) -> Self {
        let health = |status: PushStatus| PushHealth {
            state: status.state.as_str().to_owned(),
            reason: status.reason,
            since: status.since.0,
        };
        Self {
            url: push.url.clone(),
            stream: push.stream,
            username: push.username.clone(),
            has_password: !push.password.is_empty(),
            status: status.map(health),
        }
    }
}

/// What a camera does now and why.
#[derive(Serialize, ToSchema)]
pub struct CameraHealth {
    /// `unreachable`, `unauthorised`, `connecting`, `streaming`, `stalled` or `disabled`.
    pub state: String,
    /// What is wrong and what to do, for people; empty while all is well.
    pub reason: String,
    /// Stable name of the reason.
    pub code: String,
    /// Since when the state holds, microseconds UTC.
    pub since: i64,
    pub main: Option<StreamHealth>,
    pub sub: Option<StreamHealth>,
    /// The decoder in use and why, when plates are read.
    pub decoder: Option<String>,
    /// Camera clock minus box clock.
    pub clock_offset_ms: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct StreamHealth {
    /// `h264`, `h265` or `mjpeg`.
    pub codec: String,
    pub width: u32,
    pub height: u32,
    pub fps: f64,
    pub bitrate_bps: u64,
    pub has_audio: bool,
    /// Which RTSP client reads the stream, and why where it is not the usual one.
    pub client: String,
}

impl From<&CameraStatus> for CameraHealth {
    fn from(status: &CameraStatus) -> Self {
        let stream = |info: &StreamInfo| StreamHealth {
            codec: info.codec.as_str().to_owned(),
            width: info.width,
            height: info.height,
            fps: info.fps,
            bitrate_bps: info.bitrate_bps,
            has_audio: info.has_audio,
            client: info.client.clone(),
        };
        Self {
            state: status.state.as_str().to_owned(),
            reason: status.reason.clone(),
            code: status.code.clone(),
            since: status.since.0,
            main: status.main.as_ref().map(stream),
            sub: status.sub.as_ref().map(stream),
            decoder: status.decoder.clone(),
            clock_offset_ms: status.clock_offset_ms,
        }
    }
}

impl CameraView {
    fn of(app: &App, camera: &CameraConfig, status: Option<&CameraStatus>) -> Self {
        Self {
            id: camera.id.to_string(),
            name: camera.shown_name().to_owned(),
            enabled: camera.enabled,
            onvif_url: camera.onvif_url.clone(),
            main_url: camera.main_url.clone(),
            sub_url: camera.sub_url.clone(),
            username: camera.username.clone(),
            has_password: !camera.password.is_empty(),
            transport: camera.transport,
            record: camera.record,
            audio: camera.audio,
            lpr: camera.lpr,
            clock: camera.clock,
            min_plate_width: camera.min_plate_width,
            max_bytes: camera.max_bytes.0,
            record_main: RecordHow::from(&camera.record_main),
            record_sub: RecordHow::from(&camera.record_sub),
            push: PushView::of(&camera.push, app.context.pusher.status(&camera.id)),
            zones: camera.zones.iter().map(ZoneBody::from).collect(),
            status: status.map(CameraHealth::from),
        }
    }
}

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
    fn apply_to(self, camera: &mut CameraConfig) {
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

/// All cameras with their state, in the order of the configuration.
#[utoipa::path(get, path = "/api/cidades/cameras", tag = "cidades", responses((status = 200, body = CameraList)))]
pub async fn list(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let config = app.config();
    let states = app.context.supervisor.statuses();
    let cameras = config.cameras.iter().map(|camera| CameraView::of(&app, camera, states.get(&camera.id))).collect();
    reply::json(&CameraList { cameras })
}

/// One camera.
#[utoipa::path(get, path = "/api/cidades/cameras/{id}", tag = "cidades",
    params(("id" = String, Path, description = "Camera")),
    responses((status = 200, body = CameraView), (status = 404, body = ErrorBody)))]
pub async fn one(app: Arc<App>, req: Req) -> ApiResult<Response> {
    reply::json(&view(&app, &req.camera_id()?)?)
}

/// Adds a camera.
#[utoipa::path(post, path = "/api/cidades/cameras", tag = "cidades", request_body = CameraInput,
    responses((status = 201, body = CameraView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn create(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: CameraInput = req.json()?;
    let _one_change_at_a_time = app.changing.lock().await;
    let mut desired = Config::clone(&app.config());
    let id = match asked.id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => id.parse::<CameraId>().map_err(|error| ApiError::invalid("id", error.to_string()))?,
        None => free_id(asked.name.as_deref().unwrap_or_default(), &desired)?,
    };
    if desired.camera(&id).is_some() {
        let message = format!("There is already a camera `{id}`.");
        return Err(ApiError::conflict(message, "Choose another id.").with_field("id"));
    }
    let mut camera = CameraConfig { id: id.clone(), ..CameraConfig::default() };
    asked.apply_to(&mut camera);
    if camera.name.is_empty() {
        camera.name = id.to_string();
    }
    desired.cameras.push(camera);
    apply(&app, &req, desired, "camera.create", &id).await?;
    reply::json_status(StatusCode::CREATED, &view(&app, &id)?)
}

/// Changes a camera.
#[utoipa::path(put, path = "/api/cidades/cameras/{id}", tag = "cidades", request_body = CameraInput,
    params(("id" = String, Path, description = "Camera")),
    responses((status = 200, body = CameraView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn update(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let id = req.camera_id()?;
    let asked: CameraInput = req.json()?;
    if asked.id.as_deref().is_some_and(|other| other != id.as_str()) {
        return Err(ApiError::invalid("id", "The id of a camera cannot be changed; recordings carry it."));
    }
    let _one_change_at_a_time = app.changing.lock().await;
    let mut desired = Config::clone(&app.config());
    let camera = desired.cameras.iter_mut().find(|camera| camera.id == id).ok_or_else(|| missing(&id))?;
    asked.apply_to(camera);
    apply(&app, &req, desired, "camera.change", &id).await?;
    reply::json(&view(&app, &id)?)
}

/// Removes a camera; its recordings and detections stay until they expire.
#[utoipa::path(delete, path = "/api/cidades/cameras/{id}", tag = "cidades",
    params(("id" = String, Path, description = "Camera")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub async fn remove(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let id = req.camera_id()?;
    let _one_change_at_a_time = app.changing.lock().await;
    let mut desired = Config::clone(&app.config());
    if desired.camera(&id).is_none() {
        return Err(missing(&id));
    }
    desired.cameras.retain(|camera| camera.id != id);
    apply(&app, &req, desired, "camera.remove", &id).await?;
    Ok(reply::no_content())
}

pub fn missing(id: &CameraId) -> ApiError {
    ApiError::not_found(format!("Camera `{id}`"))
}

fn view(app: &App, id: &CameraId) -> ApiResult<CameraView> {
    let config = app.config();
    let camera = config.camera(id).ok_or_else(|| missing(id))?;
    Ok(CameraView::of(app, camera, app.context.supervisor.statuses().get(id)))
}

async fn apply(app: &App, req: &Req, desired: Config, action: &str, id: &CameraId) -> ApiResult<()> {
    let index = desired.cameras.iter().position(|camera| camera.id == *id);
    let actor = req.who()?.username.clone();
    match app.context.supervisor.apply(Change { source: Source::Web { actor }, desired }).await {
        Ok(_) => app.audit(req, action, id.as_str(), Outcome::Done).await,
        Err(refused) => {
            app.audit(req, action, id.as_str(), Outcome::Refused).await?;
            Err(explain(refused, index))
        }
    }
}

/// The first problem of this camera becomes the message beside its field; the others are listed.
fn explain(refused: Refused, index: Option<usize>) -> ApiError {
    let prefix = index.map(|index| format!("camera[{index}].")).unwrap_or_default();
    let problems: Vec<Problem> = refused
        .problems
        .into_iter()
        .map(|problem| Problem {
            key: field(problem.key.strip_prefix(&prefix).unwrap_or(&problem.key)),
            message: problem.message,
        })
        .collect();
    let message = match problems.first() {
        Some(problem) => format!("The change was refused: {}: {}", problem.key, problem.message),
        None => "The change was refused.".to_owned(),
    };
    let mut error = ApiError::of_kind(refused.kind, message, kind_remedy(refused.kind));
    error.field = problems.first().map(|problem| problem.key.clone());
    error.with_problems(problems)
}

/// Pure. A key of the configuration as the API names it: `[[camera.zone]]` is `zones` here.
fn field(key: &str) -> String {
    match key.strip_prefix("zone") {
        Some(rest) if rest.is_empty() || rest.starts_with('[') => format!("zones{rest}"),
        _ => key.to_owned(),
    }
}

/// Pure. An id made from a name: `Portão Sul` becomes `portao-sul`, then `portao-sul-2`.
fn free_id(name: &str, config: &Config) -> ApiResult<CameraId> {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        let plain = match c {
            'à'..='å' => 'a',
            'ç' => 'c',
            'è'..='ë' => 'e',
            'ì'..='ï' => 'i',
            'ñ' => 'n',
            'ò'..='ö' => 'o',
            'ù'..='ü' => 'u',
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        };
        if plain != '-' || !(slug.is_empty() || slug.ends_with('-')) {
            slug.push(plain);
        }
    }
    slug.truncate(48);
    let slug = slug.trim_end_matches('-');
    let base = if slug.is_empty() { "camera" } else { slug };
    let taken = |id: &str| config.cameras.iter().any(|camera| camera.id.as_str() == id);
    let id = (1..=10_000)
        .map(|n| if n == 1 && base != "camera" { base.to_owned() } else { format!("{base}-{n}") })
        .find(|id| !taken(id));
    id.and_then(|id| id.parse().ok()).ok_or_else(|| ApiError::invalid("id", "Choose an id for the camera."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_names_and_stay_free() {
        let mut config = Config::default();
        let mut next = |name: &str| {
            let id = free_id(name, &config).unwrap();
            config.cameras.push(CameraConfig { id: id.clone(), ..CameraConfig::default() });
            id.to_string()
        };
        assert_eq!(next("Portão Sul"), "portao-sul");
        assert_eq!(next("Portão  Sul!"), "portao-sul-2");
        assert_eq!(next(""), "camera-1");
        assert_eq!(next("東京"), "camera-2");
        assert!(next(&"x".repeat(300)).len() <= 64);
    }

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
