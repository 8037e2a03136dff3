//! How fast objects may leave. Each lane keeps to its limit; all of them together yield to the records: the time that the
//! centre takes to answer tells whether the uplink is full, and uploads slow down before an alert would have to wait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::time::UtcMicros;
use crate::config::{LaneConfig, LanesConfig, Schedule};
use crate::store::Lane;

/// Answers that are later than the fastest ones by this much: the uplink is full.
const LATE: Duration = Duration::from_millis(300);
/// No later than this: there is room.
const PROMPT: Duration = Duration::from_millis(120);
/// How often the rate changes; a change needs this long to show.
const STEP: Duration = Duration::from_millis(500);
const SLOWER: f64 = 0.7;
const FASTER: f64 = 1.1;
/// Uploads never come to rest: a slow centre is not a full uplink.
const RATE_MIN: f64 = 32_768.0;

/// Shared by all uploads and the session.
#[derive(Debug)]
pub(super) struct Pacer {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lanes: [LaneState; Lane::COUNT],
    uplink: Uplink,
}

impl State {
    fn slowest(&self, lane: Lane) -> f64 {
        let rates = [self.lanes[lane as usize].limit.rate, self.uplink.limit.rate];
        rates.into_iter().flatten().fold(f64::INFINITY, f64::min)
    }
}

#[derive(Debug)]
struct LaneState {
    limit: Limit,
    /// When the records that left are paid for.
    records_free_at: Instant,
    windows: Schedule,
}

impl Pacer {
    pub(super) fn new(lanes: &LanesConfig) -> Self {
        let now = Instant::now();
        let always = LaneConfig::default();
        let lane = |config: &LaneConfig| LaneState {
            limit: Limit::new(config, now),
            records_free_at: now,
            windows: config.schedule(),
        };
        let lanes = [&always, &lanes.detections, &lanes.clips, &lanes.recordings].map(lane);
        Self { state: Mutex::new(State { lanes, uplink: Uplink::new(now) }) }
    }

    /// Takes a changed configuration; what is on its way keeps to it from its next piece on.
    pub(super) fn set_lanes(&self, lanes: &LanesConfig) {
        let fresh = Self::new(lanes).state.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.lock().lanes = fresh.lanes;
    }

    /// The lanes whose uploads may begin: by their hours; the limits hold for each piece.
    pub(super) fn hours(&self, time: UtcMicros) -> [bool; Lane::COUNT] {
        self.lock().lanes.each_ref().map(|lane| lane.windows.allows(time))
    }

    /// The lanes whose records may be sent: by their hours, and by what was charged before.
    pub(super) fn open(&self, time: UtcMicros) -> [bool; Lane::COUNT] {
        let (state, now) = (self.lock(), Instant::now());
        state.lanes.each_ref().map(|lane| lane.windows.allows(time) && lane.records_free_at <= now)
    }

    /// Counts bytes that left with the records against the lane's limit. Records wait for records only: pieces of
    /// uploads, of which some always wait for their turn, come after them.
    pub(super) fn charge(&self, lane: Lane, bytes: usize) {
        let (mut state, now) = (self.lock(), Instant::now());
        let lane = &mut state.lanes[lane as usize];
        lane.records_free_at = lane.limit.after(lane.records_free_at, bytes, now);
        lane.limit.take(bytes, now);
    }

    /// Waits until a piece of an object of this lane may leave.
    pub(super) async fn pass(&self, lane: Lane, bytes: usize) {
        let until = {
            let (mut state, now) = (self.lock(), Instant::now());
            state.uplink.sent(bytes);
            let (lane, all) = (state.lanes[lane as usize].limit.take(bytes, now), state.uplink.limit.take(bytes, now));
            lane.max(all)
        };
        // Asleep for less than the timer's grain would only cost.
        if until > Instant::now() {
            tokio::time::sleep_until(until).await;
        }
    }

    /// How many bytes make a piece: small enough that a slow lane does not leave in bursts.
    pub(super) fn piece(&self, lane: Lane) -> usize {
        ((self.lock().slowest(lane) / 20.0).min(65_536.0) as usize).max(1024)
    }

    /// The centre took this long to answer.
    pub(super) fn answered(&self, latency: Duration) {
        let mut state = self.lock();
        state.uplink.answered(latency, Instant::now());
        let rate = state.uplink.limit.rate.unwrap_or(0.0);
        metrics::gauge!("gtv_sync_upload_rate_limit_bytes").set(rate);
    }

    /// True while uploads are under way, so that the session has to ask how long answers take.
    pub(super) fn busy(&self) -> bool {
        self.lock().uplink.unmeasured > 0
    }

    /// Without a session nothing tells how full the uplink is, and nothing waits for it.
    pub(super) fn session_over(&self) {
        self.lock().uplink = Uplink::new(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes a second, if any limit.
#[derive(Debug)]
struct Limit {
    rate: Option<f64>,
    free_at: Instant,
}

impl Limit {
    fn new(config: &LaneConfig, now: Instant) -> Self {
        let rate = (config.kbit_per_s > 0).then(|| f64::from(config.kbit_per_s) * 125.0);
        Self { rate, free_at: now }
    }

    /// When these bytes may leave.
    fn take(&mut self, bytes: usize, now: Instant) -> Instant {
        if self.rate.is_none() {
            return now;
        }
        let at = self.free_at.max(now);
        self.free_at = self.after(self.free_at, bytes, now);
        at
    }

    /// When these bytes are through that leave at `free_at` or later.
    fn after(&self, free_at: Instant, bytes: usize, now: Instant) -> Instant {
        let Some(rate) = self.rate else { return now };
        free_at.max(now) + Duration::from_secs_f64(bytes as f64 / rate)
    }
}

/// What all uploads together may take, by how long the centre takes to answer.
#[derive(Debug)]
struct Uplink {
    limit: Limit,
    /// The fastest answer so far: distance and the centre's own work.
    fastest: Option<Duration>,
    /// The slowest one since the last step.
    slowest: Duration,
    step_at: Instant,
    /// Bytes since the last step.
    unmeasured: usize,
}

impl Uplink {
    fn new(now: Instant) -> Self {
        let limit = Limit { rate: None, free_at: now };
        Self { limit, fastest: None, slowest: Duration::ZERO, step_at: now, unmeasured: 0 }
    }

    fn sent(&mut self, bytes: usize) {
        self.unmeasured = self.unmeasured.saturating_add(bytes);
    }

    fn answered(&mut self, latency: Duration, now: Instant) {
        let fastest = self.fastest.map_or(latency, |fastest| fastest.min(latency));
        self.fastest = Some(fastest);
        self.slowest = self.slowest.max(latency);
        let since = now.duration_since(self.step_at);
        if since < STEP {
            return;
        }
        let measured = self.unmeasured as f64 / since.as_secs_f64();
        let late = self.slowest.saturating_sub(fastest);
        let rate = self.limit.rate;
        if late > LATE {
            let from = rate.map_or(measured, |rate| rate.min(measured));
            self.limit.rate = Some((from * SLOWER).max(RATE_MIN));
        } else if let Some(rate) = rate
            && late < PROMPT
            && measured > rate * 0.5
        {
            self.limit.rate = Some(rate * FASTER);
        }
        (self.slowest, self.step_at, self.unmeasured) = (Duration::ZERO, now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of `capacity` bytes a second with a queue, the uploads as the pacer lets them, and what an answer takes.
    #[test]
    fn uploads_fill_the_line_without_filling_its_queue() {
        let (capacity, queue_max) = (250_000.0, 1_000_000.0);
        let mut now = Instant::now();
        let mut uplink = Uplink::new(now);
        uplink.answered(Duration::from_millis(40), now);
        let mut queue: f64 = 0.0;
        let (mut late, mut steps, mut delivered) = (0, 0, 0.0);
        for step in 0..600 {
            // A tenth of a second: TCP takes what it gets until the queue is full.
            let offered = uplink.limit.rate.unwrap_or(10.0 * capacity) / 10.0;
            let taken = offered.min(queue_max - queue + capacity / 10.0);
            uplink.sent(taken as usize);
            queue += taken;
            let through = queue.min(capacity / 10.0);
            queue -= through;
            now += Duration::from_millis(100);
            uplink.answered(Duration::from_secs_f64(0.04 + queue / capacity), now);
            if step >= 200 {
                (steps, delivered) = (steps + 1, delivered + through);
                late += i32::from(queue / capacity > 0.6);
            }
        }
        assert!(late * 50 < steps, "{late} of {steps} tenths of a second with a long queue");
        assert!(delivered > 0.75 * capacity * f64::from(steps) / 10.0, "{delivered}");
    }

    #[test]
    fn a_lane_keeps_to_its_limit_and_its_hours() {
        let window = vec!["mon 00:00-00:01".to_owned()];
        let clips = LaneConfig { kbit_per_s: 80, windows: Vec::new() };
        let recordings = LaneConfig { kbit_per_s: 0, windows: window };
        let lanes = LanesConfig { clips, recordings, ..LanesConfig::default() };
        let pacer = Pacer::new(&lanes);
        let now = Instant::now();
        let waits: Vec<_> = (0..20).map(|_| pacer.lock().lanes[2].limit.take(1000, now) - now).collect();
        // 80 kbit/s are 10,000 bytes a second; the last piece leaves when those before it are through.
        assert_eq!(waits[19].as_millis(), 1900);
        assert_eq!(pacer.lock().lanes[1].limit.take(1 << 30, now), now, "another lane does not wait");
        assert_eq!(pacer.piece(Lane::Bulk), 1024);
        let wednesday = UtcMicros(1_790_000_000_000_000 + 2 * 86_400_000_000);
        assert_eq!(pacer.hours(wednesday), [true, true, true, false]);
        assert_eq!(pacer.open(wednesday), [true, true, true, false], "uploads that wait do not hold up the records");
        pacer.charge(Lane::Bulk, 1000);
        assert_eq!(pacer.open(wednesday), [true, true, false, false], "records are in debt for the last batch");
        let next = pacer.lock().lanes[2].limit.take(1000, now) - now;
        assert!(next >= Duration::from_millis(2100), "and uploads pay for it: {next:?}");
        pacer.set_lanes(&LanesConfig::default());
        assert_eq!(pacer.open(wednesday), [true; Lane::COUNT]);
    }
}
