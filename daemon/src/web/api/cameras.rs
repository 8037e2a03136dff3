//! The configured cameras and their state. Every change goes through the supervisor as a whole configuration (C1).
use std::sync::Arc;

use http::StatusCode;
use warp::reply::Response;

use super::camera_input::CameraInput;
use super::camera_view::{CameraList, CameraView};
use crate::base::ids::CameraId;
use crate::config::{CameraConfig, Config};
use crate::control::{Change, Refused, Source};
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody, Problem, kind_remedy};
use crate::web::reply;
use crate::web::request::Req;

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
}
