//! Pure. What is known of North American plates as a whole: 1 is stamped much like I, and series have forms. States issue
//! more of them than anybody lists, so that a known form is favored and an unknown one never excluded.

use super::grammar::PAD;

/// Presses stamp 1 and I much alike, and most series leave I out: on the plates of the public American set it is six
/// times as rare as 1, and mostly in words. So much of an I counts; found on held-out plates, where more and less do not
/// matter, and no right I is lost.
const I_WEIGHT: f64 = 0.25;

/// Forms of common series, L a letter and N a digit.
const FORMS: &[&str] = &[
    "LLLNNNN", "NLLLNNN", "LLNLNNN", "LLLNNN", "NNNLLL", "LLNNNN", "NNNNLL", "LLNLNL", "NLLNNN", "NNLLNN", "LNNLLL",
    "LLNNNL", "LLLNNL", "LLLLNN", "NNLLLL", "LNNLNL", "LLNNNNN", "LNNNNNN", "NLLNNNN", "LNNNNN", "NNNNNN", "NNNNNNN",
    "NNNNNLN", "NNNNN", "NNNNL", "NNNLL", "LNNNN",
];

/// A text of such a form is this much likelier than the slots say; from 3 to 8 the held-out plates and the public set are
/// read alike.
const FORM_GAIN: f64 = 3.0;

/// What a plate may show in each slot, with probabilities.
type Options = [Vec<(char, f64)>];

/// The knowledge in force on a plate that is American with the probability `share`.
#[derive(Clone, Copy, Debug)]
pub struct American {
    share: f64,
}

impl American {
    pub fn new(share: f64) -> Self {
        Self { share: share.clamp(0.0, 1.0) }
    }

    /// Takes from each I what belongs to a 1.
    pub fn weigh(self, options: &mut Options) {
        for (_, p) in options.iter_mut().flatten().filter(|(c, _)| *c == 'I') {
            *p *= 1.0 - self.share * (1.0 - I_WEIGHT);
        }
    }

    /// How much likelier than the slots say `text` is.
    pub fn gain(self, text: &str) -> f64 {
        let is = |form: &&&str| form.len() == text.len() && form.bytes().zip(text.bytes()).all(|(k, c)| of_kind(k, c));
        if FORMS.iter().any(|form| is(&form)) { self.more() + 1.0 } else { 1.0 }
    }

    /// What all texts together gain.
    pub fn gained(self, options: &Options) -> f64 {
        let sum = |kind: u8| -> Vec<f64> {
            options.iter().map(|o| o.iter().filter(|(c, _)| of_kind(kind, *c as u8)).map(|o| o.1).sum()).collect()
        };
        let (letters, digits, pads) = (sum(b'L'), sum(b'N'), sum(PAD as u8));
        let mass = |form: &&str| -> f64 {
            let of = |(slot, pad): (usize, &f64)| match form.as_bytes().get(slot) {
                Some(b'L') => letters[slot],
                Some(_) => digits[slot],
                None => *pad,
            };
            if form.len() > options.len() { 0.0 } else { pads.iter().enumerate().map(of).product() }
        };
        self.more() * FORMS.iter().map(mass).sum::<f64>()
    }

    fn more(self) -> f64 {
        self.share * (FORM_GAIN - 1.0)
    }
}

fn of_kind(kind: u8, c: u8) -> bool {
    match kind {
        b'L' => c.is_ascii_uppercase(),
        b'N' => c.is_ascii_digit(),
        other => c == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_text_gains_is_what_all_gain() {
        let options: Vec<Vec<(char, f64)>> = "LNNNN"
            .chars()
            .map(|k| vec![('R', if k == 'L' { 0.7 } else { 0.2 }), ('1', if k == 'L' { 0.3 } else { 0.8 })])
            .chain([vec![(PAD, 0.9), ('1', 0.1)]])
            .collect();
        let american = American::new(0.6);
        let mut more = 0.0;
        // Every text of six characters of these, the last of which may be a pad.
        for bits in 0..1_u32 << options.len() {
            let picks: Vec<(char, f64)> =
                options.iter().enumerate().map(|(i, o)| o[(bits >> i & 1) as usize]).collect();
            let text: String = picks.iter().map(|p| p.0).filter(|c| *c != PAD).collect();
            more += (american.gain(&text) - 1.0) * picks.iter().map(|p| p.1).product::<f64>();
        }
        assert!((more - american.gained(&options)).abs() < 1e-9, "{more} {}", american.gained(&options));
        assert!(more > 0.3 && American::new(0.0).gained(&options) == 0.0);
    }

    #[test]
    fn forms_are_told_from_others() {
        let american = American::new(1.0);
        assert_eq!((american.gain("ABC1234"), american.gain("CJ1P5G")), (FORM_GAIN, FORM_GAIN));
        assert_eq!((american.gain("R8Z0503"), american.gain("LINUX"), american.gain("")), (1.0, 1.0, 1.0));
    }
}
