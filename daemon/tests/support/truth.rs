//! What really passed the demo cameras, to compare with what the box read.

use serde_json::Value;

/// One true passage on the wall clock, microseconds UTC.
#[derive(Clone, Debug)]
pub struct Passage {
    pub plate: String,
    pub enter_us: i64,
    pub leave_us: i64,
}

/// Passages of camera `camera` that lie wholly between `from_us` and `to_us`, from the demo camera's `/truth`.
pub fn passages(truth: &Value, camera: usize, from_us: i64, to_us: i64) -> Vec<Passage> {
    let micros = |seconds: f64| (seconds * 1e6) as i64;
    let loop_us = micros(truth["loop_s"].as_f64().unwrap());
    let start_us = micros(truth["cameras"][camera]["loop_start_unix_s"].as_f64().unwrap());
    let first = (from_us - start_us).div_euclid(loop_us);
    let last = (to_us - start_us).div_euclid(loop_us);
    let mut found = Vec::new();
    for round in first..=last {
        for passage in truth["passages"].as_array().unwrap() {
            let at = |key: &str| start_us + round * loop_us + micros(passage[key].as_f64().unwrap());
            let (enter_us, leave_us) = (at("t_enter_s"), at("t_leave_s"));
            if enter_us >= from_us && leave_us <= to_us {
                found.push(Passage { plate: passage["plate"].as_str().unwrap().to_owned(), enter_us, leave_us });
            }
        }
    }
    found
}
