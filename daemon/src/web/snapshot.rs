//! A still of what a camera sees: its last key frame, decoded on request and kept until the next one.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::app::App;
use super::error::{ApiError, ApiResult};
use crate::base::ids::CameraId;
use crate::camera::CameraState;
use crate::media::{Fragment, StreamKind, jpeg, still};

/// Wide enough for a tile on a phone with a sharp screen.
const WIDTH: u32 = 640;
const QUALITY: u8 = 80;
/// Without viewers a fragment comes once a group of pictures; cameras may be set to long ones.
const FIRST_KEY: Duration = Duration::from_secs(8);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The last picture of each stream, by the number of the fragment it is from.
pub type Stills = Mutex<HashMap<(CameraId, StreamKind), (u64, Bytes)>>;

/// The picture of a fragment from [`key_frame`].
pub async fn take(app: &App, camera: &CameraId, stream: StreamKind, fragment: Arc<Fragment>) -> ApiResult<Bytes> {
    let key = (camera.clone(), stream);
    if let Some((number, jpeg)) = app.stills.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
        && *number == fragment.sequence
    {
        return Ok(jpeg.clone());
    }
    let number = fragment.sequence;
    let jpeg = tokio::task::spawn_blocking(move || encode(&fragment))
        .await
        .map_err(|error| ApiError::internal("decoding a picture", error))??;
    let known = app.config();
    let mut stills = app.stills.lock().unwrap_or_else(PoisonError::into_inner);
    stills.retain(|(camera, _), _| known.camera(camera).is_some());
    stills.insert(key, (number, jpeg.clone()));
    Ok(jpeg)
}

/// The last key frame; of a camera that has only just begun to stream, the first.
pub async fn key_frame(app: &App, camera: &CameraId, stream: StreamKind) -> ApiResult<Arc<Fragment>> {
    let until = Instant::now() + FIRST_KEY;
    loop {
        if let Some(fragment) = app.context.live.last_key(camera, stream) {
            return Ok(fragment);
        }
        let status = app.camera_status(camera);
        let streams = status.as_ref().is_some_and(|status| status.state == CameraState::Streaming);
        if !streams || Instant::now() >= until {
            let reason = status.map(|status| status.reason).filter(|reason| !reason.is_empty());
            let remedy = reason.unwrap_or_else(|| "Try again when the camera streams.".to_owned());
            return Err(ApiError::unavailable(format!("Camera `{camera}` sends no picture now."), remedy));
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn encode(fragment: &Arc<Fragment>) -> ApiResult<Bytes> {
    let failed = |error: crate::media::MediaError| {
        ApiError::of_kind(error.kind(), error.to_string(), "Watch the live picture instead.")
    };
    let image = still::first_picture(&fragment.init, &fragment.data, WIDTH).map_err(failed)?;
    jpeg::encode(&image, QUALITY).map_err(failed)
}
