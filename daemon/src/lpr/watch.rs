//! One camera under watch: newest frame -> gate -> detector and reader in turn with the other cameras -> passages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::clutter::Clutter;
use super::error::LprError;
use super::gate::{self, Gate, Verdict};
use super::looks::Looks;
use super::models::Pool;
use super::motion;
use super::passage::{Outcome, Passages, Settings, Told};
use super::row::Job;
use super::stats::{Stage, Stats};
use super::track::Observation;
use super::zones::{Excluded, Zones};
use crate::base::ids::CameraId;
use crate::base::metrics::dropped;
use crate::base::tasks::{CancellationToken, TaskResult};
use crate::config::LprConfig;
use crate::media::{DecodedFrame, FrameSlot, RingReader, Wanted};

/// How long to wait for a frame before looking at the clock: passages end even when a camera falls silent.
const IDLE: Duration = Duration::from_millis(200);

/// Plates read in one frame at most; the rest has its turn in the next.
const READS_MAX: usize = 8;

/// A main stream that is further behind the sub stream than this is gone for now: half of what the gate holds.
const MAIN_BEHIND_US: u64 = 1_000_000;
/// A main stream that cannot be decoded is tried again after this long.
const MAIN_REST: Duration = Duration::from_secs(30);

/// What all cameras of an engine share.
pub struct Shared {
    pub config: LprConfig,
    pub pool: Arc<Pool>,
    pub stats: Stats,
    pub rows: mpsc::Sender<Job>,
    /// The vehicles told last by cameras whose watch ended: it may begin anew.
    pub told: Mutex<BTreeMap<CameraId, Told>>,
    /// Somebody else who wants to know of motion.
    pub looks: OnceLock<motion::Looks>,
}

/// The zones in force of one camera, changed while it is watched.
pub type ZonesInForce = Mutex<Arc<Zones>>;

pub struct Watch {
    camera: CameraId,
    slot: Arc<FrameSlot>,
    main: RingReader,
    main_rests_until: Option<Instant>,
    shared: Arc<Shared>,
    /// As they were set last, and as the gate knows them.
    set_zones: Arc<ZonesInForce>,
    zones: Arc<Zones>,
    gate: Gate,
    clutter: Clutter,
    looks: Looks,
    passages: Passages<Arc<DecodedFrame>>,
    /// Time of the last frame, and when it was here.
    last: Option<(i64, Instant)>,
    /// Time and size of the frame looked at last.
    looked: Option<(i64, (f32, f32))>,
}

impl Watch {
    pub fn new(camera: CameraId, slot: Arc<FrameSlot>, zones: Arc<ZonesInForce>, shared: Arc<Shared>) -> Self {
        let passages = Passages::new(Settings::new(shared.config.min_confidence));
        let main = RingReader::new(camera.clone(), Arc::clone(slot.main()));
        Self {
            camera,
            slot,
            main,
            main_rests_until: None,
            shared,
            set_zones: zones,
            zones: Arc::default(),
            gate: Gate::new(gate::Settings::default()),
            clutter: Clutter::default(),
            looks: Looks::default(),
            passages,
            last: None,
            looked: None,
        }
    }

    /// Runs on a thread of its own until cancelled; open passages are told then. An error is a model that fails.
    pub fn run(&mut self, token: &CancellationToken, progress: impl Fn()) -> TaskResult {
        let mut result = Ok(());
        while result.is_ok() && !token.is_cancelled() {
            progress();
            match self.slot.take_timeout(IDLE) {
                Some(frame) => result = self.frame(Arc::new(frame)),
                None => self.idle(),
            }
        }
        // What was seen so far is kept, also where a model failed.
        let outcomes = self.passages.flush();
        self.tell(outcomes, Instant::now());
        lock(&self.shared.told).insert(self.camera.clone(), self.passages.told().clone());
        Ok(result?)
    }

    fn frame(&mut self, frame: Arc<DecodedFrame>) -> Result<(), LprError> {
        let (began, time_us) = (Instant::now(), frame.time.0);
        if self.is_early(time_us) {
            self.count("rate");
            return Ok(());
        }
        if self.last.replace((time_us, began)).is_none()
            && let Some(told) = lock(&self.shared.told).remove(&self.camera)
        {
            // Only now: an earlier watch of this camera may have ended a moment after this one began.
            self.passages.recall(told);
        }
        self.adopt_zones();
        let verdict = self.judge(&frame, time_us);
        if verdict == Verdict::Quiet {
            self.passages.hold(time_us);
            let outcomes = self.passages.finish(time_us);
            self.tell(outcomes, frame.received);
            self.shared.stats.record(Stage::QuietFrame, began.elapsed());
            self.count("quiet");
            return Ok(());
        }
        let received = frame.received;
        let deadline = received + *self.shared.config.deadline;
        let Some(frame) = self.pixels(&frame) else {
            dropped("lpr", "main_behind", 1);
            self.count("main_behind");
            let outcomes = self.passages.finish(time_us);
            self.tell(outcomes, received);
            return Ok(());
        };
        let time_us = frame.time.0;
        if self.looked.is_some_and(|(looked_us, _)| looked_us == time_us) {
            self.count("repeated");
            return Ok(());
        }
        let Some(mut models) = self.shared.pool.borrow(deadline) else {
            dropped("lpr", "deadline", 1);
            self.count("deadline");
            return Ok(());
        };
        let waited = began.elapsed();
        let shared = Arc::clone(&self.shared);
        let stats = &shared.stats;
        let size = (frame.width as f32, frame.height as f32);
        if self.looked.replace((time_us, size)).is_some_and(|(_, before)| before != size) {
            // Places in pixels mean something else now: the stream changed, or the main stream came or went.
            let outcomes = self.passages.flush();
            self.tell(outcomes, received);
        }
        self.clutter.look_within(&self.zones, size);
        let expected = self.passages.expected(time_us);
        let look = self.looks.next(time_us, &expected);
        let mut found = models.detector.watch(&*frame, (look, &expected), &mut self.clutter, time_us, stats)?;
        metrics::counter!("gtv_lpr_looks_total", "camera" => self.camera.to_string(), "look" => look.name())
            .increment(1);
        self.leave_out(&mut found, size);
        let ids = self.passages.observe(time_us, size, &found);
        let (ids, quads): (Vec<_>, Vec<_>) = ids
            .into_iter()
            .zip(&found)
            .filter_map(|(id, observation)| Some((id?, observation.quad)))
            .filter(|(id, _)| self.passages.wants_reading(*id))
            .take(READS_MAX)
            .unzip();
        let reads = models.reader.read(&*frame, &quads, stats)?;
        drop(models);
        let tracking = Instant::now();
        for (id, read) in ids.into_iter().zip(reads) {
            match read {
                Some(read) if read.readable => {
                    self.count_read("plate");
                    self.passages.add(id, &read, || Arc::clone(&frame));
                }
                Some(_) => self.count_read("no_plate"),
                None => self.count_read("outside"),
            }
        }
        let outcomes = self.passages.finish(time_us);
        stats.record(Stage::Track, tracking.elapsed());
        // The wait for a turn is the load of the box, not the cost of the frame.
        stats.record(Stage::Frame, began.elapsed().saturating_sub(waited));
        stats.record(Stage::Latency, received.elapsed());
        self.tell(outcomes, received);
        self.count(if verdict == Verdict::Patrol { "patrol" } else { "look" });
        Ok(())
    }

    /// The frame to look at: where the sub stream is watched and the main stream is there, the main stream's frame
    /// nearest in time, because it has nine times the pixels; otherwise the frame itself. `None`: not decoded yet.
    fn pixels(&mut self, frame: &Arc<DecodedFrame>) -> Option<Arc<DecodedFrame>> {
        let gone = |newest_us: i64| frame.time.0.abs_diff(newest_us) > MAIN_BEHIND_US;
        let rests = self.main_rests_until.is_some_and(|until| Instant::now() < until);
        if rests || self.main.newest().is_none_or(|newest| gone(newest.0)) {
            return Some(Arc::clone(frame));
        }
        self.shared.stats.time(Stage::Main, || self.main.frame_at(frame.time, MAIN_BEHIND_US)).unwrap_or_else(|error| {
            tracing::warn!(camera = %self.camera, %error, "plates are read from the sub stream for a while");
            self.main_rests_until = Some(Instant::now() + MAIN_REST);
            Some(Arc::clone(frame))
        })
    }

    fn adopt_zones(&mut self) {
        let set = Arc::clone(&lock(&self.set_zones));
        if !Arc::ptr_eq(&set, &self.zones) {
            self.gate.set_mask(set.mask(gate::WIDTH, gate::HEIGHT));
            self.zones = set;
        }
    }

    /// Takes out the plates that do not count, and counts them with those that got no second look for the same reason.
    fn leave_out(&mut self, found: &mut Vec<Observation>, size: (f32, f32)) {
        let mut excluded = self.clutter.take_excluded();
        found.retain(|observation| match self.zones.excludes(&observation.quad, size) {
            Some(reason) => {
                excluded.push(reason);
                false
            }
            None => true,
        });
        for reason in Excluded::ALL {
            let plates = excluded.iter().filter(|e| **e == reason).count() as u64;
            if plates > 0 {
                let labels = [("camera", self.camera.to_string()), ("reason", reason.as_str().to_owned())];
                metrics::counter!("gtv_lpr_plates_excluded_total", &labels).increment(plates);
            }
        }
    }

    /// Faster than `lpr.max_fps`, with a little slack for the jitter of arrival.
    fn is_early(&self, time_us: i64) -> bool {
        let interval_us = 1e6 / self.shared.config.max_fps.max(0.1);
        self.last.is_some_and(|(last_us, _)| {
            let since_us = (time_us - last_us) as f64;
            (0.0..0.85 * interval_us).contains(&since_us)
        })
    }

    fn judge(&mut self, frame: &DecodedFrame, time_us: i64) -> Verdict {
        let gate = &mut self.gate;
        let verdict = self.shared.stats.time(Stage::Gate, || {
            let luma = frame.luma_scaled(gate::WIDTH as u32, gate::HEIGHT as u32);
            // A picture that cannot be scaled counts as motion: the detector's error is the better one.
            gate.see(time_us, luma.as_ref().map_or(&[], |l| &l.data))
        });
        let quiet = self.shared.config.keyframes_only_when_quiet && self.gate.is_quiet(time_us);
        self.slot.set_wanted(if quiet { Wanted::KeyFrames } else { Wanted::All });
        if let Some(looks) = self.shared.looks.get() {
            looks(&self.camera, frame.time, verdict == Verdict::Look);
        }
        verdict
    }

    /// No frame for a while: the clock goes on, and so does what left the picture.
    fn idle(&mut self) {
        let Some((time_us, since)) = self.last else { return };
        let now_us = time_us.saturating_add(i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX));
        if self.gate.is_quiet(now_us) && self.slot.wanted() == Wanted::KeyFrames {
            // Between key frames of a still scene nothing is known to have changed.
            self.passages.hold(now_us);
            let glance = *self.shared.config.glance_when_quiet;
            if !glance.is_zero() && since.elapsed() >= glance {
                // Key frames are rare, and an encoder that fills a fixed rate never surprises: the next frame tells.
                self.slot.set_wanted(Wanted::All);
                metrics::counter!("gtv_lpr_glances_total", "camera" => self.camera.to_string()).increment(1);
            }
        }
        let outcomes = self.passages.finish(now_us);
        self.tell(outcomes, Instant::now());
    }

    fn tell(&self, outcomes: Vec<Outcome<Arc<DecodedFrame>>>, decided: Instant) {
        for outcome in outcomes {
            let name = match outcome {
                Outcome::Finished(finished) => {
                    let job = Job { camera: self.camera.clone(), finished: *finished, decided };
                    // Waits while the store is behind: frames are skipped then, passages are not.
                    if self.shared.rows.blocking_send(job).is_err() {
                        dropped("lpr", "stopped", 1);
                    }
                    "told"
                }
                Outcome::Merged => "merged",
                Outcome::Unsure => "unsure",
                Outcome::Unread => "unread",
            };
            metrics::counter!("gtv_lpr_tracks_total", "camera" => self.camera.to_string(), "outcome" => name)
                .increment(1);
        }
    }

    /// A plate that the detector found and the reader looked at.
    fn count_read(&self, verdict: &'static str) {
        metrics::counter!("gtv_lpr_reads_total", "camera" => self.camera.to_string(), "verdict" => verdict)
            .increment(1);
    }

    fn count(&self, verdict: &'static str) {
        metrics::counter!("gtv_lpr_frames_total", "camera" => self.camera.to_string(), "verdict" => verdict)
            .increment(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
