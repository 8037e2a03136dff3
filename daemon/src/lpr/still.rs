//! Plates in still images: `gtv-edge read`.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::error::LprError;
use super::grammar::Candidate;
use super::models::Models;
use super::passage::{layout_of, rank};
use super::picture::RgbView;
use super::precision::Precision;
use super::stats::Stats;
use crate::config::LprConfig;
use crate::media::{RgbImage, jpeg};

/// A text that is less likely than this is a guess and not reported: 14 of the 18 texts read off the 850 negatives, and
/// one of the 211 right ones of the benchmarks.
const CONFIDENCE_MIN: f64 = 0.1;

/// A plate in a still image, in its pixels.
#[derive(Clone, Debug, Serialize)]
pub struct StillPlate {
    pub text: String,
    /// x1, y1, x2, y2 around the corners.
    #[serde(rename = "box")]
    pub bounds: [f32; 4],
    /// Top left, top right, bottom right, bottom left.
    pub quad: [[f32; 2]; 4],
    /// Probability of the whole text.
    pub confidence: f64,
    pub layout: String,
    /// Private, commercial, official and so on, where the reader tells and is sure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    pub alternatives: Vec<StillAlternative>,
}

#[derive(Clone, Debug, Serialize)]
pub struct StillAlternative {
    pub text: String,
    pub p: f64,
}

/// The plates of a file.
#[derive(Clone, Debug, Default)]
pub struct StillRead {
    pub plates: Vec<StillPlate>,
    /// From the decoded picture to the texts.
    pub ms: f64,
}

/// Reads one image after another.
pub struct StillReader {
    models: Models,
    stats: Stats,
}

impl StillReader {
    /// `precision`: which of a model's files to load where there are two. On video the faster one is taken; a still
    /// image has one chance, and 32 bits read a little better.
    pub fn open(config: &LprConfig, precision: Precision) -> Result<Self, LprError> {
        // One image at a time has all cores to itself.
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let models = Models::open_sets(config, threads, 1, Some(precision))?.remove(0);
        Ok(Self { models, stats: Stats::default() })
    }

    /// A JPEG, PNG, BMP or WebP file.
    pub fn read_file(&mut self, path: &Path) -> Result<StillRead, LprError> {
        let image = jpeg::decode_file(path)
            .map_err(|e| LprError::Picture { what: path.display().to_string(), message: e.to_string() })?;
        let began = Instant::now();
        let plates = self.read(&image)?;
        Ok(StillRead { plates, ms: began.elapsed().as_secs_f64() * 1000.0 })
    }

    /// Best score first. Plates without a readable character, guesses, what the reader says is no plate, and what the
    /// detector hardly takes for one unless its text is sure, are left out.
    pub fn read(&mut self, image: &RgbImage) -> Result<Vec<StillPlate>, LprError> {
        let picture = RgbView::from(image);
        let found = self.models.detector.detect(&picture, &self.stats)?;
        let quads: Vec<_> = found.iter().map(|o| o.quad).collect();
        let reads = self.models.reader.read(&picture, &quads, &self.stats)?;
        let (threshold, weak_certain) = (self.models.detector.threshold(), self.models.reader.weak_certain());
        let plates = found.iter().zip(reads).filter_map(|(observation, read)| {
            let reading = read.filter(|r| r.readable)?.reading;
            let mut ranked = rank(&reading).into_iter();
            let least = if observation.score < threshold { weak_certain } else { CONFIDENCE_MIN };
            let Candidate { text, p } = ranked.next().filter(|c| c.p >= least)?;
            Some(StillPlate {
                layout: layout_of(&reading, &text, observation.two_rows),
                category: reading.category.as_ref().and_then(|c| c.sure()).map(str::to_owned),
                text,
                bounds: observation.quad.bounds().to_array(),
                quad: observation.quad.0,
                confidence: p,
                alternatives: ranked.map(|c| StillAlternative { text: c.text, p: c.p }).collect(),
            })
        });
        Ok(plates.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpr::fixtures::{config, manifest, street};

    #[test]
    fn plates_come_with_their_category_and_guesses_do_not_come() {
        let mut reader = StillReader::open(&config("full.toml"), Precision::Int8).unwrap();
        let mut image = street(640, 384, &[(64, 64, "ABC1D23"), (384, 192, "QRS4567")]);
        let found = reader.read(&image).unwrap();
        let mut texts: Vec<_> = found.iter().map(|p| (p.text.as_str(), p.category.as_deref())).collect();
        texts.sort_unstable();
        assert_eq!(texts, [("ABC1D23", Some("commercial")), ("QRS4567", Some("commercial"))]);
        // A color between those of two characters: nine slots, each of which may well be the other.
        for y in 192..256 {
            for x in 384..512 {
                image.data[(y * 640 + x) * 3 + 2] = 74;
            }
        }
        let found = reader.read(&image).unwrap();
        assert_eq!(found.iter().map(|p| p.text.as_str()).collect::<Vec<_>>(), ["ABC1D23"], "{found:?}");
    }

    #[test]
    fn what_the_detector_hardly_takes_for_a_plate_counts_where_its_text_is_sure() {
        let models = manifest("full.toml");
        let text = std::fs::read_to_string(&models.path).unwrap();
        let folder = models.path.parent().unwrap().display().to_string();
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |weak: &str, image: &RgbImage| {
            let text = text.replace("file = \"", &format!("file = \"{folder}/"));
            let text = text.replace("file_int8 = \"", &format!("file_int8 = \"{folder}/"));
            let text = text.replace("threshold = 0.8", &format!("threshold = 1.0{weak}"));
            std::fs::write(file.path(), format!("{text}\nweak_certain = 0.6\n")).unwrap();
            let config = LprConfig { manifest: file.path().to_owned(), ..config("full.toml") };
            let found = StillReader::open(&config, Precision::Fp32).unwrap().read(image).unwrap();
            found.into_iter().map(|p| p.text).collect::<Vec<_>>()
        };
        let mut image = street(640, 384, &[(64, 64, "ABC1D23")]);
        // Its redness is the score.
        image.data.iter_mut().filter(|byte| **byte == 255).for_each(|byte| *byte = 230);
        assert!(read("", &image).is_empty());
        assert_eq!(read("\nweak_threshold = 0.6", &image), ["ABC1D23"]);
        // The last three characters lie between two: the text is likely enough for a plate, not for a weak one.
        for y in 64..128 {
            for x in 64 + 4 * 128 / 9..64 + 7 * 128 / 9 {
                image.data[(y * 640 + x) * 3 + 2] = 3 * 7 + 3;
            }
        }
        assert!(read("\nweak_threshold = 0.6", &image).is_empty());
        image.data.iter_mut().filter(|byte| **byte == 230).for_each(|byte| *byte = 255);
        assert_eq!(read("", &image).len(), 1);
    }
}
