//! Pure. A plate made upright from its four corners: the reader's input, the same as in training.

use super::geometry::{Homography, Quad};
use super::picture::{Region, RgbView};

/// Sampled at this multiple of the output and averaged: plates up to four times the output's width do not alias.
const OVERSAMPLE: usize = 2;

/// Size of the upright plate and what is kept around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upright {
    pub width: usize,
    pub height: usize,
    /// Shares of the plate's width and height on each side.
    pub margin_x: f32,
    pub margin_y: f32,
}

impl Upright {
    /// The pixels of a picture that [`rectify`] reads for this plate; `None` when it lies outside.
    pub fn region(&self, quad: &Quad, width: usize, height: usize) -> Option<Region> {
        let map = Homography::unit_square_to(quad);
        let (mx, my) = (self.margin_x, self.margin_y);
        let corners =
            [(-mx, -my), (1.0 + mx, -my), (1.0 + mx, 1.0 + my), (-mx, 1.0 + my)].map(|(u, v)| map.apply(u, v));
        let bounds = Quad(corners).bounds();
        if !bounds.to_array().iter().all(|v| v.is_finite()) {
            return None;
        }
        let (x1, y1) = (bounds.x1.floor() as i64 - 1, bounds.y1.floor() as i64 - 1);
        let (x2, y2) = (bounds.x2.ceil() as i64 + 2, bounds.y2.ceil() as i64 + 2);
        Region::clip(x1, y1, x2, y2, width, height)
    }
}

/// Writes the plate, `upright.width` x `upright.height` RGB, into `out` (exactly that many bytes). `quad` is in
/// pixels of `source`; beyond its edge the edge pixel is repeated.
pub fn rectify(source: RgbView<'_>, quad: &Quad, upright: &Upright, out: &mut [u8]) {
    let map = Homography::unit_square_to(quad);
    let (across, down) = (upright.width * OVERSAMPLE, upright.height * OVERSAMPLE);
    let step_u = (1.0 + 2.0 * upright.margin_x) / across as f32;
    let step_v = (1.0 + 2.0 * upright.margin_y) / down as f32;
    let mut sums = vec![[0.0_f32; 3]; upright.width];
    for y in 0..upright.height {
        sums.fill([0.0; 3]);
        for sub in 0..OVERSAMPLE {
            let v = (y * OVERSAMPLE + sub) as f32 * step_v + step_v / 2.0 - upright.margin_y;
            for x in 0..across {
                let u = x as f32 * step_u + step_u / 2.0 - upright.margin_x;
                let [sx, sy] = map.apply(u, v);
                let pixel = sample(source, sx - 0.5, sy - 0.5);
                let sum = &mut sums[x / OVERSAMPLE];
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += value;
                }
            }
        }
        let share = 1.0 / (OVERSAMPLE * OVERSAMPLE) as f32;
        let row = &mut out[y * upright.width * 3..(y + 1) * upright.width * 3];
        for (bytes, sum) in row.chunks_exact_mut(3).zip(&sums) {
            for (byte, value) in bytes.iter_mut().zip(sum) {
                *byte = (value * share + 0.5) as u8;
            }
        }
    }
}

/// Bilinear, about pixel centers, edges repeated.
fn sample(source: RgbView<'_>, x: f32, y: f32) -> [f32; 3] {
    let (x, y) = (x.clamp(0.0, (source.width - 1) as f32), y.clamp(0.0, (source.height - 1) as f32));
    let (x0, y0) = (x as usize, y as usize);
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let right = if x0 + 1 < source.width { 3 } else { 0 };
    let below = if y0 + 1 < source.height { source.width * 3 } else { 0 };
    let at = (y0 * source.width + x0) * 3;
    let upper = &source.data[at..];
    let lower = &source.data[at + below..];
    std::array::from_fn(|c| {
        let top = f32::from(upper[c]) + fx * (f32::from(upper[c + right]) - f32::from(upper[c]));
        let bottom = f32::from(lower[c]) + fx * (f32::from(lower[c + right]) - f32::from(lower[c]));
        top + fy * (bottom - top)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpr::geometry::Rect;

    const UPRIGHT: Upright = Upright { width: 128, height: 64, margin_x: 0.04, margin_y: 0.08 };

    /// A picture whose red is x and whose green is y.
    fn ramp(width: usize, height: usize) -> Vec<u8> {
        (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 7]).collect()
    }

    #[test]
    fn corners_and_margins_land_where_they_should() {
        let data = ramp(240, 120);
        let source = RgbView { data: &data, width: 240, height: 120 };
        let quad = Quad::from_rect(&Rect::new(40.0, 30.0, 140.0, 70.0));
        let mut out = vec![0; 128 * 64 * 3];
        rectify(source, &quad, &UPRIGHT, &mut out);
        // With 4 % of 100 px around it the output spans x from 36 to 144, and y from 26.8 to 73.2.
        let at = |x: usize, y: usize| [out[(y * 128 + x) * 3], out[(y * 128 + x) * 3 + 1]];
        assert!(at(0, 0)[0].abs_diff(36) <= 1 && at(0, 0)[1].abs_diff(27) <= 1, "{:?}", at(0, 0));
        assert!(at(127, 63)[0].abs_diff(143) <= 1 && at(127, 63)[1].abs_diff(72) <= 1, "{:?}", at(127, 63));
        assert!(at(64, 32)[0].abs_diff(90) <= 1 && at(64, 32)[1].abs_diff(50) <= 1, "{:?}", at(64, 32));
    }

    #[test]
    fn a_slanted_plate_reads_along_its_own_rows() {
        let data = ramp(240, 120);
        let source = RgbView { data: &data, width: 240, height: 120 };
        let quad = Quad([[40.0, 20.0], [140.0, 50.0], [135.0, 90.0], [35.0, 60.0]]);
        let mut out = vec![0; 128 * 64 * 3];
        rectify(source, &quad, &Upright { margin_x: 0.0, margin_y: 0.0, ..UPRIGHT }, &mut out);
        assert!(out[1].abs_diff(20) <= 1, "starts at the upper left corner");
        assert!(out[127 * 3 + 1].abs_diff(50) <= 1, "ends at the upper right one");
    }

    #[test]
    fn plates_at_the_border_repeat_it_and_regions_stay_inside() {
        let data = ramp(60, 40);
        let source = RgbView { data: &data, width: 60, height: 40 };
        let quad = Quad::from_rect(&Rect::new(-10.0, -5.0, 30.0, 15.0));
        let mut out = vec![0; 128 * 64 * 3];
        rectify(source, &quad, &UPRIGHT, &mut out);
        assert_eq!(out[..3], [0, 0, 7]);
        assert_eq!(UPRIGHT.region(&quad, 60, 40), Some(Region { x: 0, y: 0, width: 34, height: 19 }));
        let far = Quad::from_rect(&Rect::new(500.0, 5.0, 540.0, 15.0));
        assert_eq!(UPRIGHT.region(&far, 60, 40), None);
    }
}
