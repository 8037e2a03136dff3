//! Table tests of passages: what is told, how often, and as what.

use std::sync::Arc;

use super::*;
use crate::lpr::fuse::Reading;
use crate::lpr::geometry::Rect;

pub const SIZE: (f32, f32) = (1920.0, 1080.0);

fn plate(x: f32, y: f32) -> Observation {
    let quad = Quad::from_rect(&Rect::new(x, y, x + 110.0, y + 36.0));
    Observation { quad, score: 0.9, two_rows: 0.1 }
}

pub fn alphabet() -> Arc<[char]> {
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_".chars().collect::<Vec<_>>().into()
}

/// One read, `sure` in every slot.
fn read(text: &str, sure: f32) -> Read {
    let alphabet = alphabet();
    let values = (0..9).flat_map(|i| {
        let c = text.chars().nth(i).unwrap_or('_');
        alphabet.iter().map(|a| if *a == c { sure } else { (1.0 - sure) / 36.0 }).collect::<Vec<_>>()
    });
    read_of(Slots::new(alphabet.clone(), values.collect()).unwrap())
}

pub fn read_of(slots: Slots) -> Read {
    Read { reading: Reading { slots, layout: None, category: None }, sharpness: 0.2, plate: None, readable: true }
}

/// A camera of 10 frames a second.
pub struct Scene {
    pub passages: Passages<i64>,
    outcomes: Vec<Outcome<i64>>,
    pub now_us: i64,
}

impl Scene {
    pub fn new() -> Self {
        Self { passages: Passages::new(Settings::new(0.5)), outcomes: Vec::new(), now_us: 0 }
    }

    /// One frame, 100 ms after the last.
    pub fn frame(&mut self, plates: &[(Observation, Read)]) {
        self.now_us += 100_000;
        let found: Vec<_> = plates.iter().map(|p| p.0).collect();
        let ids = self.passages.observe(self.now_us, SIZE, &found);
        for (id, (_, read)) in ids.into_iter().zip(plates) {
            let now_us = self.now_us;
            self.passages.add(id.unwrap(), read, || now_us);
        }
        self.outcomes.extend(self.passages.finish(self.now_us));
    }

    pub fn empty(&mut self, frames: usize) {
        (0..frames).for_each(|_| self.frame(&[]));
    }

    pub fn told(&self) -> Vec<&Finished<i64>> {
        self.outcomes.iter().filter_map(|o| if let Outcome::Finished(f) = o { Some(&**f) } else { None }).collect()
    }
}

#[test]
fn one_passage_is_told_once_and_within_a_second_of_leaving() {
    let mut scene = Scene::new();
    for i in 0..17 {
        let text = if i == 5 { "ABC1D28" } else { "ABC1D23" };
        scene.frame(&[(plate(100.0 + 100.0 * i as f32, 500.0), read(text, 0.985))]);
    }
    let left_us = scene.now_us;
    while scene.told().is_empty() {
        scene.empty(1);
    }
    assert!(scene.now_us - left_us <= 600_000, "{} us", scene.now_us - left_us);
    scene.empty(30);
    let told = scene.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].ranked[0].text, "ABC1D23");
    assert_eq!((told[0].reads, told[0].hits, told[0].layout.as_str()), (17, 17, "br-mercosul"));
    assert_eq!(told[0].direction, Some(Direction::LeftToRight));
    assert_eq!((told[0].first_us, told[0].last_us), (100_000, left_us));
    assert!(scene.passages.open.is_empty());
}

#[test]
fn a_parked_vehicle_is_told_once_however_long_it_stays() {
    let mut scene = Scene::new();
    for i in 0..600 {
        // The detector misses it now and then, and a truck hides it for five seconds.
        if i % 13 == 0 || (300..350).contains(&i) {
            scene.empty(1);
        } else {
            scene.frame(&[(plate(800.0, 500.0), read("ABC1234", 0.9))]);
        }
    }
    scene.empty(30);
    assert_eq!(scene.told().len(), 1);
}

#[test]
fn a_held_scene_keeps_its_plates_and_tells_them_in_time() {
    let mut scene = Scene::new();
    (0..5).for_each(|_| scene.frame(&[(plate(800.0, 500.0), read("ABC1234", 0.9))]));
    for _ in 0..100 {
        scene.now_us += 1_000_000;
        scene.passages.hold(scene.now_us);
        let finished = scene.passages.finish(scene.now_us);
        scene.outcomes.extend(finished);
    }
    assert_eq!(scene.told().len(), 1);
    scene.frame(&[(plate(800.0, 500.0), read("ABC1234", 0.9))]);
    scene.empty(30);
    assert_eq!(scene.told().len(), 1, "its end is not told again");
}

#[test]
fn pieces_of_a_passage_are_joined_by_what_they_say() {
    let mut scene = Scene::new();
    (0..6).for_each(|i| scene.frame(&[(plate(100.0 + 30.0 * i as f32, 300.0), read("ABC1D23", 0.8))]));
    scene.empty(4);
    // It comes out from behind a lorry, further on and larger than a prediction would allow.
    (0..6).for_each(|i| scene.frame(&[(plate(900.0 + 30.0 * i as f32, 500.0), read("ABC1D2B", 0.5))]));
    scene.empty(20);
    let told = scene.told();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].ranked[0].text.as_str(), told[0].first_us, told[0].hits), ("ABC1D23", 100_000, 12));
}

#[test]
fn followers_with_sure_plates_stay_two_vehicles() {
    let mut scene = Scene::new();
    (0..8).for_each(|i| scene.frame(&[(plate(100.0 + 60.0 * i as f32, 300.0), read("ABC1D23", 0.97))]));
    scene.empty(12);
    (0..8).for_each(|i| scene.frame(&[(plate(100.0 + 60.0 * i as f32, 300.0), read("ABC1D24", 0.97))]));
    scene.empty(20);
    assert_eq!(scene.told().len(), 2);
    let mut scene = Scene::new();
    for i in 0..12 {
        let x = 100.0 + 60.0 * i as f32;
        scene.frame(&[(plate(x, 300.0), read("AAA1111", 0.95)), (plate(x, 700.0), read("BBB2B22", 0.95))]);
    }
    scene.empty(20);
    assert_eq!(scene.told().len(), 2, "side by side");
}

#[test]
fn noise_is_not_told() {
    let mut scene = Scene::new();
    scene.frame(&[(Observation { score: 0.4, ..plate(100.0, 100.0) }, read("ABC1234", 0.9))]);
    scene.empty(20);
    for i in 0..10 {
        scene.frame(&[(plate(500.0 + i as f32, 100.0), read("X", 0.9))]);
    }
    scene.empty(20);
    for i in 0..10 {
        scene.frame(&[(plate(900.0 + i as f32, 700.0), read("ABC1234", 0.1))]);
    }
    scene.empty(20);
    assert!(scene.told().is_empty());
    assert_eq!(scene.outcomes.len(), 3, "{:?}", scene.outcomes);
}

#[test]
fn what_is_open_is_told_when_the_camera_goes() {
    let mut scene = Scene::new();
    (0..5).for_each(|i| scene.frame(&[(plate(100.0 + 60.0 * i as f32, 300.0), read("ABC1D23", 0.9))]));
    assert_eq!(scene.passages.flush().len(), 1);
    assert!(scene.passages.open.is_empty() && scene.passages.flush().is_empty());
}

#[test]
fn a_parked_vehicle_is_one_through_the_night_and_a_new_stream() {
    let mut scene = Scene::new();
    let parked = plate(800.0, 500.0);
    let look = |scene: &mut Scene, text: &str, sure: f32, frames: usize| {
        (0..frames).for_each(|_| scene.frame(&[(parked, read(text, sure))]));
    };
    look(&mut scene, "ABC1234", 0.95, 120);
    // Hours of a still scene, of which a frame is looked at every ten seconds; in some the detector sees nothing.
    for patrol in 0..2000 {
        scene.now_us += 10_000_000;
        scene.passages.hold(scene.now_us);
        if patrol % 17 == 0 { scene.empty(1) } else { look(&mut scene, "ABC1234", 0.9, 1) }
    }
    // Headlights, then infrared: the same plate is read with doubt and one character wrong.
    scene.empty(12);
    look(&mut scene, "ABC1Z34", 0.62, 30);
    scene.empty(20);
    look(&mut scene, "ABC1234", 0.9, 60);
    assert_eq!(scene.told().len(), 1);
    // The stream or the settings are renewed: what was told is handed on.
    let told = scene.passages.told().clone();
    let left_us = scene.now_us;
    scene.passages.flush();
    scene = Scene { now_us: left_us + 90_000_000, ..Scene::new() };
    scene.passages.recall(told);
    look(&mut scene, "ABC1234", 0.95, 120);
    scene.empty(20);
    assert!(scene.told().is_empty(), "{:?}", scene.told());
}

#[test]
fn a_follower_with_a_similar_plate_stays_another_vehicle_though_read_with_doubt() {
    let drive = |scene: &mut Scene, text: &str, sure: f32| {
        (0..9).for_each(|i| scene.frame(&[(plate(600.0, 100.0 + 90.0 * i as f32), read(text, sure))]));
    };
    let mut scene = Scene::new();
    drive(&mut scene, "ABC1D23", 0.97);
    scene.empty(8);
    // So doubtful that its text alone would pass for the other's; but it comes from where that one came from.
    drive(&mut scene, "ABC1D28", 0.55);
    scene.empty(20);
    let texts: Vec<_> = scene.told().iter().map(|f| f.ranked[0].text.clone()).collect();
    assert_eq!(texts, ["ABC1D23", "ABC1D28"]);
}

#[test]
fn side_by_side_similar_plates_are_two() {
    let mut scene = Scene::new();
    for i in 0..10 {
        let y = 100.0 + 80.0 * i as f32;
        scene.frame(&[(plate(400.0, y), read("FLT1A01", 0.7)), (plate(1200.0, y), read("FLT1A07", 0.7))]);
    }
    scene.empty(20);
    assert_eq!(scene.told().len(), 2);
}

#[test]
fn readings_that_never_repeat_are_marked() {
    let agreeing = |texts: &[&str]| {
        let passages = Passages::new(Settings::new(0.05));
        let mut scene = Scene { passages, ..Scene::new() };
        for (i, text) in texts.iter().enumerate() {
            scene.frame(&[(plate(100.0 + 100.0 * i as f32, 500.0), read(text, 0.985))]);
        }
        scene.empty(20);
        let told = scene.told();
        assert_eq!(told.len(), 1, "{texts:?}");
        told[0].agreeing
    };
    assert_eq!(agreeing(&["ABC1D23"]), 1);
    assert_eq!(agreeing(&["ABC1D23", "ABC1D28"]), 1, "two reads, but each says something else");
    assert_eq!(agreeing(&["ABC1D23", "ABC1D28", "ABC1D23"]), 2);
    assert_eq!(agreeing(&["ABC1334", "ABC1D34"]), 2, "two spellings of one vehicle");
}
