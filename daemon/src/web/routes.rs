//! Every path of the box in one table: who may call it and what answers.
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Method;
use warp::reply::Response;

use super::api::{
    alerts, audit, cameras, coverage, detections, devices, exports, hls, live, locks, ops, recordings, session, status,
    stream_logins, timeline, upstream, users, watch_entries, watchlists, whep,
};
use super::app::App;
use super::error::ApiResult;
use super::request::Req;
use super::tokens::Role;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Public,
    /// From the box itself, or with any login.
    Loopback,
    Role(Role),
}

/// Which rate limit counts the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Login,
    Normal,
}

/// What a request may bring and how long its handler may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A small body in memory, an answer at once.
    Normal,
    /// A large body in a file, and minutes to work through it.
    Upload,
    /// No body to speak of, but minutes of work.
    Long,
}

impl Work {
    /// For the handler, not for the body that it streams.
    pub fn handler_timeout(self) -> Duration {
        match self {
            Work::Normal => Duration::from_secs(30),
            Work::Upload | Work::Long => Duration::from_secs(900),
        }
    }
}

pub type Handler = Box<dyn Fn(Arc<App>, Req) -> BoxFuture<'static, ApiResult<Response>> + Send + Sync>;

pub struct Route {
    pub method: Method,
    pub pattern: &'static str,
    pub access: Access,
    pub class: Class,
    pub work: Work,
    pub handler: Handler,
}

fn route<F, Fut>(method: Method, pattern: &'static str, access: Access, handler: F) -> Route
where
    F: Fn(Arc<App>, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ApiResult<Response>> + Send + 'static,
{
    Route {
        method,
        pattern,
        access,
        class: Class::Normal,
        work: Work::Normal,
        handler: Box::new(move |app, req| Box::pin(handler(app, req))),
    }
}

impl Route {
    fn login_class(mut self) -> Self {
        self.class = Class::Login;
        self
    }

    fn work(mut self, work: Work) -> Self {
        self.work = work;
        self
    }
}

pub fn table() -> Vec<Route> {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let viewer = Access::Role(Role::Viewer);
    let operator = Access::Role(Role::Operator);
    let administrator = Access::Role(Role::Administrator);
    vec![
        route(get.clone(), "/healthz", Access::Public, ops::healthz),
        route(get.clone(), "/readyz", Access::Public, ops::readyz),
        route(get.clone(), "/metrics", Access::Loopback, ops::metrics),
        route(get.clone(), "/api/openapi.json", Access::Public, ops::openapi),
        route(get.clone(), "/api/admin/setup", Access::Public, session::setup_state),
        route(post.clone(), "/api/admin/setup", Access::Public, session::setup).login_class(),
        route(post.clone(), "/api/admin/login", Access::Public, session::login).login_class(),
        route(post.clone(), "/api/admin/refresh", Access::Public, session::refresh).login_class(),
        route(post.clone(), "/api/admin/logout", Access::Public, session::logout).login_class(),
        route(get.clone(), "/api/admin/me", viewer, session::me),
        route(put.clone(), "/api/admin/me/password", viewer, session::change_password).login_class(),
        route(get.clone(), "/api/admin/users", administrator, users::list),
        route(post.clone(), "/api/admin/users", administrator, users::create).login_class(),
        route(put.clone(), "/api/admin/users/{id}", administrator, users::update).login_class(),
        route(delete.clone(), "/api/admin/users/{id}", administrator, users::remove),
        route(get.clone(), "/api/admin/stream-logins", administrator, stream_logins::list),
        route(post.clone(), "/api/admin/stream-logins", administrator, stream_logins::create),
        route(delete.clone(), "/api/admin/stream-logins/{id}", administrator, stream_logins::remove),
        route(get.clone(), "/api/admin/audit", administrator, audit::list),
        route(get.clone(), "/api/admin/settings", administrator, status::settings),
        route(get.clone(), "/api/admin/status", viewer, status::status),
        route(get.clone(), "/api/cidades/cameras", viewer, cameras::list),
        route(post.clone(), "/api/cidades/cameras", operator, cameras::create),
        route(get.clone(), "/api/cidades/cameras/{id}", viewer, cameras::one),
        route(put.clone(), "/api/cidades/cameras/{id}", operator, cameras::update),
        route(delete.clone(), "/api/cidades/cameras/{id}", operator, cameras::remove),
        route(post.clone(), "/api/cidades/discover", operator, devices::discover),
        route(post.clone(), "/api/cidades/discover/probe", operator, devices::probe).login_class(),
        route(get.clone(), "/api/streaming/cameras/{id}/live", viewer, live::watch),
        route(get.clone(), "/api/streaming/cameras/{id}/snapshot.jpg", viewer, live::snapshot),
        route(get.clone(), "/api/streaming/cameras/{id}/clock", viewer, live::clock),
        route(get.clone(), "/api/streaming/cameras/{id}/hls/{file}", viewer, hls::file),
        route(post.clone(), "/api/streaming/cameras/{id}/whep", viewer, whep::open),
        route(delete.clone(), "/api/streaming/cameras/{id}/whep/{session}", viewer, whep::close),
        route(get.clone(), "/api/streaming/cameras/{id}/recordings", viewer, recordings::spans),
        route(post.clone(), "/api/streaming/cameras/{id}/recordings/upload", operator, upstream::request),
        route(get.clone(), "/api/streaming/cameras/{id}/playback", viewer, recordings::describe),
        route(get.clone(), "/api/streaming/cameras/{id}/playback.mp4", viewer, recordings::playback),
        route(get.clone(), "/api/streaming/cameras/{id}/thumbnail.jpg", viewer, timeline::thumbnail),
        route(post.clone(), "/api/streaming/exports", operator, exports::create),
        route(get.clone(), "/api/streaming/exports/{id}/evidence.zip", operator, exports::download),
        route(get.clone(), "/api/streaming/timeline", viewer, timeline::timeline),
        route(get.clone(), "/api/streaming/timeline/passage", viewer, timeline::passage),
        route(get.clone(), "/api/streaming/coverage", viewer, coverage::list),
        route(get.clone(), "/api/streaming/locks", viewer, locks::list),
        route(post.clone(), "/api/streaming/locks", operator, locks::create),
        route(delete.clone(), "/api/streaming/locks/{id}", operator, locks::remove),
        route(get.clone(), "/api/ai/lpr/detections", viewer, detections::list),
        route(get.clone(), "/api/ai/lpr/detections/{id}", viewer, detections::one),
        route(get.clone(), "/api/ai/lpr/detections/{id}/crop.jpg", viewer, detections::crop),
        route(get.clone(), "/api/ai/lpr/detections/{id}/frame.jpg", viewer, detections::frame),
        route(get.clone(), "/api/ai/lpr/detections/{id}/clip.mp4", viewer, detections::clip),
        route(get.clone(), "/api/ai/lpr/stream", viewer, detections::stream),
        route(get.clone(), "/api/ai/alerts", viewer, alerts::list),
        route(post.clone(), "/api/ai/alerts/{id}/acknowledge", operator, alerts::acknowledge),
        route(get.clone(), "/api/ai/watchlists", viewer, watchlists::list),
        route(post.clone(), "/api/ai/watchlists", operator, watchlists::create),
        route(put.clone(), "/api/ai/watchlists/{id}", operator, watchlists::update),
        route(delete.clone(), "/api/ai/watchlists/{id}", operator, watchlists::remove).work(Work::Long),
        route(get.clone(), "/api/ai/watchlists/{id}/entries", viewer, watch_entries::list),
        route(put, "/api/ai/watchlists/{id}/entries/{plate}", operator, watch_entries::put),
        route(delete, "/api/ai/watchlists/{id}/entries/{plate}", operator, watch_entries::remove),
        route(post, "/api/ai/watchlists/{id}/import", operator, watch_entries::import).work(Work::Upload),
        route(get, "/api/ai/watchlists/{id}/export.csv", viewer, watch_entries::export),
    ]
}

/// What the table says about a path.
pub enum Found {
    Route(usize, Vec<(&'static str, String)>),
    OtherMethod(Vec<Method>),
    Nothing,
}

pub fn find(routes: &[Route], method: &Method, path: &str) -> Found {
    // A HEAD request is a GET whose body hyper leaves out.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut others = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let Some(params) = matches(route.pattern, path) else {
            continue;
        };
        if route.method == *method {
            return Found::Route(index, params);
        }
        others.push(route.method.clone());
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethod(others) }
}

/// The parameters of `path` when it has the shape of `pattern`.
fn matches(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut params = Vec::new();
    let mut given = path.split('/');
    for wanted in pattern.split('/') {
        let segment = given.next()?;
        if let Some(name) = wanted.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
            if segment.is_empty() {
                return None;
            }
            params.push((name, segment.to_owned()));
        } else if wanted != segment {
            return None;
        }
    }
    given.next().is_none().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths_only() {
        let pattern = "/api/cidades/cameras/{id}";
        assert_eq!(matches(pattern, "/api/cidades/cameras/gate"), Some(vec![("id", "gate".to_owned())]));
        for other in ["/api/cidades/cameras", "/api/cidades/cameras/", "/api/cidades/cameras/a/b", "/", ""] {
            assert_eq!(matches(pattern, other), None, "{other}");
        }
    }

    #[test]
    fn only_the_first_steps_are_open_to_strangers() {
        let open: Vec<_> = table().iter().filter(|r| r.access == Access::Public).map(|r| r.pattern).collect();
        assert_eq!(
            open,
            [
                "/healthz",
                "/readyz",
                "/api/openapi.json",
                "/api/admin/setup",
                "/api/admin/setup",
                "/api/admin/login",
                "/api/admin/refresh",
                "/api/admin/logout",
            ]
        );
    }
}
