//! Recordings as evidence: asked for with a reason, fetched as one ZIP file, both written down.
use std::sync::Arc;

use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::base::identity::Identity;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::config::CameraClock;
use crate::evidence::{Clock, EvidenceError, Plan, Request};
use crate::store::{AuditEntry, Stream};
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody, kind_remedy};
use crate::web::exports::{self, LIFETIME};
use crate::web::reply;
use crate::web::request::Req;

#[derive(Deserialize, ToSchema)]
pub struct ExportInput {
    pub camera: String,
    /// Microseconds UTC.
    pub from: i64,
    /// Microseconds UTC, at most 24 hours later.
    pub to: i64,
    /// `main` or `sub`; what is recorded when absent.
    pub stream: Option<String>,
    /// What it is for; 1 to 500 characters.
    pub reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct ExportView {
    /// Where the ZIP file is, for ten minutes and for this user.
    pub url: String,
    pub name: String,
    /// Of the videos; the ZIP file is a little larger.
    pub bytes: u64,
    /// What the files show, whole groups of pictures; microseconds UTC.
    pub start: i64,
    /// Microseconds UTC.
    pub end: i64,
    /// More than one where the camera changed its settings.
    pub files: usize,
    /// Microseconds UTC.
    pub expires_at: i64,
}

/// Asks for a recorded span as evidence.
#[utoipa::path(post, path = "/api/streaming/exports", tag = "streaming", request_body = ExportInput,
    responses((status = 201, body = ExportView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn create(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let input: ExportInput = req.json()?;
    let who = req.who()?;
    let camera: CameraId =
        input.camera.parse().map_err(|_| ApiError::invalid("camera", "`camera` is not a camera id."))?;
    let streams = match input.stream.as_deref() {
        None => vec![Stream::Main, Stream::Sub],
        Some("main") => vec![Stream::Main],
        Some("sub") => vec![Stream::Sub],
        Some(_) => return Err(ApiError::invalid("stream", "`stream` must be `main` or `sub`.")),
    };
    let dated_by_camera = app.config().camera(&camera).is_some_and(|camera| camera.clock == CameraClock::Camera);
    let offset = app.camera_status(&camera).and_then(|status| status.clock_offset_ms);
    let mut request = Request {
        camera,
        stream: Stream::Main,
        from: UtcMicros(input.from),
        to: UtcMicros(input.to),
        by: who.username.clone(),
        reason: input.reason,
        clock: Clock::now(if dated_by_camera { "camera" } else { "box" }, offset.map(|ms| ms as f64)),
    };
    let mut plan = Err(EvidenceError::Invalid("no stream".to_owned()));
    for stream in streams {
        request.stream = stream;
        plan = Plan::new(app.store(), request.clone()).await;
        if !matches!(plan, Err(EvidenceError::Nothing { .. })) {
            break;
        }
    }
    let plan = plan?;
    app.audit(&req, "evidence.export", &subject(&plan), Outcome::Done).await?;
    let ticket = app.exports.add(who.user_id, plan.request.clone());
    let (Some(first), Some(last)) = (plan.parts.first(), plan.parts.last()) else {
        return Err(ApiError::internal("planning an export", "no part"));
    };
    let view = ExportView {
        url: format!("/api/streaming/exports/{}/evidence.zip", ticket.id),
        name: zip_name(&plan),
        bytes: plan.bytes(),
        start: first.start.0,
        end: last.end.0,
        files: plan.parts.len(),
        expires_at: UtcMicros::now().0 + LIFETIME.as_micros() as i64,
    };
    reply::json_status(StatusCode::CREATED, &view)
}

/// The ZIP file: each video unchanged, its signed manifest, and how to check them.
#[utoipa::path(get, path = "/api/streaming/exports/{id}/evidence.zip", tag = "streaming",
    params(("id" = String, Path, description = "Export")),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody)))]
pub async fn download(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let who = req.who()?;
    let ticket = app.exports.find(req.param("id"), who.user_id).ok_or_else(|| {
        let mut error = ApiError::not_found("This export");
        error.remedy = "Ask for it again: a link works for ten minutes, and for whoever asked.".into();
        error
    })?;
    let Some(permit) = app.exports.try_begin() else {
        return Err(ApiError::conflict("Two exports are being sent already.", "Wait until one of them is done."));
    };
    let plan = Plan::new(app.store(), ticket.request.clone()).await?;
    let identity = Identity::open_or_create(app.store().dir()).map_err(EvidenceError::from)?;
    app.audit(&req, "evidence.download", &subject(&plan), Outcome::Done).await?;
    let name = zip_name(&plan);
    let entry = AuditEntry {
        actor: who.username.clone(),
        action: String::new(),
        subject: subject(&plan),
        detail: serde_json::Value::Null,
        remote: req.peer.to_string(),
    };
    let chunks = exports::send(plan, identity, app.store().clone(), entry, permit);
    let mut response = reply::stream(ReceiverStream::new(chunks));
    reply::set(&mut response, header::CONTENT_TYPE, "application/zip");
    reply::set(&mut response, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    reply::set(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

fn subject(plan: &Plan) -> String {
    format!("{} because: {}", plan.subject(), plan.request.reason.trim())
}

fn zip_name(plan: &Plan) -> String {
    let first = plan.parts.first().map_or("evidence.mp4", |part| part.name.as_str());
    format!("{}.zip", first.trim_end_matches(".mp4"))
}

impl From<EvidenceError> for ApiError {
    fn from(error: EvidenceError) -> Self {
        let kind = error.kind();
        let remedy = match &error {
            EvidenceError::Nothing { .. } => "Choose a time inside a recorded stretch.",
            _ => kind_remedy(kind),
        };
        Self::of_kind(kind, error.to_string(), remedy)
    }
}
