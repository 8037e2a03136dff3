//! Stream logins: names with passwords of their own for what reads the cameras by RTSP. The box makes the password and
//! shows it once; what it keeps can prove it by Digest and is sealed.
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use warp::reply::Response;

use super::coverage::camera_of;
use crate::base::secret::Secret;
use crate::base::time::UtcMicros;
use crate::live::rtsp::Ha1;
use crate::store::StreamLoginRow;
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::passwords::acceptable_username;
use crate::web::reply;
use crate::web::request::Req;

/// Cameras that one login may be limited to.
const CAMERAS_MAX: usize = 1000;

#[derive(Serialize, ToSchema)]
pub struct StreamLoginList {
    /// UDP and TCP address that the box serves RTSP on; absent while it does not (`live.rtsp_listen`).
    pub listen: Option<String>,
    /// Whether clients without Digest are let in too, with readable passwords (`live.rtsp_basic`).
    pub basic: bool,
    pub logins: Vec<StreamLoginView>,
}

#[derive(Serialize, ToSchema)]
pub struct StreamLoginView {
    pub id: Uuid,
    pub name: String,
    /// Null: all cameras.
    pub cameras: Option<Vec<String>>,
    /// Microseconds UTC.
    pub created_at: i64,
    pub created_by: String,
}

impl From<&StreamLoginRow> for StreamLoginView {
    fn from(row: &StreamLoginRow) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            cameras: row.cameras.as_ref().map(|cameras| cameras.iter().map(ToString::to_string).collect()),
            created_at: row.created_at.0,
            created_by: row.created_by.clone(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateStreamLogin {
    pub name: String,
    /// Absent or null: all cameras, also those that are added later.
    pub cameras: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
pub struct NewStreamLogin {
    pub login: StreamLoginView,
    /// Shown here and never again.
    pub password: String,
}

/// Who may read the cameras by RTSP.
#[utoipa::path(get, path = "/api/admin/stream-logins", tag = "admin", responses((status = 200, body = StreamLoginList)))]
pub async fn list(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let (config, rows) = (app.config(), app.store().stream_logins().await?);
    reply::json(&StreamLoginList {
        listen: config.live.rtsp_listen.map(|address| address.to_string()),
        basic: config.live.rtsp_basic,
        logins: rows.iter().map(StreamLoginView::from).collect(),
    })
}

/// Adds a login and answers with its password, once.
#[utoipa::path(post, path = "/api/admin/stream-logins", tag = "admin", request_body = CreateStreamLogin,
    responses((status = 201, body = NewStreamLogin), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn create(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: CreateStreamLogin = req.json()?;
    acceptable_username(&asked.name).map_err(|error| error.with_field("name"))?;
    let cameras =
        asked.cameras.map(|ids| ids.iter().map(|id| camera_of(id)).collect::<ApiResult<Vec<_>>>()).transpose()?;
    if cameras.as_ref().is_some_and(|ids| ids.is_empty() || ids.len() > CAMERAS_MAX) {
        return Err(ApiError::invalid("cameras", format!("Name 1 to {CAMERAS_MAX} cameras, or none for all of them.")));
    }
    let taken = app.store().user_by_name(&asked.name).await?.is_some()
        || app.store().stream_login(&asked.name).await?.is_some();
    if taken {
        let message = format!("There is already a user or a stream login `{}`.", asked.name);
        return Err(ApiError::conflict(message, "Choose another name.").with_field("name"));
    }
    // 128 bits of its own, so that a fast hash is enough; only letters and digits, so that it fits into any URL.
    let password = hex::encode(rand::random::<[u8; 16]>());
    let proof = Secret::new(Ha1::of(&asked.name, &password).to_text());
    let row = StreamLoginRow {
        id: Uuid::now_v7(),
        name: asked.name,
        cameras,
        proof: app.context.secrets.seal(&proof),
        created_at: UtcMicros::now(),
        created_by: req.who()?.username.clone(),
    };
    app.audit(&req, "stream-login.create", &subject(&row), Outcome::Done).await?;
    app.store().create_stream_login(row.clone()).await?;
    reply::json_status(StatusCode::CREATED, &NewStreamLogin { login: StreamLoginView::from(&row), password })
}

/// Takes a login away; whoever reads with it is cut off within 15 s.
#[utoipa::path(delete, path = "/api/admin/stream-logins/{id}", tag = "admin",
    params(("id" = Uuid, Path, description = "Stream login")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub async fn remove(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let missing = || ApiError::not_found("This stream login");
    let id: Uuid = req.param("id").parse().map_err(|_| missing())?;
    let row = app.store().delete_stream_login(id).await?.ok_or_else(missing)?;
    app.audit(&req, "stream-login.remove", &subject(&row), Outcome::Done).await?;
    Ok(reply::no_content())
}

fn subject(row: &StreamLoginRow) -> String {
    let cameras = row.cameras.as_ref().map_or_else(
        || "all cameras".to_owned(),
        |cameras| cameras.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    );
    format!("{}: {cameras}", row.name)
}
