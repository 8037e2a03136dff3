//! Keeps the RTSP pushes as the configuration wants them. They are told apart from the cameras' pipelines: a push that
//! changes must cost no second of recording.

use std::collections::HashMap;

use super::SupervisorHandle;
use crate::base::ids::CameraId;
use crate::base::secret::SecretBox;
use crate::base::tasks::Tasks;
use crate::config::{CameraConfig, Config, PushStream};
use crate::live::Hub;
use crate::live::rtsp::{Pusher, Target};
use crate::media::StreamKind;

/// Pushes what the configuration in force says, now and after each change.
pub fn start_pushes(hub: Hub, supervisor: &SupervisorHandle, secrets: SecretBox, tasks: &Tasks) -> Pusher {
    let pusher = Pusher::new(hub, tasks.token());
    let (kept, mut config, stop) = (pusher.clone(), supervisor.watch_config(), tasks.token());
    tasks.spawn_once(async move {
        loop {
            kept.set(wanted(&config.borrow_and_update(), &secrets));
            match stop.run_until_cancelled(config.changed()).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => break,
            }
        }
    });
    pusher
}

fn wanted(config: &Config, secrets: &SecretBox) -> HashMap<CameraId, Target> {
    let pushed = config.cameras.iter().filter(|camera| camera.enabled && !camera.push.url.is_empty());
    pushed.filter_map(|camera| Some((camera.id.clone(), target(camera, secrets)?))).collect()
}

fn target(camera: &CameraConfig, secrets: &SecretBox) -> Option<Target> {
    let push = &camera.push;
    let password = match secrets.open(&push.password) {
        Ok(password) => password,
        Err(error) => {
            tracing::error!(camera = %camera.id, %error, "RTSP push cannot begin");
            return None;
        }
    };
    let stream = match push.stream {
        PushStream::Main => StreamKind::Main,
        PushStream::Sub => StreamKind::Sub,
    };
    Some(Target { url: push.url.clone(), stream, username: push.username.clone(), password })
}
