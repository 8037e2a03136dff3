//! WebRTC by WHEP: an SDP offer begins a session, DELETE of its address ends it.
use std::sync::Arc;

use http::{StatusCode, header};
use uuid::Uuid;
use warp::reply::Response;

use super::cameras::missing;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::live::whep::WhepError;
use crate::web::app::App;
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::{Req, shorten};

const SDP: &str = "application/sdp";

/// Begins a WebRTC session. The body is an SDP offer (`application/sdp`) that receives one video; the answer names the
/// box's addresses, so candidates need not be exchanged. 406 says why the camera cannot be watched this way: `code` is
/// `reordered` (B-frames) or `codec_not_offered`. Where `live.transcode` allows it, such a stream is answered as H.264 and
/// `X-GTV-Transcoded` says so.
#[utoipa::path(post, path = "/api/streaming/cameras/{id}/whep", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("stream" = Option<String>, Query, description = "`main` (when absent) or `sub`")),
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, description = "SDP answer; `Location` is the session", body = String,
               content_type = "application/sdp"),
              (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 406, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn open(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let stream = req.query_stream()?;
    if app.config().camera(&camera).is_none() {
        return Err(missing(&camera));
    }
    if !req.header(header::CONTENT_TYPE).unwrap_or_default().starts_with(SDP) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body of this request must be an SDP offer.",
            "Send it with `Content-Type: application/sdp`.",
        ));
    }
    let offer = std::str::from_utf8(&req.body).map_err(|_| ApiError::invalid("body", "The offer is not text."))?;
    let who = req.who()?.clone();
    let issued = UtcMicros::now().0 / 1_000_000;
    let allowed = {
        let (app, who) = (app.clone(), who.clone());
        Box::new(move || !app.tokens.is_revoked(&who, issued))
    };
    let opened = app
        .whep
        .open(&camera, stream, offer, who.user_id, req.peer.is_loopback(), allowed)
        .await
        .map_err(|error| refusal(&app, &camera, &error))?;
    let mut response = reply::bytes(StatusCode::CREATED, SDP, opened.answer.into());
    let location = format!("/api/streaming/cameras/{camera}/whep/{}", opened.id);
    reply::set(&mut response, header::LOCATION, &location);
    reply::set(&mut response, header::CACHE_CONTROL, "no-store");
    if opened.transcoded {
        reply::set(&mut response, header::HeaderName::from_static("x-gtv-transcoded"), "h264");
    }
    Ok(response)
}

/// Ends a WebRTC session that the same user began; one that has ended already stays so.
#[utoipa::path(delete, path = "/api/streaming/cameras/{id}/whep/{session}", tag = "streaming",
    params(("id" = String, Path, description = "Camera"), ("session" = String, Path, description = "Of `Location`")),
    responses((status = 204, description = "It has ended"), (status = 404, body = ErrorBody)))]
pub async fn close(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let given = req.param("session");
    let id = given.parse::<Uuid>().map_err(|_| ApiError::not_found(format!("Session `{}`", shorten(given))))?;
    app.whep.close(&camera, id, req.who()?.user_id);
    Ok(reply::no_content())
}

fn refusal(app: &App, camera: &CameraId, error: &WhepError) -> ApiError {
    let cannot = |code, remedy: &str| ApiError::new(StatusCode::NOT_ACCEPTABLE, code, sentence(error), remedy);
    match error {
        WhepError::Silent => silent(app, camera),
        WhepError::Full { .. } => ApiError::too_many(sentence(error), 10),
        WhepError::Offer(_) => ApiError::invalid("body", sentence(error)),
        WhepError::Codec(_) => cannot("codec_not_offered", "Watch by MSE or HLS, or set the camera's stream to H.264."),
        WhepError::Reordered => cannot("reordered", "Watch by MSE or HLS, or switch off B-frames in the camera."),
        WhepError::Port(_) => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "webrtc_unavailable",
            sentence(error),
            "Watch by MSE or HLS; free the UDP port or choose another as live.webrtc_port.",
        ),
    }
}

/// Why there is no live picture now, as the camera's state tells it.
pub fn silent(app: &App, camera: &CameraId) -> ApiError {
    let (state, reason) = app
        .camera_status(camera)
        .map_or(("connecting", String::new()), |status| (status.state.as_str(), status.reason));
    let detail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    ApiError::unavailable(
        format!("The camera sends no picture now ({state}{detail})."),
        "Wait until it streams again; its page tells why it does not.",
    )
}

fn sentence(error: &WhepError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str() + ".")
}
