//! Pure. Whether a frame deserves the detector: motion on a small luma plane against a slowly learned background.

/// Size of the plane that [`Gate::see`] wants, whatever the camera sends: 12 px of a 1080p picture each.
pub const WIDTH: usize = 160;
pub const HEIGHT: usize = 90;

const BLOCK: usize = 10;
const COLUMNS: usize = WIDTH / BLOCK;
const ROWS: usize = HEIGHT / BLOCK;

/// Mean luma change of a block that counts as motion even in a noiseless picture.
const LEAST_CHANGE: f32 = 3.5;

/// A block must also change this many times more than the median block: sensor noise, gain steps and rain change
/// all blocks alike.
const OVER_MEDIAN: f32 = 3.0;

/// Few blocks that move most of the time at one place (the clock that cameras write into the picture, a flag, a
/// bush) are restless and do not count; a vehicle with a readable plate covers more blocks than [`SMALL`].
const SMALL: usize = 3;
const RESTLESS: f32 = 0.5;
/// Time over which that is learned.
const RESTLESS_US: f32 = 10_000_000.0;

/// A block with fewer counting pixels than this lies outside the zones.
const INSIDE_LEAST: f32 = 5.0;

/// Time the background takes to forget: a parked vehicle fades into it, a walking pace does not.
const BACKGROUND_US: f32 = 1_500_000.0;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Frames are still looked at for this long after the last motion: the tracker must see the plate gone.
    pub hold_us: i64,
    /// While quiet, a frame is looked at this often anyway: slow creeping and fog stay under the threshold.
    pub patrol_us: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hold_us: 2_000_000, patrol_us: 10_000_000 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something moves or moved a moment ago: detect.
    Look,
    /// Nothing moved, but it has been long: detect once.
    Patrol,
    /// Nothing to see.
    Quiet,
}

#[derive(Clone, Debug)]
pub struct Gate {
    settings: Settings,
    background: Vec<f32>,
    /// Pixels that count; empty when all do.
    mask: Vec<bool>,
    /// Share of time in which each block moved.
    restless: [f32; ROWS * COLUMNS],
    seen_us: i64,
    moved_us: i64,
    looked_us: i64,
}

impl Gate {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            background: Vec::new(),
            mask: Vec::new(),
            restless: [0.0; ROWS * COLUMNS],
            seen_us: 0,
            moved_us: 0,
            looked_us: 0,
        }
    }

    /// Only motion in these pixels of the plane counts from now on; `None`: everywhere.
    pub fn set_mask(&mut self, mask: Option<Vec<bool>>) {
        self.mask = mask.filter(|mask| mask.len() == WIDTH * HEIGHT).unwrap_or_default();
    }

    /// Judges one frame. `luma` is [`WIDTH`] x [`HEIGHT`] without padding; any other size counts as motion, because
    /// a gate must fail open.
    pub fn see(&mut self, time_us: i64, luma: &[u8]) -> Verdict {
        let moved = self.learn(time_us, luma);
        if moved {
            self.moved_us = time_us;
        }
        self.seen_us = time_us;
        let verdict = if moved || time_us - self.moved_us < self.settings.hold_us {
            Verdict::Look
        } else if time_us - self.looked_us >= self.settings.patrol_us {
            Verdict::Patrol
        } else {
            return Verdict::Quiet;
        };
        self.looked_us = time_us;
        verdict
    }

    /// True while the scene is still and only key frames need decoding.
    pub fn is_quiet(&self, time_us: i64) -> bool {
        !self.background.is_empty() && time_us - self.moved_us >= self.settings.hold_us
    }

    fn learn(&mut self, time_us: i64, luma: &[u8]) -> bool {
        if luma.len() != WIDTH * HEIGHT {
            self.background.clear();
            return true;
        }
        if self.background.is_empty() {
            self.background = luma.iter().map(|v| f32::from(*v)).collect();
            return true;
        }
        let mut changes = [0.0_f32; ROWS * COLUMNS];
        let (mut signed, mut cells) = ([0.0_f32; ROWS * COLUMNS], self.background.iter().zip(luma));
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let Some((old, new)) = cells.next() else { break };
                signed[y / BLOCK * COLUMNS + x / BLOCK] += f32::from(*new) - old;
            }
        }
        // The camera's gain moves the whole picture; what is left after taking the median away moved by itself.
        let area = (BLOCK * BLOCK) as f32;
        let drift = median(&signed) / area;
        let (mut inside, mut inside_area) = ([0.0_f32; ROWS * COLUMNS], [0.0_f32; ROWS * COLUMNS]);
        for ((i, new), old) in luma.iter().enumerate().zip(&self.background) {
            let block = i / WIDTH / BLOCK * COLUMNS + i % WIDTH / BLOCK;
            let change = (f32::from(*new) - old - drift).abs();
            changes[block] += change;
            if self.mask.get(i).is_some_and(|counts| *counts) {
                inside[block] += change;
                inside_area[block] += 1.0;
            }
        }
        for change in &mut changes {
            *change /= area;
        }
        // The whole picture tells how much of a change is noise, also where only a part of it counts.
        let threshold = LEAST_CHANGE.max(OVER_MEDIAN * median(&changes));
        let elapsed_us = (time_us - self.seen_us).max(0) as f32;
        let share = 1.0 - (-elapsed_us / BACKGROUND_US).exp();
        for (old, new) in self.background.iter_mut().zip(luma) {
            *old += share * (f32::from(*new) - *old);
        }
        if !self.mask.is_empty() {
            for ((change, inside), area) in changes.iter_mut().zip(inside).zip(inside_area) {
                *change = if area >= INSIDE_LEAST { inside / area } else { 0.0 };
            }
        }
        let moving = changes.map(|c| c > threshold);
        let moved = self.counts(&moving);
        let share = 1.0 - (-elapsed_us / RESTLESS_US).exp();
        for (restless, moving) in self.restless.iter_mut().zip(moving) {
            *restless += share * (f32::from(u8::from(moving)) - *restless);
        }
        moved
    }

    /// Whether any group of touching blocks is more than small and restless.
    fn counts(&self, moving: &[bool; ROWS * COLUMNS]) -> bool {
        let mut left = *moving;
        let mut group = Vec::new();
        for start in 0..left.len() {
            if !std::mem::take(&mut left[start]) {
                continue;
            }
            group.clear();
            group.push(start);
            let mut next = 0;
            while let Some(block) = group.get(next).copied() {
                next += 1;
                let (x, y) = (block % COLUMNS, block / COLUMNS);
                for ny in y.saturating_sub(1)..(y + 2).min(ROWS) {
                    for nx in x.saturating_sub(1)..(x + 2).min(COLUMNS) {
                        if std::mem::take(&mut left[ny * COLUMNS + nx]) {
                            group.push(ny * COLUMNS + nx);
                        }
                    }
                }
            }
            if group.len() > SMALL || group.iter().any(|block| self.restless[*block] < RESTLESS) {
                return true;
            }
        }
        false
    }
}

fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    let middle = sorted.len() / 2;
    *sorted.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic sensor noise of +-`amplitude` around a textured scene, with an optional bright vehicle.
    fn frame(seed: u32, amplitude: i32, gain: i32, vehicle_x: Option<usize>) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..WIDTH * HEIGHT)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (state >> 16) as i32 % (2 * amplitude + 1) - amplitude;
                let (x, y) = (i % WIDTH, i / WIDTH);
                let scene = 80 + (x * 7 + y * 3) as i32 % 60 + gain;
                let on = vehicle_x.is_some_and(|v| x >= v && x < v + 20 && (40..55).contains(&y));
                (if on { 230 } else { scene } + noise).clamp(0, 255) as u8
            })
            .collect()
    }

    fn verdicts(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Verdict> {
        let mut gate = Gate::new(Settings::default());
        frames.into_iter().enumerate().map(|(i, f)| gate.see(1_000_000 + i as i64 * 100_000, &f)).collect()
    }

    #[test]
    fn noise_and_gain_are_not_motion() {
        let seen = verdicts((0..80).map(|i| frame(i, 4, if i > 40 { 12 } else { 0 }, None)));
        assert!(seen[25..].iter().all(|v| *v == Verdict::Quiet), "{seen:?}");
    }

    #[test]
    fn a_vehicle_opens_the_gate_at_once_and_holds_it() {
        let seen = verdicts((0..80).map(|i| frame(i, 4, 0, (40..50).contains(&i).then(|| (i as usize - 40) * 12))));
        assert_eq!(seen[39], Verdict::Quiet);
        assert_eq!(seen[40], Verdict::Look);
        assert_eq!(seen[60], Verdict::Look, "held");
        assert_eq!(seen[79], Verdict::Quiet);
    }

    #[test]
    fn a_parked_vehicle_fades_and_patrols_go_on() {
        let seen = verdicts((0..300).map(|i| frame(i, 3, 0, (i >= 30).then_some(60))));
        assert_eq!(seen[30], Verdict::Look);
        assert_eq!(seen[120], Verdict::Quiet);
        assert_eq!(seen[130..].iter().filter(|v| **v == Verdict::Patrol).count(), 2, "once every 10 s");
    }

    #[test]
    fn a_clock_in_the_picture_becomes_quiet_and_a_vehicle_beside_it_counts() {
        let ticking = |i: u32| {
            let mut luma = frame(i, 3, 0, (200..210).contains(&i).then(|| (i as usize - 200) * 12));
            for y in 4..8 {
                for x in 140..145 {
                    luma[y * WIDTH + x] = if (i / 10).is_multiple_of(2) { 240 } else { 20 };
                }
            }
            luma
        };
        let seen = verdicts((0..260).map(ticking));
        assert_eq!(seen[20], Verdict::Look, "not known yet");
        assert!(seen[150..200].iter().all(|v| *v != Verdict::Look), "{:?}", &seen[150..200]);
        assert_eq!(seen[201], Verdict::Look);
    }

    #[test]
    fn motion_outside_the_mask_does_not_count() {
        let frames = || (0..60).map(|i| frame(i, 4, 0, (40..50).contains(&i).then(|| (i as usize - 40) * 12)));
        let run = |counts: &dyn Fn(usize, usize) -> bool| {
            let mut gate = Gate::new(Settings::default());
            gate.set_mask(Some((0..WIDTH * HEIGHT).map(|i| counts(i % WIDTH, i / WIDTH)).collect()));
            let seen: Vec<_> =
                frames().enumerate().map(|(i, f)| gate.see(1_000_000 + i as i64 * 100_000, &f)).collect();
            seen[25..].iter().position(|v| *v == Verdict::Look).map(|at| at + 25)
        };
        assert_eq!(run(&|_, y| y < 38), None, "above the road");
        assert_eq!(run(&|_, y| (40..55).contains(&y)), Some(40));
        assert_eq!(run(&|x, _| x >= 100), Some(47), "once it reaches the zone");
        assert_eq!(run(&|_, _| false), None);
    }

    #[test]
    fn unexpected_sizes_fail_open() {
        let mut gate = Gate::new(Settings::default());
        assert_eq!(gate.see(0, &[1, 2, 3]), Verdict::Look);
        assert!(!gate.is_quiet(60_000_000));
    }
}
