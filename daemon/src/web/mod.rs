//! Layer 5: the local page and its API. warp takes requests apart, the route table decides who may call what, the
//! handlers in `api` answer. The page itself is built from `daemon/ui` into the binary.
mod api;
mod app;
mod context;
mod dispatch;
mod error;
mod exports;
mod limit;
mod live_source;
mod openapi;
mod passwords;
mod playback;
pub(crate) mod range;
mod reply;
mod request;
mod routes;
mod rtsp;
mod server;
mod setup;
mod snapshot;
mod socket;
mod thumbnail;
mod tokens;
mod ui;
mod upload;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use context::WebContext;

use crate::base::tasks::{OnExit, Tasks};

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("web.listen {address}: {source}; free the port or choose another in the configuration")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("live.rtsp_listen {address}: {source}; free the port or choose another in the configuration")]
    Rtsp { address: SocketAddr, source: std::io::Error },
    #[error("preparing the page: {0}")]
    Prepare(String),
}

/// The page once it is being served.
#[derive(Debug)]
pub struct Serving {
    pub address: SocketAddr,
    /// The one-time code to show on the console, while the box has no administrator.
    pub setup_code: Option<String>,
}

/// Binds and serves until the tasks are cancelled.
pub async fn serve(context: WebContext, tasks: &Tasks) -> Result<Serving, WebError> {
    let address = context.supervisor.config().web.listen;
    let failed = |source| WebError::Listen { address, source };
    let listener = Arc::new(TcpListener::bind(address).await.map_err(failed)?);
    let bound = listener.local_addr().map_err(failed)?;
    let setup_code = setup::prepare(&context.store).await.map_err(|e| WebError::Prepare(e.to_string()))?;
    let app = app::App::new(context, tasks.token()).map_err(|e| WebError::Prepare(e.to_string()))?;
    rtsp::start(&app, tasks).await?;
    tasks.spawn("web", OnExit::Restart, move |stop| {
        let (app, listener) = (app.clone(), listener.clone());
        async move {
            server::run(app, listener, stop).await;
            Ok(())
        }
    });
    Ok(Serving { address: bound, setup_code })
}
