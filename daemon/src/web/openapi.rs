//! The OpenAPI document, made from the handlers' own descriptions.
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};

use super::api::{
    alerts, audit, cameras, coverage, detections, devices, exports, hls, live, locks, ops, recordings, session, status,
    stream_logins, timeline, upstream, users, watch_entries, watchlists, whep,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "GT-Vision Edge",
        description = "The local API of one box. Times are microseconds UTC unless a field says otherwise. A change \
                       needs a bearer token, or the session cookie with the header `X-GTV-Request`."
    ),
    tags(
        (name = "admin", description = "Setup, login, users, audit log, health"),
        (name = "cidades", description = "Cameras"),
        (name = "streaming", description = "Live video and recordings"),
        (name = "ai", description = "Plates, watchlists, alerts"),
        (name = "operations", description = "For machines")
    ),
    security((), ("bearer" = []), ("cookie" = [])),
    paths(
        ops::healthz, ops::readyz, ops::metrics, ops::openapi,
        session::setup_state, session::setup, session::login, session::refresh, session::logout, session::me,
        session::change_password,
        users::list, users::create, users::update, users::remove,
        stream_logins::list, stream_logins::create, stream_logins::remove,
        audit::list, status::settings, status::status,
        cameras::list, cameras::create, cameras::one, cameras::update, cameras::remove,
        devices::discover, devices::probe,
        live::watch, live::snapshot, live::clock, hls::file, whep::open, whep::close,
        recordings::spans, recordings::describe, recordings::playback, upstream::request,
        timeline::timeline, timeline::passage, timeline::thumbnail,
        exports::create, exports::download,
        coverage::list, locks::list, locks::create, locks::remove,
        detections::list, detections::one, detections::crop, detections::frame, detections::clip, detections::stream,
        alerts::list, alerts::acknowledge,
        watchlists::list, watchlists::create, watchlists::update, watchlists::remove,
        watch_entries::list, watch_entries::put, watch_entries::remove, watch_entries::import, watch_entries::export,
    )
)]
struct Api;

pub fn document() -> Document {
    let mut document = Api::openapi();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let cookie = ApiKey::Cookie(ApiKeyValue::new(super::dispatch::ACCESS_COOKIE));
    components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::routes;

    #[test]
    fn the_document_and_the_route_table_name_the_same_paths() {
        let document = serde_json::to_value(document()).unwrap();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in ["get", "post", "put", "delete", "patch"] {
                if item.get(method).is_some() {
                    documented.insert(format!("{} {path}", method.to_uppercase()));
                }
            }
        }
        let served: BTreeSet<_> =
            routes::table().iter().map(|route| format!("{} {}", route.method, route.pattern)).collect();
        assert_eq!(documented, served);
    }
}
