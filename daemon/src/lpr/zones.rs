//! Pure. Where in a camera's picture plates count: inside a watch zone, outside every ignore zone, and wide enough.

use super::geometry::{Quad, Rect};
use crate::config::{CameraConfig, ZoneKind};

/// Why a plate does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excluded {
    /// There are watch zones, and its center is in none.
    OutsideZones,
    InIgnoreZone,
    /// Narrower than the camera's `min_plate_width`.
    TooSmall,
}

impl Excluded {
    pub const ALL: [Self; 3] = [Self::OutsideZones, Self::InIgnoreZone, Self::TooSmall];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutsideZones => "outside_zones",
            Self::InIgnoreZone => "ignore_zone",
            Self::TooSmall => "too_small",
        }
    }
}

/// The zones of one camera; the default lets everything count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zones {
    watch: Vec<Vec<[f32; 2]>>,
    ignore: Vec<Vec<[f32; 2]>>,
    min_width: f32,
}

impl Zones {
    pub fn of(camera: &CameraConfig) -> Self {
        let outlines = |kind| {
            let zones = camera.zones.iter().filter(move |zone| zone.kind == kind);
            zones.map(|zone| zone.points.iter().map(|point| point.map(|v| v as f32)).collect()).collect()
        };
        Self {
            watch: outlines(ZoneKind::Watch),
            ignore: outlines(ZoneKind::Ignore),
            min_width: camera.min_plate_width as f32,
        }
    }

    /// Why this plate of a picture of `size` pixels does not count; `None` where it does.
    pub fn excludes(&self, plate: &Quad, size: (f32, f32)) -> Option<Excluded> {
        if size.0 <= 0.0 || size.1 <= 0.0 {
            return None;
        }
        self.place(plate.center(), size)
            .or_else(|| (plate.width() < self.min_width * size.0).then_some(Excluded::TooSmall))
    }

    /// As [`Self::excludes`] for a first, coarse sight: only where the corners and the center agree, because the plate
    /// may turn out to lie a little aside. Its width says nothing yet.
    pub fn excludes_surely(&self, bounds: &Rect, size: (f32, f32)) -> Option<Excluded> {
        if size.0 <= 0.0 || size.1 <= 0.0 {
            return None;
        }
        let corners = Quad::from_rect(bounds).0;
        if corners.into_iter().any(|corner| self.place(corner, size).is_none()) {
            return None;
        }
        self.place(bounds.center(), size)
    }

    /// Which pixels of a picture of `width` x `height` count, row by row; `None` when all do.
    pub fn mask(&self, width: usize, height: usize) -> Option<Vec<bool>> {
        if self.watch.is_empty() && self.ignore.is_empty() {
            return None;
        }
        let size = (width as f32, height as f32);
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| [x as f32 + 0.5, y as f32 + 0.5]));
        Some(pixels.map(|at| self.place(at, size).is_none()).collect())
    }

    fn place(&self, [x, y]: [f32; 2], (width, height): (f32, f32)) -> Option<Excluded> {
        let at = [x / width, y / height];
        if !self.watch.is_empty() && !self.watch.iter().any(|outline| encloses(outline, at)) {
            return Some(Excluded::OutsideZones);
        }
        self.ignore.iter().any(|outline| encloses(outline, at)).then_some(Excluded::InIgnoreZone)
    }
}

/// Even-odd rule: a ray to the right crosses the outline an odd number of times.
fn encloses(outline: &[[f32; 2]], [x, y]: [f32; 2]) -> bool {
    let mut inside = false;
    let mut before = outline.last();
    for corner in outline {
        if let Some([px, py]) = before.copied() {
            let [cx, cy] = *corner;
            if (cy > y) != (py > y) && x < (px - cx) * (y - cy) / (py - cy) + cx {
                inside = !inside;
            }
        }
        before = Some(corner);
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ZoneConfig;

    const SIZE: (f32, f32) = (1000.0, 500.0);

    fn zones(min_plate_width: f64, outlines: &[(ZoneKind, &[[f64; 2]])]) -> Zones {
        let zone = |(kind, points): &(ZoneKind, &[[f64; 2]])| ZoneConfig {
            name: String::new(),
            kind: *kind,
            points: points.to_vec(),
        };
        let zones = outlines.iter().map(zone).collect();
        Zones::of(&CameraConfig { min_plate_width, zones, ..CameraConfig::default() })
    }

    fn plate(x: f32, y: f32) -> Quad {
        Quad::from_rect(&Rect::new(x - 40.0, y - 15.0, x + 40.0, y + 15.0))
    }

    /// Left half of the picture.
    const LEFT: &[[f64; 2]] = &[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]];
    /// Not convex: a U whose notch opens upwards.
    const U: &[[f64; 2]] =
        &[[0.0, 0.0], [0.3, 0.0], [0.3, 0.6], [0.7, 0.6], [0.7, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];

    #[test]
    fn without_zones_everything_counts() {
        let all = Zones::default();
        assert_eq!(all.excludes(&plate(5.0, 5.0), SIZE), None);
        assert_eq!(all.mask(160, 90), None);
    }

    #[test]
    fn the_center_decides() {
        let left = zones(0.0, &[(ZoneKind::Watch, LEFT)]);
        assert_eq!(left.excludes(&plate(499.0, 250.0), SIZE), None);
        assert_eq!(left.excludes(&plate(501.0, 250.0), SIZE), Some(Excluded::OutsideZones));
        let u = zones(0.0, &[(ZoneKind::Watch, U)]);
        assert_eq!(u.excludes(&plate(500.0, 100.0), SIZE), Some(Excluded::OutsideZones), "in the notch");
        assert_eq!(u.excludes(&plate(500.0, 400.0), SIZE), None);
        let both = zones(0.0, &[(ZoneKind::Watch, LEFT), (ZoneKind::Ignore, U)]);
        assert_eq!(both.excludes(&plate(400.0, 400.0), SIZE), Some(Excluded::InIgnoreZone));
        assert_eq!(both.excludes(&plate(400.0, 100.0), SIZE), None);
        let two = zones(0.0, &[(ZoneKind::Watch, LEFT), (ZoneKind::Watch, U)]);
        assert_eq!(two.excludes(&plate(900.0, 100.0), SIZE), None, "in one of two");
    }

    #[test]
    fn small_plates_are_left_out_where_that_is_asked_for() {
        let wide = zones(0.1, &[]);
        assert_eq!(wide.excludes(&plate(500.0, 250.0), SIZE), Some(Excluded::TooSmall));
        assert_eq!(wide.excludes(&plate(500.0, 250.0), (799.0, 500.0)), None);
        assert_eq!(wide.mask(160, 90), None, "motion has no width");
    }

    #[test]
    fn a_first_sight_across_the_border_is_not_excluded_yet() {
        let left = zones(0.0, &[(ZoneKind::Watch, LEFT)]);
        let bounds = |x: f32| plate(x, 250.0).bounds();
        assert_eq!(left.excludes_surely(&bounds(530.0), SIZE), None);
        assert_eq!(left.excludes_surely(&bounds(560.0), SIZE), Some(Excluded::OutsideZones));
    }

    #[test]
    fn the_mask_covers_what_the_zones_say() {
        let mask = zones(0.0, &[(ZoneKind::Watch, LEFT)]).mask(160, 90).unwrap();
        assert_eq!(mask.len(), 160 * 90);
        assert!(mask.iter().enumerate().all(|(i, counts)| *counts == (i % 160 < 80)));
    }

    #[test]
    fn outlines_from_outside_never_panic() {
        for points in [&[][..], &[[0.5, 0.5]], &[[0.5, 0.5]; 4], &[[f64::NAN, 0.1], [0.2, 0.3], [0.4, f64::INFINITY]]] {
            let zones = zones(f64::NAN, &[(ZoneKind::Watch, points), (ZoneKind::Ignore, points)]);
            assert_eq!(zones.excludes(&plate(10.0, 10.0), SIZE), Some(Excluded::OutsideZones), "{points:?}");
            assert_eq!(zones.excludes(&plate(10.0, 10.0), (0.0, 0.0)), None);
        }
    }
}
