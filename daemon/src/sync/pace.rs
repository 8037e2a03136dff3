//! How fast objects may leave. Each lane keeps to its limit; all of them together yield to the records: the time that the
//! centre takes to answer tells whether the uplink is full, and uploads slow down before an alert would have to wait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::fastest::Fastest;
use crate::base::time::UtcMicros;
use crate::config::{LaneConfig, LanesConfig, Schedule};
use crate::store::Lane;

/// Answers that are all later than the fastest ones by this much: the uplink is full.
const LATE: Duration = Duration::from_millis(250);
/// No later than this: there is room.
const PROMPT: Duration = Duration::from_millis(120);
/// How often the rate changes; a change needs this long to show.
const STEP: Duration = Duration::from_millis(500);
const SLOWER: f64 = 0.7;
/// A line that paused is not one that carries nothing from now on: what left counts for half as much a step later.
const LEFT_BEFORE: f64 = 0.5;
const FASTER: f64 = 1.1;
/// While still well below the rate from which it fell.
const AGAIN: f64 = 1.5;
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
    fastest: Fastest,
    /// The soonest one since the last step: single ones are late on a bad line, a queue makes all of them late (as CoDel
    /// has it, RFC 8289).
    soonest: Option<Duration>,
    step_at: Instant,
    /// Bytes since the last step.
    unmeasured: usize,
    /// Bytes a second that left in the last step, or for the most part in those before.
    left: f64,
    /// The rate from which it fell last, and whether it still falls.
    fell_from: f64,
    falls: bool,
}

impl Uplink {
    fn new(now: Instant) -> Self {
        Self {
            limit: Limit { rate: None, free_at: now },
            fastest: Fastest::new(now),
            soonest: None,
            step_at: now,
            unmeasured: 0,
            left: 0.0,
            fell_from: 0.0,
            falls: false,
        }
    }

    fn sent(&mut self, bytes: usize) {
        self.unmeasured = self.unmeasured.saturating_add(bytes);
    }

    fn answered(&mut self, latency: Duration, now: Instant) {
        // Uploads that slow down empty the queue every few seconds, so the fastest of minutes is an answer without one.
        let (fastest, _) = self.fastest.take(latency, now);
        let soonest = self.soonest.map_or(latency, |soonest| soonest.min(latency));
        self.soonest = Some(soonest);
        let since = now.duration_since(self.step_at);
        if since < STEP {
            return;
        }
        let measured = self.unmeasured as f64 / since.as_secs_f64();
        self.left = measured.max(self.left * LEFT_BEFORE);
        let late = soonest.saturating_sub(fastest);
        let rate = self.limit.rate;
        // Where nothing left, nothing of it is in the way.
        if late > LATE && self.left > 0.0 {
            if !std::mem::replace(&mut self.falls, true) {
                self.fell_from = rate.unwrap_or(self.left);
            }
            let from = rate.map_or(self.left, |rate| rate.min(self.left));
            self.limit.rate = Some((from * SLOWER).max(RATE_MIN));
        } else if let Some(rate) = rate
            && late < PROMPT
            && measured > rate * 0.5
        {
            self.falls = false;
            let again = rate * AGAIN;
            self.limit.rate = Some(if again < self.fell_from * SLOWER { again } else { rate * FASTER });
        }
        (self.soonest, self.step_at, self.unmeasured) = (None, now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of that many bytes a second, its queue, and the uploads as the pacer lets them.
    struct Line {
        uplink: Uplink,
        now: Instant,
        queue: f64,
        /// Answers take up to 200 ms more, and for one second in ten nothing gets through.
        bad: bool,
    }

    const CAPACITY: f64 = 250_000.0;
    const QUEUE_MAX: f64 = 1_000_000.0;

    impl Line {
        fn new() -> Self {
            let now = Instant::now();
            let mut uplink = Uplink::new(now);
            uplink.answered(Duration::from_millis(40), now);
            Self { uplink, now, queue: 0.0, bad: false }
        }

        /// Tenths of a second, with answers from that far away: the share of them with a long queue, and of the line that
        /// was used.
        fn run(&mut self, tenths: u32, distance: Duration) -> (f64, f64) {
            let (mut late, mut delivered) = (0, 0.0);
            for tenth in 0..tenths {
                let pause = self.bad && tenth % 100 < 10;
                let sway = Duration::from_millis(if self.bad { u64::from(tenth * 7919 % 200) } else { 0 });
                // TCP takes what it gets until the queue is full.
                let offered = self.uplink.limit.rate.unwrap_or(10.0 * CAPACITY) / 10.0;
                let taken = offered.min(QUEUE_MAX - self.queue + CAPACITY / 10.0);
                self.uplink.sent(taken as usize);
                self.queue += taken;
                let through = if pause { 0.0 } else { self.queue.min(CAPACITY / 10.0) };
                self.queue -= through;
                self.now += Duration::from_millis(100);
                if !pause {
                    let waited = Duration::from_secs_f64(self.queue / CAPACITY);
                    self.uplink.answered(distance + sway + waited, self.now);
                }
                delivered += through;
                late += i32::from(self.queue / CAPACITY > 0.6);
            }
            let tenths = f64::from(tenths);
            (f64::from(late) / tenths, delivered / (CAPACITY * tenths / 10.0))
        }
    }

    #[test]
    fn uploads_fill_the_line_without_filling_its_queue() {
        let near = Duration::from_millis(40);
        let mut line = Line::new();
        line.run(200, near);
        let (late, used) = line.run(400, near);
        assert!(late < 0.02 && used > 0.75, "late {late}, used {used}");
        // For hours: what is taken for the way there and back does not grow with the queue.
        line.run(100_000, near);
        let (late, used) = line.run(10_000, near);
        assert!(late < 0.02 && used > 0.75, "late {late}, used {used}");
    }

    #[test]
    fn uploads_recover_when_the_way_is_longer_for_good() {
        let mut line = Line::new();
        line.run(600, Duration::from_millis(40));
        let far = Duration::from_millis(440);
        let (_, used) = line.run(3_000, far);
        assert!(used < 0.5, "taken for a full line: {used}");
        line.run(4_000, far);
        let (late, used) = line.run(3_000, far);
        assert!(late < 0.02 && used > 0.75, "late {late}, used {used}");
    }

    #[test]
    fn a_bad_line_is_used() {
        let mut line = Line { bad: true, ..Line::new() };
        line.run(1200, Duration::from_millis(40));
        let (late, used) = line.run(6000, Duration::from_millis(40));
        assert!(late < 0.2 && used > 0.6, "late {late}, used {used}");
    }

    #[test]
    fn a_pause_of_the_line_costs_seconds() {
        let near = Duration::from_millis(40);
        let mut line = Line::new();
        line.now += Duration::from_secs(1);
        line.uplink.answered(Duration::from_secs(1), line.now);
        assert_eq!(line.uplink.limit.rate, None, "nothing was uploaded yet");
        line.run(600, near);
        let rate = line.uplink.limit.rate.unwrap();
        line.now += STEP;
        line.uplink.sent((rate * STEP.as_secs_f64()) as usize);
        line.uplink.answered(near, line.now);
        // Next to nothing leaves, and the answer comes with the end of the pause.
        line.uplink.sent(1000);
        line.now += Duration::from_secs(2);
        line.uplink.answered(Duration::from_secs(2), line.now);
        let after = line.uplink.limit.rate.unwrap();
        assert!(after > 0.3 * rate, "{after} after {rate}");
        line.run(60, near);
        let (_, used) = line.run(40, near);
        assert!(used > 0.75, "{used}");
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
