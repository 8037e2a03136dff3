//! Measures what this process uses: processor time and memory, from `/proc/self`.

use std::time::{Duration, Instant};

use super::admission::Load;

/// Figures are averages since the previous reading that is at least this old.
const WINDOW: Duration = Duration::from_secs(60);

/// Reads the load; keeps one earlier reading to take the difference from.
#[derive(Debug)]
pub struct LoadMeter {
    since: Instant,
    cpu_at_start: Duration,
    last: Option<f64>,
}

impl Default for LoadMeter {
    fn default() -> Self {
        Self { since: Instant::now(), cpu_at_start: process_cpu_time(), last: None }
    }
}

impl LoadMeter {
    /// The load now, for `cameras` that stream. Until a window has passed it is what was used so far.
    pub fn read(&mut self, cameras: usize) -> Load {
        let elapsed = self.since.elapsed();
        let used = process_cpu_time().saturating_sub(self.cpu_at_start);
        let current = if elapsed.is_zero() { 0.0 } else { used.as_secs_f64() / elapsed.as_secs_f64() };
        if elapsed >= WINDOW {
            self.since = Instant::now();
            self.cpu_at_start = process_cpu_time();
            self.last = Some(current);
        }
        Load {
            cameras,
            cpu_cores: self.last.unwrap_or(current),
            cores: std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64),
            memory_bytes: proc_kib("/proc/self/status", "VmRSS:") << 10,
            memory_total_bytes: proc_kib("/proc/meminfo", "MemTotal:") << 10,
        }
    }
}

fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The value of `key` in a file of `Key:   123 kB` lines; 0 where it is absent.
fn proc_kib(path: &str, key: &str) -> u64 {
    let Ok(text) = std::fs::read_to_string(path) else { return 0 };
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let load = LoadMeter::default().read(1);
        assert!(load.memory_bytes > 1 << 20 && load.memory_total_bytes > load.memory_bytes && load.cores >= 1.0);
    }
}
