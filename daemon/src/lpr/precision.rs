//! Which file of a model runs: 32-bit floats, or 8-bit integers where the manifest names such a twin and it is faster on
//! this machine. Processors without vector instructions for 8-bit products are slower with them, so it is measured.

use serde::Serialize;

use super::detect::Detector;
use super::error::LprError;
use super::manifest::Manifest;
use super::read::Reader;
use super::session::{Options, Provider};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    Fp32,
    Int8,
}

impl Precision {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
        }
    }
}

/// What runs and why: milliseconds of one run of each file, where both were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Choice {
    pub precision: Precision,
    pub fp32_ms: Option<f64>,
    pub int8_ms: Option<f64>,
}

/// Rounding to 8 bits costs a little accuracy: it has to gain more than the measurement's noise.
const GAIN: f64 = 0.95;

/// Runs of each file, in turn. The fastest counts: whatever else the machine does only adds.
const RUNS: usize = 9;

/// Points `manifest` at the file to load of each model. `forced` asks for one of the two where there is a choice.
pub fn choose(
    manifest: &mut Manifest,
    options: &Options,
    forced: Option<Precision>,
) -> Result<(Choice, Choice), LprError> {
    let mut int8 = manifest.clone();
    let mut detector = Choice::default();
    if int8.detector.use_int8() {
        detector = match forced {
            Some(precision) => Choice { precision, ..Choice::default() },
            None => faster(
                &mut Detector::open(manifest, options)?,
                || Detector::open(&int8, options),
                |detector| detector.model().provider(),
                Detector::run_ms,
            )?,
        };
    }
    if detector.precision == Precision::Int8 {
        manifest.detector = int8.detector.clone();
    }
    let mut reader = Choice::default();
    int8.detector = manifest.detector.clone();
    if int8.reader.use_int8() {
        reader = match forced {
            Some(precision) => Choice { precision, ..Choice::default() },
            None => faster(
                &mut Reader::open(manifest, options)?,
                || Reader::open(&int8, options),
                |reader| reader.model().provider(),
                Reader::run_ms,
            )?,
        };
    }
    if reader.precision == Precision::Int8 {
        manifest.reader = int8.reader;
    }
    Ok((detector, reader))
}

/// Graphics processors run the 32-bit file (TensorRT in half precision): there is nothing to measure.
fn faster<M>(
    fp32: &mut M,
    int8: impl FnOnce() -> Result<M, LprError>,
    provider: impl Fn(&M) -> Provider,
    run_ms: impl Fn(&mut M) -> Result<f64, LprError>,
) -> Result<Choice, LprError> {
    if provider(fp32) != Provider::Cpu {
        return Ok(Choice::default());
    }
    let mut int8 = int8()?;
    let mut best = [f64::INFINITY; 2];
    for _ in 0..RUNS {
        best[0] = best[0].min(run_ms(fp32)?);
        best[1] = best[1].min(run_ms(&mut int8)?);
    }
    Ok(compare(best[0], best[1]))
}

fn compare(fp32_ms: f64, int8_ms: f64) -> Choice {
    let precision = if int8_ms < GAIN * fp32_ms { Precision::Int8 } else { Precision::Fp32 };
    Choice { precision, fp32_ms: Some(fp32_ms), int8_ms: Some(int8_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpr::fixtures::{manifest, options};

    #[test]
    fn eight_bits_must_gain_more_than_noise() {
        assert_eq!(compare(10.0, 7.0).precision, Precision::Int8);
        assert_eq!(compare(10.0, 9.8).precision, Precision::Fp32);
        assert_eq!(compare(10.0, 14.0).precision, Precision::Fp32);
    }

    #[test]
    fn twins_are_measured_and_the_faster_is_loaded() {
        let mut measured = manifest("full.toml");
        let (detector, reader) = choose(&mut measured, &options(), None).unwrap();
        assert!(detector.fp32_ms.is_some_and(|ms| ms > 0.0) && detector.int8_ms.is_some_and(|ms| ms > 0.0));
        assert_eq!(reader, Choice::default(), "it has no twin");
        let file = if detector.precision == Precision::Int8 { "quad-int8.onnx" } else { "quad.onnx" };
        assert_eq!(measured.detector.file.to_str(), Some(file));
    }

    #[test]
    fn one_can_be_asked_for_and_a_broken_twin_is_an_error() {
        let mut forced = manifest("full.toml");
        let (detector, reader) = choose(&mut forced, &options(), Some(Precision::Int8)).unwrap();
        assert_eq!((detector.precision, reader.precision), (Precision::Int8, Precision::Fp32));
        assert_eq!(forced.detector.file.to_str(), Some("quad-int8.onnx"));
        assert!(Detector::open(&forced, &options()).is_ok());
        let mut broken = manifest("full.toml");
        broken.detector.sha256_int8 = "0".repeat(64);
        let message = choose(&mut broken, &options(), None).unwrap_err().to_string();
        assert!(message.contains("quad-int8.onnx") && message.contains("SHA-256"), "{message}");
    }
}
