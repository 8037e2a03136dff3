//! Pure. Which part of a picture goes where in a detector's input, and back.

use super::geometry::{Quad, Rect};
use super::manifest::SecondLook;
use super::picture::Region;

/// A part of a picture, scaled and placed in an input of fixed size; what is not covered is gray.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Pixels of the picture.
    pub region: Region,
    /// Size of the region in the input.
    pub scaled: (usize, usize),
    /// Where it begins in the input.
    pub offset: (usize, usize),
    pub input: (usize, usize),
}

impl Window {
    /// The whole picture at about the area of `size`, its own aspect, sides rounded to 32 pixels, enlarged at most
    /// `max_upscale` times.
    pub fn whole(width: usize, height: usize, size: (usize, usize), max_upscale: f32) -> Self {
        let (w, h) = (width.max(1) as f64, height.max(1) as f64);
        let scale = f64::from(max_upscale).min(((size.0 * size.1) as f64 / (w * h)).sqrt());
        let side = |v: f64| (((v * scale / 32.0).round_ties_even() as usize) * 32).clamp(32, 4096);
        Self::fit(width, height, (side(w), side(h)), false)
    }

    /// The whole picture in a given input, in its corner or in the middle.
    pub fn fit(width: usize, height: usize, input: (usize, usize), centered: bool) -> Self {
        let scale = (input.0 as f64 / width as f64).min(input.1 as f64 / height as f64);
        let size = |v: usize, limit: usize| ((v as f64 * scale).round_ties_even() as usize).clamp(1, limit);
        let scaled = (size(width, input.0), size(height, input.1));
        let middle = |outer: usize, inner: usize| if centered { (outer - inner) / 2 } else { 0 };
        Self {
            region: Region { x: 0, y: 0, width, height },
            scaled,
            offset: (middle(input.0, scaled.0), middle(input.1, scaled.1)),
            input,
        }
    }

    /// The surroundings of a candidate at the plate size that the detector measures best; `None` outside the picture.
    pub fn around(plate: &Rect, look: &SecondLook, width: usize, height: usize) -> Option<Self> {
        let span = plate.width().max(look.aspect * plate.height()).max(4.0);
        let scale = f64::from(look.plate_width / span).min(f64::from(look.max_upscale));
        let [cx, cy] = plate.center().map(f64::from);
        let (out_w, out_h) = (look.width as f64, look.height as f64);
        let (x0, y0) = (cx - out_w / 2.0 / scale, cy - out_h / 2.0 / scale);
        let (x1, y1) = (x0.floor() as i64, y0.floor() as i64);
        let (x2, y2) = ((x0 + out_w / scale).ceil() as i64, (y0 + out_h / scale).ceil() as i64);
        let region = Region::clip(x1, y1, x2, y2, width, height)?;
        let offset = |from: usize, to: i64| ((from as i64 - to) as f64 * scale).round_ties_even() as usize;
        let offset = (offset(region.x, x1).min(look.width - 1), offset(region.y, y1).min(look.height - 1));
        let size = |v: usize| ((v as f64 * scale).round_ties_even() as usize).max(1);
        // Rounding may put a pixel or two beyond the input; `to_planes` cuts them.
        let scaled = (size(region.width), size(region.height));
        Some(Self { region, scaled, offset, input: (look.width, look.height) })
    }

    /// From pixels of the input to pixels of the picture.
    pub fn map_back(&self, quad: &Quad) -> Quad {
        let sx = self.region.width as f32 / self.scaled.0 as f32;
        let sy = self.region.height as f32 / self.scaled.1 as f32;
        quad.map(|[x, y]| {
            [
                (x - self.offset.0 as f32) * sx + self.region.x as f32,
                (y - self.offset.1 as f32) * sy + self.region.y as f32,
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpr::geometry::distance;

    const LOOK: SecondLook =
        SecondLook { width: 256, height: 160, plate_width: 104.0, aspect: 2.0, max_upscale: 4.0, iou: 0.2 };

    #[test]
    fn a_1080p_picture_becomes_672_by_384() {
        let size = (640, 384);
        let window = Window::whole(1920, 1080, size, 2.0);
        assert_eq!((window.input, window.scaled, window.offset), ((672, 384), (672, 378), (0, 0)));
        assert_eq!(Window::whole(1920, 1080, (512, 288), 2.0).input, (512, 288));
        assert_eq!(Window::whole(64, 64, size, 2.0).input, (128, 128), "enlarged twice at most");
        assert_eq!(Window::whole(1, 100_000, size, 2.0).input.0, 32, "absurd shapes stay bounded");
    }

    #[test]
    fn foreign_inputs_are_centered() {
        let window = Window::fit(1920, 1080, (384, 384), true);
        assert_eq!((window.scaled, window.offset), ((384, 216), (0, 84)));
        let corner = window.map_back(&Quad::from_rect(&Rect::new(0.0, 84.0, 384.0, 300.0)));
        assert!(distance(corner.0[2], [1920.0, 1080.0]) < 1e-3);
    }

    #[test]
    fn a_second_look_is_centered_on_the_plate_and_maps_back() {
        for plate in [Rect::new(900.0, 500.0, 960.0, 520.0), Rect::new(2.0, 3.0, 80.0, 60.0)] {
            let window = Window::around(&plate, &LOOK, 1920, 1080).unwrap();
            let span = plate.width().max(2.0 * plate.height());
            let scale = window.scaled.0 as f32 / window.region.width as f32;
            assert!((scale * span - 104.0).abs() < 1.5, "{window:?}");
            let [cx, cy] = plate.center();
            let there = Quad::from_rect(&Rect::new(120.0, 70.0, 136.0, 90.0));
            assert!(distance(window.map_back(&there).center(), [cx, cy]) < 1.0, "{window:?}");
        }
        assert_eq!(Window::around(&Rect::new(-900.0, 0.0, -800.0, 30.0), &LOOK, 640, 480), None);
    }
}
