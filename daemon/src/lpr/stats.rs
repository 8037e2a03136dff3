//! Milliseconds per stage: shared counters in quarter-octave buckets, for the status page, `/metrics` and benchmarks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// A step of the work on one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Motion on the small luma plane.
    Gate,
    /// Decoding the main stream's picture where the sub stream is watched.
    Main,
    /// Scaling the picture into the detector's input.
    Scale,
    /// The detector on a whole picture.
    Detect,
    /// The detector on the surroundings of candidates and plates under way.
    Window,
    /// Making plates upright.
    Rectify,
    Read,
    /// Tracking, fusion and grammar.
    Track,
    /// A frame that was looked at, all stages.
    Frame,
    /// A frame that only the gate saw.
    QuietFrame,
    /// From the arrival of a frame to the end of its work: waiting for a reader included.
    Latency,
    /// From the frame that ended a passage to its row in the store.
    FrameToRow,
}

const STAGES: [Stage; 12] = [
    Stage::Gate,
    Stage::Main,
    Stage::Scale,
    Stage::Detect,
    Stage::Window,
    Stage::Rectify,
    Stage::Read,
    Stage::Track,
    Stage::Frame,
    Stage::QuietFrame,
    Stage::Latency,
    Stage::FrameToRow,
];

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Main => "main",
            Self::Scale => "scale",
            Self::Detect => "detect",
            Self::Window => "window",
            Self::Rectify => "rectify",
            Self::Read => "read",
            Self::Track => "track",
            Self::Frame => "frame",
            Self::QuietFrame => "quiet_frame",
            Self::Latency => "latency",
            Self::FrameToRow => "frame_to_row",
        }
    }
}

/// Quarter octaves from 1 us: bucket `i` begins at `2^(i/4)` us, the last ends above a minute.
const BUCKETS: usize = 4 * 27;

struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    total_us: AtomicU64,
}

impl Histogram {
    fn quantile(&self, share: f64) -> Option<f64> {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = (share * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            total > 0 && seen >= rank
        })?;
        // The middle of the bucket: at most 9 % off.
        Some(2_f64.powf((bucket as f64 + 0.5) / 4.0) / 1000.0)
    }
}

/// One set for all cameras of an engine.
pub struct Stats {
    stages: [Histogram; STAGES.len()],
}

/// Milliseconds of one stage since the start; a count of 0 means that it never ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageMs {
    pub stage: &'static str,
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
}

impl Default for Stats {
    fn default() -> Self {
        let empty = || Histogram { buckets: std::array::from_fn(|_| AtomicU64::new(0)), total_us: AtomicU64::new(0) };
        Self { stages: std::array::from_fn(|_| empty()) }
    }
}

impl Stats {
    pub fn record(&self, stage: Stage, took: Duration) {
        let us = (took.as_nanos() as f64 / 1000.0).max(1.0);
        let bucket = ((us.log2() * 4.0) as usize).min(BUCKETS - 1);
        let histogram = &self.stages[stage as usize];
        histogram.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        histogram.total_us.fetch_add(us as u64, Ordering::Relaxed);
        match stage {
            Stage::FrameToRow => metrics::histogram!("gtv_frame_to_row_seconds").record(took.as_secs_f64()),
            _ => metrics::histogram!("gtv_lpr_stage_seconds", "stage" => stage.name()).record(took.as_secs_f64()),
        }
    }

    /// Runs `work` and records how long it took.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        self.record(stage, began.elapsed());
        result
    }

    pub fn stage(&self, stage: Stage) -> StageMs {
        let histogram = &self.stages[stage as usize];
        let count: u64 = histogram.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum();
        StageMs {
            stage: stage.name(),
            count,
            mean_ms: histogram.total_us.load(Ordering::Relaxed) as f64 / 1000.0 / count.max(1) as f64,
            p50_ms: histogram.quantile(0.5).unwrap_or(0.0),
            p95_ms: histogram.quantile(0.95).unwrap_or(0.0),
        }
    }

    pub fn all(&self) -> Vec<StageMs> {
        STAGES.into_iter().map(|s| self.stage(s)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket() {
        let stats = Stats::default();
        assert_eq!(stats.stage(Stage::Read).count, 0);
        for ms in 1..=100 {
            stats.record(Stage::Read, Duration::from_millis(ms));
        }
        let read = stats.stage(Stage::Read);
        assert_eq!(read.count, 100);
        assert!((read.p50_ms / 50.0 - 1.0).abs() < 0.15, "{}", read.p50_ms);
        assert!((read.mean_ms - 50.5).abs() < 0.01, "{}", read.mean_ms);
        assert!((read.p95_ms / 95.0 - 1.0).abs() < 0.15, "{}", read.p95_ms);
        stats.record(Stage::Gate, Duration::ZERO);
        stats.record(Stage::Gate, Duration::from_secs(86_400));
        assert_eq!(stats.stage(Stage::Gate).count, 2);
    }

    #[test]
    fn stages_index_their_own_histogram() {
        for (i, stage) in STAGES.into_iter().enumerate() {
            assert_eq!(stage as usize, i);
        }
    }
}
