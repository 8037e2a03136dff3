//! A finished passage becomes objects and a row: plate and frame as JPEG first, then the detection (invariant S1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::LprError;
use super::grammar::Slots;
use super::passage::Finished;
use super::stats::{Stage, Stats};
use crate::base::backoff::Backoff;
use crate::base::ids::{CameraId, DetectionId};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;
use crate::media::{DecodedFrame, MediaError, RgbImage, jpeg};
use crate::store::{Bucket, DetectionRow, ObjectRef, Store, StoreError};

/// A passage on its way to the store.
pub struct Job {
    pub camera: CameraId,
    pub finished: Finished<Arc<DecodedFrame>>,
    /// When the frame that ended the passage arrived.
    pub decided: Instant,
}

/// The whole frame is kept at most this wide: enough to tell make and color.
const FRAME_WIDTH_MAX: u32 = 1280;
const FRAME_QUALITY: u8 = 82;
const PLATE_QUALITY: u8 = 92;

/// Tries until a passage is given up; together about ten seconds, in which a full disk may be cleared by retention.
const TRIES: u32 = 5;
const RETRY: Backoff = Backoff::new(Duration::from_millis(300), Duration::from_secs(5));

/// Characters kept per slot in the row.
const SLOT_CHARACTERS: usize = 3;

/// Stores one passage. A picture that cannot be kept does not keep the row away; a row that cannot be is an error.
pub async fn store_passage(store: &Store, job: Job, stats: &Stats) -> Result<(), LprError> {
    let Job { camera, finished, decided } = job;
    let frame = Arc::clone(&finished.best.evidence);
    let quad = finished.best.observation.quad;
    // JPEG takes milliseconds of CPU: not on a thread that answers the network.
    let pictures = tokio::task::spawn_blocking(move || {
        let plate_area = quad.bounds().grow(0.5, 1.0);
        let plate = frame
            .crop_rgb(plate_area.x1 as i64, plate_area.y1 as i64, plate_area.width() as i64, plate_area.height() as i64)
            .and_then(|(image, _)| jpeg::encode(&image, PLATE_QUALITY));
        let whole = reduced(&frame).and_then(|image| jpeg::encode(&image, FRAME_QUALITY));
        (plate, whole)
    })
    .await;
    let (plate, whole) = pictures.map_err(|e| fail(&camera, &e.to_string()))?;
    let crop = put(store, &camera, "plate", plate).await;
    let frame = put(store, &camera, "frame", whole).await;
    let row = row(&camera, &finished, crop, frame);
    retry(|| store.insert_detection(row.clone())).await.map_err(|error| LprError::Store {
        camera: camera.to_string(),
        kind: error.kind(),
        message: error.to_string(),
    })?;
    stats.record(Stage::FrameToRow, decided.elapsed());
    metrics::counter!("gtv_passages_total", "camera" => camera.to_string()).increment(1);
    tracing::info!(
        camera = %camera,
        plate = %row.plate,
        layout = row.layout,
        confidence = (row.confidence * 100.0).round() / 100.0,
        frames = finished.hits,
        reads = row.reads,
        "passage stored"
    );
    Ok(())
}

fn fail(camera: &CameraId, message: &str) -> LprError {
    LprError::Store {
        camera: camera.to_string(),
        kind: crate::base::error::Kind::Internal,
        message: message.to_owned(),
    }
}

fn reduced(frame: &DecodedFrame) -> Result<RgbImage, MediaError> {
    if frame.width <= FRAME_WIDTH_MAX {
        return frame.to_rgb();
    }
    let height = u64::from(frame.height) * u64::from(FRAME_WIDTH_MAX) / u64::from(frame.width);
    frame.to_rgb_scaled(FRAME_WIDTH_MAX, (height as u32).max(1))
}

async fn put(
    store: &Store,
    camera: &CameraId,
    what: &'static str,
    picture: Result<Bytes, MediaError>,
) -> Option<ObjectRef> {
    let stored = match picture {
        Ok(jpeg) => {
            retry(|| store.put_object(jpeg.clone(), "image/jpeg", Bucket::LprImages)).await.map_err(|e| e.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    stored
        .inspect_err(|error| {
            crate::base::metrics::dropped("lpr", "picture", 1);
            tracing::error!(camera = %camera, what, error, "a picture of a passage was not kept");
        })
        .ok()
}

async fn retry<T, F: Future<Output = Result<T, StoreError>>>(call: impl Fn() -> F) -> Result<T, StoreError> {
    let mut tries = 1;
    loop {
        match call().await {
            Err(error) if error.kind().retry() && tries < TRIES => {
                tokio::time::sleep(RETRY.delay(tries, rand::random())).await;
                tries += 1;
            }
            result => return result,
        }
    }
}

fn row(
    camera: &CameraId,
    finished: &Finished<Arc<DecodedFrame>>,
    crop: Option<ObjectRef>,
    frame: Option<ObjectRef>,
) -> DetectionRow {
    let best = &finished.best;
    let mut ranked = finished.ranked.iter();
    let (text, confidence) = ranked.next().map_or((String::new(), 0.0), |c| (c.text.clone(), c.p));
    DetectionRow {
        id: DetectionId::new(),
        camera: camera.clone(),
        plate: Plate::normalize(&text),
        layout: finished.layout.clone(),
        category: finished.category.clone(),
        confidence,
        alternatives: ranked.map(|c| (c.text.clone(), c.p)).collect(),
        first_seen: UtcMicros(finished.first_us),
        last_seen: UtcMicros(finished.last_us),
        best_at: UtcMicros(best.at_us),
        quad: best.observation.quad.0,
        bbox: best.observation.quad.bounds().to_array(),
        frame_width: best.evidence.width,
        frame_height: best.evidence.height,
        direction: finished.direction.map(|d| d.as_str().to_owned()),
        reads: finished.reads,
        single: finished.agreeing < 2,
        crop,
        frame,
        clip: None,
        clip_unavailable: None,
        slots: slots_json(&finished.slots),
    }
}

/// Per slot the likeliest characters and their probabilities: `[{"A":0.98,"R":0.01}, ...]`.
fn slots_json(slots: &Slots) -> serde_json::Value {
    let slot = |values: &[f32]| {
        let mut ranked: Vec<(char, f32)> = slots.alphabet().iter().copied().zip(values.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let kept = ranked.into_iter().take(SLOT_CHARACTERS);
        kept.map(|(c, p)| (c.to_string(), serde_json::json!((f64::from(p) * 1e4).round() / 1e4)))
            .collect::<serde_json::Map<_, _>>()
    };
    slots.iter().map(slot).map(serde_json::Value::Object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_likeliest_characters() {
        let alphabet: Arc<[char]> = Arc::from(['A', 'B', 'C', '_']);
        let slots = Slots::new(alphabet, vec![0.1, 0.6, 0.25, 0.05, 0.0, 0.0, 0.0, 1.0]).unwrap();
        let json = slots_json(&slots);
        assert_eq!(json[0], serde_json::json!({"B": 0.6, "C": 0.25, "A": 0.1}));
        assert_eq!(json[1]["_"], serde_json::json!(1.0));
    }
}
