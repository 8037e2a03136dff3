//! Pure. Scaling of RGB pictures: area average where an axis shrinks, bilinear where it grows.
//!
//! The detector was trained on pictures scaled this way; point sampling would alias plates away.

use super::picture::RgbView;

/// For every output position the first source position and the weights from there on, which sum to 1.
struct Taps {
    starts: Vec<usize>,
    weights: Vec<f32>,
    each: usize,
}

impl Taps {
    fn new(from: usize, to: usize) -> Self {
        let ratio = from as f64 / to as f64;
        let each = if to <= from { ratio.ceil() as usize + 1 } else { 2 };
        let mut taps = Self { starts: Vec::with_capacity(to), weights: vec![0.0; each * to], each };
        for i in 0..to {
            let weights = &mut taps.weights[i * each..(i + 1) * each];
            if to <= from {
                // Output pixel i covers [begin, end) of the source, edge pixels in part.
                let (begin, end) = (i as f64 * ratio, ((i + 1) as f64 * ratio).min(from as f64));
                let start = begin as usize;
                for (k, weight) in weights.iter_mut().enumerate() {
                    let covered = end.min((start + k + 1) as f64) - begin.max((start + k) as f64);
                    *weight = (covered.max(0.0) / (end - begin)) as f32;
                }
                taps.starts.push(start);
            } else {
                let at = ((i as f64 + 0.5) * ratio - 0.5).clamp(0.0, (from - 1) as f64);
                let start = at as usize;
                weights[1] = (at - start as f64) as f32;
                weights[0] = 1.0 - weights[1];
                taps.starts.push(start);
            }
        }
        taps
    }

    fn of(&self, i: usize) -> (usize, &[f32]) {
        (self.starts[i], &self.weights[i * self.each..(i + 1) * self.each])
    }
}

/// Scales `source` to `width` x `height`; `out` is replaced. An empty source or size gives nothing.
pub fn resize(source: RgbView<'_>, width: usize, height: usize, out: &mut Vec<u8>) {
    out.clear();
    if source.width == 0 || source.height == 0 || width == 0 || height == 0 {
        return;
    }
    if (source.width, source.height) == (width, height) {
        out.extend_from_slice(source.data);
        return;
    }
    out.reserve(width * height * 3);
    let (across, down) = (Taps::new(source.width, width), Taps::new(source.height, height));
    // Neighbouring output rows share at most one or two source rows: two scaled ones are kept.
    let mut kept = [(usize::MAX, vec![0.0_f32; width * 3]), (usize::MAX, vec![0.0_f32; width * 3])];
    let mut sum = vec![0.0_f32; width * 3];
    for y in 0..height {
        let (start, weights) = down.of(y);
        sum.fill(0.0);
        for (k, weight) in weights.iter().enumerate() {
            let row = start + k;
            if *weight == 0.0 || row >= source.height {
                continue;
            }
            let slot = &mut kept[row % 2];
            if slot.0 != row {
                scale_row(&source.data[row * source.width * 3..(row + 1) * source.width * 3], &across, &mut slot.1);
                slot.0 = row;
            }
            for (sum, value) in sum.iter_mut().zip(&slot.1) {
                *sum += weight * value;
            }
        }
        out.extend(sum.iter().map(|v| (v + 0.5) as u8));
    }
}

fn scale_row(row: &[u8], across: &Taps, out: &mut [f32]) {
    for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
        let (start, weights) = across.of(x);
        let (mut r, mut g, mut b) = (0.0, 0.0, 0.0);
        for (source, weight) in row[start * 3..].chunks_exact(3).zip(weights) {
            r += weight * f32::from(source[0]);
            g += weight * f32::from(source[1]);
            b += weight * f32::from(source[2]);
        }
        pixel.copy_from_slice(&[r, g, b]);
    }
}

/// RGB bytes of `width` x `height` to planes of 0..1 floats at (`dx`, `dy`) of a network input of `input_width` x
/// `input_height`; the rest of the input becomes `gray`/255.
pub fn to_planes(
    rgb: RgbView<'_>,
    (dx, dy): (usize, usize),
    (input_width, input_height): (usize, usize),
    gray: u8,
    out: &mut [f32],
) {
    let plane = input_width * input_height;
    out.fill(f32::from(gray) / 255.0);
    let (width, height) = (rgb.width.min(input_width - dx), rgb.height.min(input_height - dy));
    for y in 0..height {
        let row = &rgb.data[y * rgb.width * 3..(y * rgb.width + width) * 3];
        let at = (y + dy) * input_width + dx;
        for (channel, begin) in [at, at + plane, at + 2 * plane].into_iter().enumerate() {
            for (value, pixel) in out[begin..begin + width].iter_mut().zip(row.chunks_exact(3)) {
                *value = f32::from(pixel[channel]) * (1.0 / 255.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, height: usize, f: impl Fn(usize, usize) -> u8) -> Vec<u8> {
        (0..width * height).flat_map(|i| [f(i % width, i / width); 3]).collect()
    }

    fn scaled(data: &[u8], (w, h): (usize, usize), (ow, oh): (usize, usize)) -> Vec<u8> {
        let mut out = Vec::new();
        resize(RgbView { data, width: w, height: h }, ow, oh, &mut out);
        out.iter().step_by(3).copied().collect()
    }

    #[test]
    fn shrinking_averages_areas() {
        let data = gray(4, 4, |x, y| (x * 10 + y * 40) as u8);
        assert_eq!(scaled(&data, (4, 4), (2, 2)), [25, 45, 105, 125]);
        // Three pixels into two: each output covers one and a half.
        let data = gray(3, 1, |x, _| [0, 90, 240][x]);
        assert_eq!(scaled(&data, (3, 1), (2, 1)), [30, 190]);
    }

    #[test]
    fn growing_is_bilinear_about_pixel_centers() {
        let data = gray(2, 1, |x, _| [0, 100][x]);
        assert_eq!(scaled(&data, (2, 1), (4, 1)), [0, 25, 75, 100]);
    }

    #[test]
    fn flat_pictures_stay_flat_at_odd_sizes() {
        for (from, to) in [((101, 57), (33, 19)), ((33, 19), (101, 57)), ((64, 1), (7, 5)), ((1, 1), (9, 9))] {
            let data = gray(from.0, from.1, |_, _| 77);
            assert!(scaled(&data, from, to).iter().all(|v| *v == 77), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn planes_are_padded_with_gray() {
        let data: Vec<u8> = vec![255, 0, 51, 255, 0, 51];
        let mut out = vec![0.0; 3 * 4 * 2];
        to_planes(RgbView { data: &data, width: 2, height: 1 }, (1, 1), (4, 2), 114, &mut out);
        let gray = 114.0 / 255.0;
        assert_eq!(out[..8], [gray, gray, gray, gray, gray, 1.0, 1.0, gray]);
        assert!((out[8 + 5]).abs() < f32::EPSILON && (out[16 + 5] - 0.2).abs() < 1e-6);
    }
}
