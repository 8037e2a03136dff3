//! A passage as a reader tells it.

use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::store::{DetectionRow, ObjectRef};

pub fn passage(plate: &str, crop: Option<ObjectRef>) -> DetectionRow {
    let now = UtcMicros::now();
    DetectionRow {
        id: DetectionId::new(),
        camera: "gate".parse().expect("an id"),
        plate: Plate::normalize(plate),
        layout: "br-old".to_owned(),
        category: Some("commercial".to_owned()),
        confidence: 0.97,
        alternatives: vec![("ABC1D23".to_owned(), 0.02)],
        first_seen: now.add_micros(-1_000_000),
        last_seen: now,
        best_at: now,
        quad: [[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]],
        bbox: [1.0, 2.0, 3.0, 4.0],
        frame_width: 1920,
        frame_height: 1080,
        direction: None,
        reads: 5,
        single: false,
        crop,
        frame: None,
        clip: None,
        clip_unavailable: None,
        slots: serde_json::Value::Null,
    }
}
