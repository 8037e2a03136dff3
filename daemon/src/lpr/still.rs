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
    /// `forced`: which of a model's files to load where there are two; otherwise the faster one.
    pub fn open(config: &LprConfig, forced: Option<Precision>) -> Result<Self, LprError> {
        // One image at a time has all cores to itself.
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let models = Models::open_sets(config, threads, 1, forced)?.remove(0);
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

    /// Best score first. Plates without a readable character, and what the reader says is no plate, are left out.
    pub fn read(&mut self, image: &RgbImage) -> Result<Vec<StillPlate>, LprError> {
        let picture = RgbView::from(image);
        let found = self.models.detector.detect(&picture, &self.stats)?;
        let quads: Vec<_> = found.iter().map(|o| o.quad).collect();
        let reads = self.models.reader.read(&picture, &quads, &self.stats)?;
        let plates = found.iter().zip(reads).filter_map(|(observation, read)| {
            let reading = read.filter(|r| r.readable)?.reading;
            let mut ranked = rank(&reading).into_iter();
            let Candidate { text, p } = ranked.next()?;
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
