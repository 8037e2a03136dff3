//! HLS and LL-HLS: playlists, initialization segments, segments and parts, under one path.
use std::sync::Arc;

use http::{StatusCode, header};
use uuid::Uuid;
use warp::reply::Response;

use super::cameras::missing;
use super::whep::silent;
use crate::live::hls::{HlsError, StreamKey};
use crate::web::app::App;
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::{Req, shorten};

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MEDIA: &str = "video/mp4";
/// A session's name is the box's own, or short.
const SESSION_MAX: usize = 64;

/// What a file name under `hls/` stands for.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Multivariant,
    Media,
    Init(&'a str),
    Segment(u64),
    Part(u64),
}

fn parse(name: &str) -> Option<Name<'_>> {
    let number = |text: &str| text.strip_suffix(".m4s")?.parse().ok();
    match name {
        "index.m3u8" => Some(Name::Multivariant),
        "stream.m3u8" => Some(Name::Media),
        _ if name.starts_with('i') => name[1..].strip_suffix(".mp4").map(Name::Init),
        _ if name.starts_with('s') => number(&name[1..]).map(Name::Segment),
        _ if name.starts_with('p') => number(&name[1..]).map(Name::Part),
        _ => None,
    }
}

/// HLS of a camera. Begin at `index.m3u8`; the addresses in it lead on. Media playlists take `_HLS_msn` and `_HLS_part`
/// (blocking reload). A player that does not ask for 20 s no longer counts as a viewer.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/hls/{file}", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("file" = String, Path, description = "`index.m3u8`, or what a playlist names"),
           ("stream" = Option<String>, Query, description = "`main` (when absent) or `sub`"),
           ("session" = Option<String>, Query, description = "Of the multivariant playlist"),
           ("_HLS_msn" = Option<u64>, Query, description = "Answer when this segment is there"),
           ("_HLS_part" = Option<u64>, Query, description = "or this part of it")),
    responses((status = 200, description = "Playlist (application/vnd.apple.mpegurl) or video/mp4"),
              (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody),
              (status = 503, body = ErrorBody)))]
pub async fn file(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let stream = req.query_stream()?;
    if app.config().camera(&camera).is_none() {
        return Err(missing(&camera));
    }
    let name = req.param("file");
    let gone = || ApiError::not_found(format!("`{}` of this camera", shorten(name)));
    let kind = parse(name).ok_or_else(gone)?;
    let key: StreamKey = (camera, stream);
    let hls = &app.hls;
    let made = match kind {
        Name::Multivariant | Name::Media => {
            let session = req.query("session").unwrap_or_else(|| Uuid::now_v7().simple().to_string());
            if session.len() > SESSION_MAX || !session.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(ApiError::invalid("session", "`session` must be the one of the multivariant playlist."));
            }
            let query = format!("stream={stream}&session={session}");
            // Nobody continues, or ends, the session of somebody else's login.
            let session = format!("{}/{session}", req.who()?.session);
            let text = if kind == Name::Multivariant {
                hls.multivariant(&key, &session, &query).await
            } else {
                hls.media(&key, &session, &query, wanted(&req)?).await
            };
            text.map(|text| (PLAYLIST, text.into(), "no-store"))
        }
        Name::Init(id) => hls.init(&key, id).map(|data| (MEDIA, data, "private, max-age=3600")),
        Name::Segment(number) => hls.segment(&key, number).map(|data| (MEDIA, data, "private, max-age=60")),
        Name::Part(number) => hls.part(&key, number).await.map(|data| (MEDIA, data, "private, max-age=60")),
    };
    let (content_type, body, caching) = made.map_err(|error| match error {
        HlsError::Silent => silent(&app, &key.0),
        HlsError::Full(viewers) => {
            ApiError::too_many(format!("{viewers} people watch this camera already; close one of the live views."), 10)
        }
        HlsError::Gone => gone(),
        HlsError::Ahead => ApiError::invalid("_HLS_msn", "That segment or part is too far ahead to be waited for."),
    })?;
    let mut response = reply::bytes(StatusCode::OK, content_type, body);
    reply::set(&mut response, header::CACHE_CONTROL, caching);
    Ok(response)
}

fn wanted(req: &Req) -> ApiResult<Option<(u64, Option<usize>)>> {
    let number = |name: &str| {
        let text = req.query(name);
        let invalid = || ApiError::invalid(name, format!("`{name}` must be a number."));
        text.map(|text| text.parse::<u64>().map_err(|_| invalid())).transpose()
    };
    let (segment, part) = (number("_HLS_msn")?, number("_HLS_part")?);
    if segment.is_none() && part.is_some() {
        return Err(ApiError::invalid("_HLS_part", "`_HLS_part` needs `_HLS_msn`."));
    }
    Ok(segment.map(|segment| (segment, part.map(|part| usize::try_from(part).unwrap_or(usize::MAX)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse("index.m3u8"), Some(Name::Multivariant));
        assert_eq!(parse("stream.m3u8"), Some(Name::Media));
        assert_eq!(parse("i00ff.mp4"), Some(Name::Init("00ff")));
        assert_eq!((parse("s12.m4s"), parse("p7.m4s")), (Some(Name::Segment(12)), Some(Name::Part(7))));
        for other in ["", "s.m4s", "p-1.m4s", "q1.m4s", "s1.mp4", "é1.m4s"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
