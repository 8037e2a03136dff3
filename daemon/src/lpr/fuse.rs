//! Pure. Many looks at one plate become one reading: a weighted sum of log-probabilities per slot.
//!
//! Frames of one passage share blur, dirt and angle, so they are not independent: `n` looks count as `sqrt(n)` of
//! their weighted mean. Dividing the sum by the root of the squared weights does exactly that, with `n` the effective
//! number of looks; one look stays as it is, ten agreeing looks are surer but never absurdly sure.

use std::sync::Arc;

use super::grammar::{LayoutBelief, Slots};

/// No single look may veto a character: its probability counts as at least this.
const FLOOR: f32 = 1e-4;

/// Plate width from which more pixels no longer help the reader: its input is 128 wide.
const FULL_WIDTH_PX: f32 = 110.0;

/// How much one look counts, from 0.02 to 1.
///
/// `width_px`: plate width in the picture; `sharpness`: [`sharpness`] of the rectified plate; `score`: the
/// detector's. Size goes in squared: half the width is a quarter of the pixels.
pub fn weight(width_px: f32, sharpness: f32, score: f32) -> f32 {
    let size = (width_px / FULL_WIDTH_PX).clamp(0.1, 1.0);
    let sharp = (sharpness / 0.12).clamp(0.25, 1.0);
    (size * size * sharp * score.clamp(0.1, 1.0)).clamp(0.02, 1.0)
}

/// Edge strength of an upright RGB plate relative to its own contrast, about 0.03 (smeared) to 0.3 (crisp).
/// Only horizontal steps count: characters are vertical strokes, and motion blurs sideways most.
pub fn sharpness(rgb: &[u8], width: usize) -> f32 {
    if width < 2 || rgb.len() < width * 3 {
        return 0.0;
    }
    let (mut least, mut most, mut steps, mut count) = (255_u8, 0_u8, 0_u64, 0_u64);
    for row in rgb.chunks_exact(width * 3) {
        let mut before = row[1];
        for pixel in row[3..].chunks_exact(3) {
            // Green stands for luma: it carries most of it and costs nothing to get.
            steps += u64::from(pixel[1].abs_diff(before));
            count += 1;
            before = pixel[1];
            least = least.min(before);
            most = most.max(before);
        }
    }
    let contrast = f32::from(most.saturating_sub(least)).max(16.0);
    steps as f32 / count.max(1) as f32 / contrast
}

/// One look at a plate.
#[derive(Clone, Debug)]
pub struct Reading {
    pub slots: Slots,
    pub layout: Option<Classes>,
    /// Private, commercial, official and so on, as the plate's colors say.
    pub category: Option<Classes>,
}

/// Probabilities over classes that the manifest names: the layouts or the categories.
#[derive(Clone, Debug)]
pub struct Classes {
    pub names: Arc<[String]>,
    pub probabilities: Vec<f32>,
}

impl Classes {
    /// The class that is likelier than all others together.
    pub fn sure(&self) -> Option<&str> {
        let (name, p) = self.names.iter().zip(&self.probabilities).max_by(|a, b| a.1.total_cmp(b.1))?;
        (*p > 0.5).then_some(name.as_str())
    }

    /// What layouts mean for the grammar.
    pub fn belief(&self) -> LayoutBelief {
        self.names.iter().zip(&self.probabilities).fold(LayoutBelief::default(), |mut belief, (name, p)| {
            let p = f64::from(*p);
            match name.to_ascii_lowercase().as_str() {
                n if n.starts_with("br-old") => belief.old += p,
                n if n.starts_with("br-mercosul") => belief.mercosul += p,
                // Models that know countries do not know which of the two it is.
                "br" | "brazil" | "brasil" => {
                    belief.old += p / 2.0;
                    belief.mercosul += p / 2.0;
                }
                name => {
                    belief.foreign += p;
                    if matches!(name, "us" | "usa" | "united states") {
                        belief.american += p;
                    }
                }
            }
            belief
        })
    }
}

/// Running sum over the looks of one passage.
#[derive(Clone, Debug, Default)]
pub struct Fusion {
    alphabet: Option<Arc<[char]>>,
    log_slots: Vec<f32>,
    layout: ClassSum,
    category: ClassSum,
    /// Sum of the squared weights.
    squares: f32,
    reads: u32,
}

impl Fusion {
    /// Views of the same pixels count as one look, however many they are: they share everything but the cut.
    pub fn of_views(views: &[&Reading]) -> Option<Reading> {
        let mut sum = Self::default();
        for view in views {
            sum.add(view, 1.0);
        }
        sum.squares = (views.len() * views.len()) as f32;
        sum.reading()
    }

    pub fn reads(&self) -> u32 {
        self.reads
    }

    /// Adds one look. A look of another shape than the first cannot be summed (the models changed) and is ignored.
    pub fn add(&mut self, reading: &Reading, weight: f32) {
        let values = reading.slots.values();
        if self.alphabet.is_none() {
            self.alphabet = Some(Arc::clone(reading.slots.alphabet()));
            self.log_slots = vec![0.0; values.len()];
        }
        if self.log_slots.len() != values.len() || self.alphabet.as_ref() != Some(reading.slots.alphabet()) {
            return;
        }
        accumulate(&mut self.log_slots, values, weight);
        self.layout.add(reading.layout.as_ref(), weight);
        self.category.add(reading.category.as_ref(), weight);
        self.squares += weight * weight;
        self.reads += 1;
    }

    /// Takes over the looks of another part of the same passage.
    pub fn absorb(&mut self, other: &Self) {
        if self.alphabet.is_none() {
            *self = other.clone();
            return;
        }
        if self.alphabet != other.alphabet || self.log_slots.len() != other.log_slots.len() {
            return;
        }
        self.log_slots.iter_mut().zip(&other.log_slots).for_each(|(a, b)| *a += b);
        self.layout.absorb(&other.layout);
        self.category.absorb(&other.category);
        self.squares += other.squares;
        self.reads += other.reads;
    }

    /// The fused look; `None` before the first.
    pub fn reading(&self) -> Option<Reading> {
        let alphabet = self.alphabet.as_ref()?;
        let temper = self.squares.max(1e-12).sqrt();
        let mut slots = self.log_slots.clone();
        slots.chunks_exact_mut(alphabet.len()).for_each(|slot| softmax(slot, temper));
        let slots = Slots::new(Arc::clone(alphabet), slots)?;
        Some(Reading { slots, layout: self.layout.classes(temper), category: self.category.classes(temper) })
    }
}

/// Running sum of one classification; a model without it adds nothing.
#[derive(Clone, Debug, Default)]
struct ClassSum {
    names: Option<Arc<[String]>>,
    logs: Vec<f32>,
}

impl ClassSum {
    fn add(&mut self, classes: Option<&Classes>, weight: f32) {
        let Some(classes) = classes else { return };
        if self.names.is_none() {
            self.names = Some(Arc::clone(&classes.names));
            self.logs = vec![0.0; classes.probabilities.len()];
        }
        if self.logs.len() == classes.probabilities.len() {
            accumulate(&mut self.logs, &classes.probabilities, weight);
        }
    }

    fn absorb(&mut self, other: &Self) {
        if self.logs.len() == other.logs.len() {
            self.logs.iter_mut().zip(&other.logs).for_each(|(a, b)| *a += b);
        }
    }

    fn classes(&self, temper: f32) -> Option<Classes> {
        let names = Arc::clone(self.names.as_ref()?);
        let mut probabilities = self.logs.clone();
        softmax(&mut probabilities, temper);
        Some(Classes { names, probabilities })
    }
}

fn accumulate(sum: &mut [f32], probabilities: &[f32], weight: f32) {
    for (sum, p) in sum.iter_mut().zip(probabilities) {
        *sum += weight * p.max(FLOOR).ln();
    }
}

fn softmax(logs: &mut [f32], divide_by: f32) {
    let most = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for v in logs.iter_mut() {
        *v = ((*v - most) / divide_by).exp();
        total += *v;
    }
    for v in logs.iter_mut() {
        *v /= total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str, sure: f32) -> Reading {
        let alphabet: Arc<[char]> = "ABC_".chars().collect::<Vec<_>>().into();
        let rest = (1.0 - sure) / 3.0;
        let values =
            text.chars().flat_map(|c| ['A', 'B', 'C', '_'].map(|a| if a == c { sure } else { rest })).collect();
        Reading { slots: Slots::new(alphabet, values).expect("well formed"), layout: None, category: None }
    }

    #[test]
    fn one_look_fuses_to_itself() {
        for weight in [0.05, 1.0] {
            let mut fusion = Fusion::default();
            assert!(fusion.reading().is_none());
            fusion.add(&look("AB", 0.8), weight);
            let (text, p) = fusion.reading().expect("one look").slots.greedy();
            assert_eq!(text, "AB");
            assert!((p - 0.64).abs() < 1e-3, "{p}");
        }
    }

    #[test]
    fn views_of_the_same_pixels_make_one_look() {
        let both = |a, b| Fusion::of_views(&[&look("AB", a), &look("AB", b)]).expect("two views").slots.greedy();
        let (text, p) = both(0.8, 0.8);
        assert_eq!(text, "AB");
        assert!((p - 0.64).abs() < 1e-3, "{p}");
        assert!((0.25..0.81).contains(&both(0.5, 0.9).1), "between the two");
        let either = Fusion::of_views(&[&look("AB", 0.5), &look("AC", 0.9)]).expect("two views");
        assert_eq!(either.slots.greedy().0, "AC", "the surer one decides");
    }

    #[test]
    fn sharp_looks_outvote_blurred_ones() {
        let mut fusion = Fusion::default();
        for _ in 0..3 {
            fusion.add(&look("AC", 0.6), 0.1);
        }
        fusion.add(&look("AB", 0.9), 0.9);
        assert_eq!(fusion.reading().expect("looks").slots.greedy().0, "AB");
        assert_eq!(fusion.reads(), 4);
    }

    #[test]
    fn agreement_makes_surer_but_not_certain() {
        let mut fusion = Fusion::default();
        let mut before = 0.0;
        for n in 0..8 {
            fusion.add(&look("A", 0.7), 0.8);
            let p = fusion.reading().expect("looks").slots.greedy().1;
            assert!(p >= before - 1e-6, "look {n}: {p} after {before}");
            before = p;
        }
        assert!(before > 0.8 && before < 0.9999, "{before}");
    }

    #[test]
    fn a_certain_wrong_look_is_no_veto() {
        let mut fusion = Fusion::default();
        (0..5).for_each(|_| fusion.add(&look("A", 0.9), 0.5));
        fusion.add(&look("B", 1.0), 0.5);
        assert_eq!(fusion.reading().expect("looks").slots.greedy().0, "A");
    }

    #[test]
    fn categories_are_voted_on_and_named_when_sure() {
        let names: Arc<[String]> = ["private", "commercial", "other"].map(str::to_owned).into();
        let with = |p: [f32; 3]| Reading {
            category: Some(Classes { names: Arc::clone(&names), probabilities: p.to_vec() }),
            ..look("AB", 0.8)
        };
        let mut fusion = Fusion::default();
        fusion.add(&with([0.45, 0.4, 0.15]), 0.8);
        assert_eq!(fusion.reading().expect("a look").category.expect("categories").sure(), None, "no majority");
        fusion.add(&with([0.1, 0.8, 0.1]), 0.8);
        let mut other = Fusion::default();
        other.add(&with([0.2, 0.7, 0.1]), 0.8);
        fusion.absorb(&other);
        let fused = fusion.reading().expect("looks").category.expect("categories");
        assert_eq!(fused.sure(), Some("commercial"), "{fused:?}");
    }

    #[test]
    fn weights_prefer_large_sharp_sure_plates() {
        assert!(weight(120.0, 0.2, 0.9) > weight(50.0, 0.2, 0.9));
        assert!(weight(120.0, 0.2, 0.9) > weight(120.0, 0.04, 0.9));
        assert!(weight(120.0, 0.2, 0.9) > weight(120.0, 0.2, 0.3));
        assert!(weight(0.0, 0.0, 0.0) > 0.0);
    }

    #[test]
    fn blur_lowers_sharpness() {
        let row = |f: &dyn Fn(usize) -> u8| (0..64).flat_map(|x| [f(x); 3]).collect::<Vec<u8>>();
        let crisp = row(&|x| if x / 4 % 2 == 0 { 30 } else { 220 });
        let smeared = row(&|x| (125.0 + 95.0 * (x as f32 / 10.0).sin()) as u8);
        assert!(sharpness(&crisp, 64) > 1.5 * sharpness(&smeared, 64));
        assert!(sharpness(&[], 0).abs() < f32::EPSILON);
    }
}
