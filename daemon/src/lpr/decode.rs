//! Pure. What detectors put out, as plates in pixels of their input; and the removal of copies.

use super::geometry::{Quad, Rect};
use super::manifest::DetectorContract;
use super::session::Tensor;
use super::track::Observation;

/// Plates scored at least `least` in picture `index` of a batch, in pixels of the input.
///
/// Output shapes are checked when a model is loaded; what does not fit here is no plate.
pub fn decode(contract: DetectorContract, output: &Tensor, index: usize, least: f32) -> Vec<Observation> {
    let mut found = match (contract, output.shape.as_slice()) {
        (DetectorContract::GtvQuad, [_, anchors, 10]) => quads(batch(output, index, anchors * 10), least),
        (DetectorContract::YoloNms, [_, 7]) => rows(&output.data, 7)
            .filter(|r| r[0] as usize == index)
            .filter_map(|r| boxed(Rect::new(r[1], r[2], r[3], r[4]), r[6], least))
            .collect(),
        (DetectorContract::YoloNms, [_, count, 6]) => rows(batch(output, index, count * 6), 6)
            .filter_map(|r| boxed(Rect::new(r[0], r[1], r[2], r[3]), r[4], least))
            .collect(),
        (DetectorContract::YoloRaw, [_, a, b]) => raw(batch(output, index, a * b), *a, *b, least),
        _ => Vec::new(),
    };
    found.retain(|o| o.quad.is_plausible());
    found
}

fn batch(output: &Tensor, index: usize, size: usize) -> &[f32] {
    output.data.get(index * size..(index + 1) * size).unwrap_or_default()
}

fn rows(data: &[f32], width: usize) -> impl Iterator<Item = &[f32]> {
    data.chunks_exact(width)
}

fn quads(data: &[f32], least: f32) -> Vec<Observation> {
    rows(data, 10)
        .filter(|r| r[0] >= least)
        .map(|r| Observation {
            quad: Quad([[r[2], r[3]], [r[4], r[5]], [r[6], r[7]], [r[8], r[9]]]),
            score: r[0],
            two_rows: r[1],
        })
        .collect()
}

/// Boxes say nothing about rows; their shape does: one-row plates are wider than twice their height.
fn boxed(rect: Rect, score: f32, least: f32) -> Option<Observation> {
    let two_rows = if rect.width() < 1.9 * rect.height() { 0.7 } else { 0.1 };
    (score >= least && rect.width() > 0.0 && rect.height() > 0.0).then(|| Observation {
        quad: Quad::from_rect(&rect),
        score,
        two_rows,
    })
}

/// v8 and later: `[4+C, A]`, one row a value; v5: `[A, 5+C]`, one row an anchor, with an objectness. The axis with
/// the anchors is by far the longer one.
fn raw(data: &[f32], a: usize, b: usize, least: f32) -> Vec<Observation> {
    let (anchors, values, by_value) = if a < b { (b, a, true) } else { (a, b, false) };
    if values < 5 || data.len() < a * b {
        return Vec::new();
    }
    let at = |anchor: usize, value: usize| {
        if by_value { data[value * anchors + anchor] } else { data[anchor * values + value] }
    };
    // A transposed v8 export of one class has five values; v5 always has an objectness besides its classes.
    let objectness = !by_value && values > 5;
    let first_class = if objectness { 5 } else { 4 };
    (0..anchors)
        .filter_map(|anchor| {
            let class = (first_class..values).map(|v| at(anchor, v)).fold(f32::NEG_INFINITY, f32::max);
            let score = if objectness { class * at(anchor, 4) } else { class };
            if score < least {
                return None;
            }
            let (cx, cy, w, h) = (at(anchor, 0), at(anchor, 1), at(anchor, 2) / 2.0, at(anchor, 3) / 2.0);
            boxed(Rect::new(cx - w, cy - h, cx + w, cy + h), score, least)
        })
        .collect()
}

/// Greedy suppression on the bounding boxes of the corners: best score first, copies of a kept one go.
/// Only the best `most` take part: a broken model may fire everywhere.
pub fn suppress(mut found: Vec<Observation>, limit: f32, most: usize) -> Vec<Observation> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(most);
    let mut kept: Vec<(Rect, Observation)> = Vec::new();
    for observation in found {
        let bounds = observation.quad.bounds();
        if kept.iter().all(|(k, _)| k.iou(&bounds) <= limit) {
            kept.push((bounds, observation));
        }
    }
    kept.into_iter().map(|(_, o)| o).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn every_contract_finds_the_same_plate() {
        let want = Rect::new(100.0, 50.0, 160.0, 70.0);
        let quad = [0.9, 0.2, 100.0, 50.0, 160.0, 50.0, 160.0, 70.0, 100.0, 70.0];
        let dim = [0.1, 0.2, 0.0, 0.0, 60.0, 0.0, 60.0, 20.0, 0.0, 20.0];
        let mut v8 = vec![0.0; 5 * 9];
        for (i, v) in [130.0, 60.0, 60.0, 20.0, 0.9].into_iter().enumerate() {
            v8[i * 9 + 4] = v;
        }
        let mut v5 = vec![0.0; 9 * 6];
        v5[24..30].copy_from_slice(&[130.0, 60.0, 60.0, 20.0, 0.95, 0.95]);
        for (contract, output) in [
            (DetectorContract::GtvQuad, tensor(&[1, 2, 10], &[dim, quad].concat())),
            (DetectorContract::YoloNms, tensor(&[1, 7], &[0.0, 100.0, 50.0, 160.0, 70.0, 0.0, 0.9])),
            (DetectorContract::YoloNms, tensor(&[1, 1, 6], &[100.0, 50.0, 160.0, 70.0, 0.9, 0.0])),
            (DetectorContract::YoloRaw, tensor(&[1, 5, 9], &v8)),
            (DetectorContract::YoloRaw, tensor(&[1, 9, 6], &v5)),
        ] {
            let found = decode(contract, &output, 0, 0.5);
            assert_eq!(found.len(), 1, "{contract:?} {:?}", output.shape);
            assert!((found[0].score - 0.9).abs() < 0.01);
            assert!(found[0].quad.bounds().iou(&want) > 0.999, "{contract:?}");
        }
    }

    #[test]
    fn other_pictures_of_a_batch_and_nonsense_are_left_out() {
        let rows = [1.0, 100.0, 50.0, 160.0, 70.0, 0.0, 0.9, 0.0, 9.0, 9.0, 3.0, 3.0, 0.0, 0.9];
        let output = tensor(&[2, 7], &rows);
        assert!(decode(DetectorContract::YoloNms, &output, 0, 0.5).is_empty(), "a box inside out");
        assert_eq!(decode(DetectorContract::YoloNms, &output, 1, 0.5).len(), 1);
        assert!(decode(DetectorContract::GtvQuad, &tensor(&[1, 3, 10], &[0.9; 4]), 0, 0.5).is_empty(), "too short");
        assert!(decode(DetectorContract::YoloRaw, &tensor(&[4], &[0.0; 4]), 0, 0.5).is_empty());
        let nan = [0.9, 0.5, f32::NAN, 0.0, 60.0, 0.0, 60.0, 20.0, 0.0, 20.0];
        assert!(decode(DetectorContract::GtvQuad, &tensor(&[1, 1, 10], &nan), 0, 0.5).is_empty());
    }

    #[test]
    fn copies_go_and_neighbours_stay() {
        let at = |x: f32, score| boxed(Rect::new(x, 0.0, x + 60.0, 20.0), score, 0.0).unwrap();
        let kept = suppress(vec![at(0.0, 0.6), at(4.0, 0.9), at(70.0, 0.5)], 0.5, 256);
        assert_eq!(kept.iter().map(|o| o.score).collect::<Vec<_>>(), [0.9, 0.5]);
    }
}
