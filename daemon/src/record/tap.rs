//! Where one stream of a camera puts its fragments: what is wanted of them goes to the writer's queue.

use std::sync::{Arc, Mutex, PoisonError};

use super::plan::StreamPlan;
use super::select::{Selected, Selector, Wanted};
use super::trigger::Trigger;
use super::{Key, Queued, Recorder};
use crate::base::time::UtcMicros;
use crate::config::RecordMode;
use crate::media::{Fragment, FragmentSink};

/// A passage is told when it is over and stored: until then its video waits in memory.
const PASSAGE_US: i64 = 15_000_000;
/// Motion is told within the group of pictures that shows it.
const MOTION_US: i64 = 4_000_000;

/// See the module.
pub struct Tap {
    recorder: Recorder,
    key: Key,
    plan: StreamPlan,
    trigger: Arc<Trigger>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    selector: Selector,
    /// End of what was selected last.
    selected_until: Option<UtcMicros>,
    blind: bool,
}

impl Tap {
    pub fn new(recorder: Recorder, key: Key, plan: StreamPlan, trigger: Arc<Trigger>) -> Self {
        Self { recorder, key, plan, trigger, state: Mutex::default() }
    }

    /// Everything is recorded while nobody can say what happens: rather too much than the moment that counts.
    fn selected(&self, state: &mut State, fragment: &Arc<Fragment>) -> Vec<Selected> {
        let how = &self.plan.how;
        let (events, late_us) = match how.mode {
            RecordMode::Motion => (self.trigger.motion(), MOTION_US),
            RecordMode::Detection => (self.trigger.passages(), PASSAGE_US),
            RecordMode::Continuous | RecordMode::Schedule => (Vec::new(), 0),
        };
        let timed = self.plan.is_timed();
        let blind = !timed && self.trigger.is_blind();
        if blind != state.blind {
            state.blind = blind;
            let labels = [("camera", self.key.camera.to_string()), ("stream", self.key.stream.to_string())];
            metrics::gauge!("gtv_record_blind", &labels).set(f64::from(u8::from(blind)));
        }
        let wanted = Wanted {
            all: timed || blind,
            events: &events,
            pre_us: how.pre_roll.micros(),
            post_us: how.post_roll.micros(),
            allows: &|time| self.plan.allows(time),
        };
        let hold_us = if timed { 0 } else { how.pre_roll.micros() + late_us };
        state.selector.push(fragment, &wanted, hold_us)
    }
}

impl FragmentSink for Tap {
    fn push(&self, fragment: &Arc<Fragment>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.selector.bytes() as u64 + fragment.data.len() as u64;
        let selected = self.selected(&mut state, fragment);
        let passed: u64 = selected.iter().map(|one| one.fragment.data.len() as u64).sum();
        self.recorder.shared.withheld(&self.key, before - passed - state.selector.bytes() as u64);
        for Selected { fragment, resumed } in selected {
            let (start, end) = (fragment.start, fragment.end());
            // What the plan wanted of the pause is missing all the same: the camera was away then.
            let from = state.selected_until.or_else(|| self.recorder.shared.last_end(&self.key));
            let pause = resumed.then(|| from.map_or_else(Vec::new, |from| self.plan.expected(from, start)));
            state.selected_until = Some(end);
            if !self.plan.is_timed() {
                self.recorder.shared.want(&self.key, (start, end));
            }
            self.recorder.queue(Queued { fragment, pause });
        }
    }
}
