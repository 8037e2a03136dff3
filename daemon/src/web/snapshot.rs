//! A still of what a camera sees: its last key frame, decoded on request and kept until the next one.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::app::App;
use super::error::{ApiError, ApiResult};
use crate::base::ids::CameraId;
use crate::media::{Fragment, StreamKind, jpeg, still};

/// Wide enough for a tile on a phone with a sharp screen.
const WIDTH: u32 = 640;
const QUALITY: u8 = 80;

/// The last picture of each stream, by the number of the fragment it is from.
pub type Stills = Mutex<HashMap<(CameraId, StreamKind), (u64, Bytes)>>;

pub async fn take(app: &App, camera: &CameraId, stream: StreamKind) -> ApiResult<Bytes> {
    let Some(fragment) = app.context.live.last_key(camera, stream) else {
        let reason = app.camera_status(camera).map(|state| state.reason).unwrap_or_default();
        let remedy = if reason.is_empty() { "Try again when the camera streams.".to_owned() } else { reason };
        return Err(ApiError::unavailable(format!("Camera `{camera}` sends no picture now."), remedy));
    };
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

fn encode(fragment: &Arc<Fragment>) -> ApiResult<Bytes> {
    let failed = |error: crate::media::MediaError| {
        ApiError::of_kind(error.kind(), error.to_string(), "Watch the live picture instead.")
    };
    let image = still::first_picture(&fragment.init, &fragment.data, WIDTH).map_err(failed)?;
    jpeg::encode(&image, QUALITY).map_err(failed)
}
