//! What a live viewer gets: initialization segments when they change, fragments from a key frame on, and the reason
//! while the camera sends nothing.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::app::App;
use super::socket::Out;
use crate::base::ids::CameraId;
use crate::live::{Refusal, Subscription};
use crate::media::{Fragment, StreamKind};

/// Nothing for this long, and the viewer is told what the camera does.
const QUIET: Duration = Duration::from_secs(3);
/// How often a camera that is not there yet is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// WebSocket close code: HTTP 429 + 4000.
const TOO_MANY: u16 = 4429;
/// WebSocket close code: HTTP 404 + 4000.
const GONE: u16 = 4404;

/// The text messages of a live socket, as JSON.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LiveEvent {
    /// The next binary message is an initialization segment of this kind.
    Init { mime: String, stream: String, width: u32, height: u32 },
    /// The camera sends nothing now; `state` and `reason` say why.
    Waiting { state: String, reason: String },
}

pub fn open(app: &Arc<App>, camera: CameraId, stream: StreamKind) -> impl Stream<Item = Out> + Send + use<> {
    let source = Source {
        app: app.clone(),
        camera,
        stream,
        viewer: None,
        ready: VecDeque::new(),
        init: None,
        need_key: true,
        told: None,
    };
    stream::unfold(Some(source), |source| async move {
        let mut source = source?;
        let out = source.next().await;
        let ended = matches!(out, Out::Close(..));
        Some((out, (!ended).then_some(source)))
    })
}

struct Source {
    app: Arc<App>,
    camera: CameraId,
    stream: StreamKind,
    viewer: Option<Subscription>,
    ready: VecDeque<Out>,
    /// The initialization segment the viewer has.
    init: Option<[u8; 32]>,
    /// After a loss nothing can be shown before the next key frame.
    need_key: bool,
    /// The state and reason the viewer was told last.
    told: Option<(String, String)>,
}

impl Source {
    async fn next(&mut self) -> Out {
        loop {
            if let Some(out) = self.ready.pop_front() {
                return out;
            }
            if let Err(close) = self.advance().await {
                return close;
            }
        }
    }

    async fn advance(&mut self) -> Result<(), Out> {
        let Some(viewer) = &mut self.viewer else {
            return self.subscribe().await;
        };
        match timeout(QUIET, viewer.next.recv()).await {
            Ok(Ok(fragment)) => self.take(&fragment),
            Ok(Err(RecvError::Lagged(count))) => {
                crate::base::metrics::dropped("live", "slow_viewer", count);
                self.need_key = true;
            }
            Ok(Err(RecvError::Closed)) => {
                self.viewer = None;
                self.need_key = true;
            }
            Err(_) => self.tell_state()?,
        }
        Ok(())
    }

    async fn subscribe(&mut self) -> Result<(), Out> {
        match self.app.context.live.watch(&self.camera, self.stream) {
            Ok(viewer) => {
                for fragment in &viewer.recent {
                    self.take(fragment);
                }
                self.viewer = Some(viewer);
            }
            Err(Refusal::Full { viewers }) => {
                let message = format!("{viewers} people watch this camera already; close one of the live views.");
                return Err(Out::Close(TOO_MANY, message));
            }
            Err(Refusal::Silent) => {
                self.tell_state()?;
                sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    fn take(&mut self, fragment: &Arc<Fragment>) {
        if self.need_key && !fragment.key {
            return;
        }
        self.need_key = false;
        self.told = None;
        if self.init != Some(fragment.init.id) {
            self.init = Some(fragment.init.id);
            self.ready.push_back(Out::json(&LiveEvent::Init {
                mime: fragment.init.mime.clone(),
                stream: self.stream.as_str().to_owned(),
                width: fragment.init.width,
                height: fragment.init.height,
            }));
            self.ready.push_back(Out::Binary(fragment.init.data.clone()));
        }
        self.ready.push_back(Out::Binary(fragment.data.clone()));
    }

    /// Tells the viewer why there is no picture, once for each reason.
    fn tell_state(&mut self) -> Result<(), Out> {
        if self.app.config().camera(&self.camera).is_none() {
            return Err(Out::Close(GONE, "This camera was removed.".into()));
        }
        let now = self.app.camera_status(&self.camera).map_or_else(
            || ("connecting".to_owned(), String::new()),
            |status| (status.state.as_str().to_owned(), status.reason),
        );
        if self.told.as_ref() != Some(&now) {
            let (state, reason) = now.clone();
            self.ready.push_back(Out::json(&LiveEvent::Waiting { state, reason }));
            self.told = Some(now);
        }
        Ok(())
    }
}
