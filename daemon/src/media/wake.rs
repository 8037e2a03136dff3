//! Pure. Whether an inter frame is so large that something must have begun to move: encoders spend bits on change.
//!
//! Known before anything is decoded, so that a passage between two key frames of a quiet scene is not missed. Where an
//! encoder fills a fixed bit rate with noise all sizes are alike; then only the key frames tell.

use std::collections::VecDeque;

/// Sizes remembered: about four seconds.
const WINDOW: usize = 64;
/// Fewer say nothing yet.
const LEARNED: usize = 16;
/// A surprise is this many times the median size, ...
const OVER_MEDIAN: usize = 2;
/// ... at least this much more than it: a still scene's frames may be a few bytes of skipped blocks, ...
const LEAST_MORE_BYTES: usize = 400;
/// ... and a quarter more than the fourth largest: encoders with layers make every fourth or eighth frame larger.
const USUAL_RANK: usize = 4;

/// Sizes of the inter frames of a quiet scene.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    sizes: VecDeque<usize>,
}

impl Wake {
    /// Takes the size of the next inter frame.
    pub fn surprises(&mut self, bytes: usize) -> bool {
        let surprised = self.sizes.len() >= LEARNED && {
            let mut sorted: Vec<usize> = self.sizes.iter().copied().collect();
            sorted.sort_unstable();
            let (median, usual) = (sorted[sorted.len() / 2], sorted[sorted.len() - USUAL_RANK]);
            bytes > OVER_MEDIAN * median && bytes > median + LEAST_MORE_BYTES && bytes > usual + usual / 4
        };
        if self.sizes.len() == WINDOW {
            self.sizes.pop_front();
        }
        self.sizes.push_back(bytes);
        surprised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions of the surprises.
    fn surprises(sizes: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut wake = Wake::default();
        sizes.into_iter().enumerate().filter(|(_, size)| wake.surprises(*size)).map(|(i, _)| i).collect()
    }

    /// A still scene at 15 frames a second: `base` bytes, a third of it noise.
    fn still(base: usize, frames: usize) -> impl Iterator<Item = usize> {
        (0..frames).map(move |i| base + (i * 7919 % 97) * base / 300)
    }

    #[test]
    fn a_vehicle_in_a_still_scene_surprises_at_once() {
        let scene = still(900, 100).chain([2600, 4100, 5200]).chain(still(900, 30));
        assert_eq!(surprises(scene).first(), Some(&100));
    }

    #[test]
    fn noise_layers_and_a_clock_do_not() {
        assert!(surprises(still(20_000, 300)).is_empty());
        let layers = (0..300).map(|i| if i % 8 == 0 { 6000 } else { 1200 + i % 5 * 40 });
        assert_eq!(surprises(layers).iter().filter(|i| **i > 40).count(), 0, "a layer is learned");
        let clock = (0..600).map(|i| if i % 15 == 0 { 1500 } else { 90 });
        assert_eq!(surprises(clock).iter().filter(|i| **i > 70).count(), 0, "a clock is learned");
        assert!(surprises((0..200).map(|i| 40 + i % 3 * 100)).is_empty(), "a few bytes are no surprise");
    }

    #[test]
    fn a_scene_that_stays_livelier_is_learned() {
        let rain = still(900, 100).chain(still(4000, 200));
        assert!(surprises(rain).iter().all(|i| *i < 140));
    }

    #[test]
    fn nothing_is_said_before_sizes_are_known() {
        assert!(surprises([10, 100_000, 10, 50_000]).is_empty());
    }
}
