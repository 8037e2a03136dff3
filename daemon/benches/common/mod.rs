//! What the benchmarks share: plates, passages, and figures of many calls.
// Each benchmark is a program of its own and uses a part of this.
#![allow(dead_code)]

use std::time::Duration;

use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::plate::Plate;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::store::DetectionRow;
use serde_json::{Value, json};

/// Brazilian plates, half of them Mercosul, the same for the same seed.
pub struct Plates(u64);

impl Plates {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// 0 to `below` - 1 (xorshift64*, Vigna 2016).
    pub fn number(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    pub fn next(&mut self) -> String {
        let mask = if self.number(2) == 0 { "LLLNNNN" } else { "LLLNLNN" };
        mask.chars().map(|class| self.character(class == 'L')).collect()
    }

    pub fn character(&mut self, letter: bool) -> char {
        let (first, count) = if letter { (b'A', 26) } else { (b'0', 10) };
        char::from(first + self.number(count) as u8)
    }
}

/// A passage with slots and alternatives of the usual size.
pub fn passage(plate: &str, at: i64) -> DetectionRow {
    let slots: Vec<Value> = (0..9).map(|i| slot(plate.as_bytes().get(i).copied())).collect();
    DetectionRow {
        id: DetectionId::new(),
        camera: "gate".parse().expect("a camera id"),
        plate: Plate::normalize(plate),
        layout: "br-mercosul".to_owned(),
        confidence: 0.93,
        alternatives: vec![(changed(plate, 5), 0.04), (changed(plate, 6), 0.01)],
        first_seen: UtcMicros(at),
        last_seen: UtcMicros(at),
        best_at: UtcMicros(at),
        quad: [[812.5, 640.25], [921.75, 641.0], [921.5, 676.0], [812.25, 675.5]],
        bbox: [812.25, 640.25, 921.75, 676.0],
        frame_width: 1920,
        frame_height: 1080,
        direction: Some("approaching".to_owned()),
        reads: 9,
        single: false,
        crop: None,
        frame: None,
        clip: None,
        clip_unavailable: None,
        slots: Value::Array(slots),
        category: Some("private".to_owned()),
    }
}

fn slot(character: Option<u8>) -> Value {
    let name = character.map_or('_', char::from).to_string();
    let mut slot = json!({ "8": 0.0121, "B": 0.0043 });
    slot[name] = json!(0.9812);
    slot
}

/// The plate with another character at a place.
pub fn changed(plate: &str, at: usize) -> String {
    let change = |(i, c): (usize, char)| match c {
        _ if i != at => c,
        '9' => '0',
        'Z' => 'A',
        _ => char::from(c as u8 + 1),
    };
    plate.chars().enumerate().map(change).collect()
}

/// Times of many calls.
#[derive(Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1000.0);
    }

    /// Milliseconds: median, 99th percentile, worst.
    pub fn json(&mut self) -> Value {
        self.0.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = self.0.len().saturating_sub(1);
            self.0.get((last as f64 * share).round() as usize).map(|ms| rounded(*ms))
        };
        json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0), "count": self.0.len() })
    }
}

pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Memory of this process.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
