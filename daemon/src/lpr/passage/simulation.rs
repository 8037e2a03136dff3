//! Property tests of passages: simulated traffic with a detector that misses and a reader that errs, many seeds. Each
//! vehicle must be told once, as itself, and nothing else.

use super::tests::{SIZE, Scene, alphabet, read_of};
use super::*;
use crate::lpr::geometry::Rect;

/// Glyphs that readers take for one another.
const LOOK_ALIKE: [(char, char); 8] =
    [('0', 'O'), ('1', 'I'), ('8', 'B'), ('5', 'S'), ('2', 'Z'), ('6', 'G'), ('M', 'N'), ('3', '8')];

/// SplitMix64 (Steele et al. 2014): small, seeded, the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn within(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.unit()
    }

    fn is(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    fn text(&mut self) -> String {
        let mercosul = self.is(0.6);
        "LLLNXNN"
            .chars()
            .map(|class| match class {
                'N' => char::from(b'0' + (self.next() % 10) as u8),
                'X' if !mercosul => char::from(b'0' + (self.next() % 10) as u8),
                _ => char::from(b'A' + (self.next() % 26) as u8),
            })
            .collect()
    }
}

/// Comes down a lane, or stops at its end for a while.
struct Vehicle {
    text: String,
    lane: usize,
    enter_s: f32,
    drive_s: f32,
    stay_s: f32,
}

impl Vehicle {
    /// Where its plate is, and how wide; `None` while it is not in view.
    fn plate(&self, at_s: f32) -> Option<(f32, f32, f32)> {
        let since = at_s - self.enter_s;
        if since < 0.0 || since > self.drive_s + self.stay_s {
            return None;
        }
        let share = (since / self.drive_s).min(1.0);
        // Perspective: what comes at a steady pace grows faster and faster.
        let near = share * share;
        let x = 500.0 + 700.0 * self.lane as f32 + 60.0 * near;
        Some((x, 150.0 + 800.0 * near, 45.0 + 95.0 * near))
    }
}

/// A minute of two lanes. Followers keep a distance; some have a plate that differs in one character.
fn traffic(chance: &mut Chance) -> Vec<Vehicle> {
    let mut vehicles: Vec<Vehicle> = Vec::new();
    for lane in 0..2 {
        let mut at_s = chance.within(0.5, 4.0);
        while at_s < 55.0 {
            let previous = vehicles.last().filter(|v| v.lane == lane).map(|v| v.text.clone());
            let mut text = chance.text();
            if let Some(previous) = previous.filter(|_| chance.is(0.25)) {
                let last = previous.chars().last().and_then(|c| c.to_digit(10)).unwrap_or(0);
                text = format!("{}{}", &previous[..6], (last + 1 + (chance.next() % 9) as u32) % 10);
            }
            let drive_s = chance.within(1.4, 5.0);
            let stay_s = if chance.is(0.1) { chance.within(3.0, 14.0) } else { 0.0 };
            let until_s = at_s + drive_s + stay_s;
            vehicles.push(Vehicle { text, lane, enter_s: at_s, drive_s, stay_s });
            at_s = until_s + chance.within(0.2, 4.0);
        }
    }
    vehicles
}

/// A read of a plate this wide: surer when larger, with look-alikes taken for one another now and then.
fn read(chance: &mut Chance, text: &str, width: f32) -> Read {
    let alphabet = alphabet();
    let sure = ((width - 30.0) / 90.0).clamp(0.3, 0.96);
    let mut values = Vec::new();
    for i in 0..9 {
        let truth = text.chars().nth(i).unwrap_or('_');
        let other = LOOK_ALIKE.iter().find_map(|(a, b)| (*a == truth).then_some(*b).or((*b == truth).then_some(*a)));
        let other = other.filter(|_| chance.is(0.35));
        let (p, q) = match other {
            Some(_) if chance.is(0.25) => (0.25, 0.6),
            Some(_) => (0.55, 0.3),
            None => (sure * chance.within(0.9, 1.0), 0.0),
        };
        let rest = (1.0 - p - q) / 36.0;
        values.extend(alphabet.iter().map(|a| match *a {
            a if a == truth => p,
            a if Some(a) == other => q,
            _ => rest,
        }));
    }
    read_of(Slots::new(alphabet, values).expect("probabilities"))
}

fn observe(chance: &mut Chance, (x, y, width): (f32, f32, f32)) -> Observation {
    let (x, y) = (x + chance.within(-2.0, 2.0), y + chance.within(-2.0, 2.0));
    let width = width * chance.within(0.97, 1.03);
    let rect = Rect::new(x - width / 2.0, y, x + width / 2.0, y + 0.33 * width);
    Observation { quad: Quad::from_rect(&rect), score: chance.within(0.6, 0.95), two_rows: 0.1 }
}

/// What was told of the vehicles of one minute, at 10 frames a second.
fn play(seed: u64) -> (Vec<Vehicle>, Vec<String>) {
    let mut chance = Chance(seed);
    let vehicles = traffic(&mut chance);
    // A lamp post hides a strip of one lane; a lorry hides the other for a moment.
    let (post_y, lorry_s) = (chance.within(300.0, 700.0), chance.within(5.0, 50.0));
    let mut scene = Scene::new();
    for frame in 0..720 {
        let at_s = frame as f32 / 10.0;
        let mut plates = Vec::new();
        for vehicle in &vehicles {
            let Some(plate) = vehicle.plate(at_s) else { continue };
            let behind_post = vehicle.lane == 0 && (plate.1 - post_y).abs() < 25.0;
            let behind_lorry = vehicle.lane == 1 && (0.0..1.2).contains(&(at_s - lorry_s));
            if behind_post || behind_lorry || chance.is(0.12) {
                continue;
            }
            let observation = observe(&mut chance, plate);
            plates.push((observation, read(&mut chance, &vehicle.text, plate.2)));
        }
        // Lettering on a bus: found once in a while, reads as nothing in particular.
        if chance.is(0.03) {
            let at = (chance.within(200.0, SIZE.0 - 200.0), chance.within(100.0, 900.0), 60.0);
            plates.push((Observation { score: 0.45, ..observe(&mut chance, at) }, read(&mut chance, "TAXI", 50.0)));
        }
        scene.frame(&plates);
    }
    scene.empty(20);
    let told = scene.told().iter().map(|finished| finished.ranked[0].text.clone()).collect();
    (vehicles, told)
}

#[test]
fn each_vehicle_of_simulated_traffic_is_told_once_and_as_itself() {
    let (mut passages, mut right, mut false_ones, mut faults) = (0, 0, 0, Vec::new());
    for seed in 0..30 {
        let (vehicles, told) = play(seed);
        for vehicle in &vehicles {
            let times = told.iter().filter(|text| **text == vehicle.text).count();
            let wanted = vehicles.iter().filter(|v| v.text == vehicle.text).count();
            passages += 1;
            if times == wanted {
                right += 1;
            } else {
                faults.push(format!("seed {seed}: {} told {times} times", vehicle.text));
            }
        }
        for text in told.iter().filter(|text| vehicles.iter().all(|v| v.text != **text)) {
            false_ones += 1;
            faults.push(format!("seed {seed}: {text} was not there"));
        }
    }
    assert!(passages > 500, "{passages}");
    assert!(100 * right >= 98 * passages, "{right} of {passages} right:\n{}", faults.join("\n"));
    assert!(200 * false_ones <= passages, "{false_ones} false:\n{}", faults.join("\n"));
}
