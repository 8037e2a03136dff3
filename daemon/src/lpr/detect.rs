//! The detector: a look at the whole picture, then a closer look at each candidate at full resolution.

use std::time::Instant;

use super::clutter::Clutter;
use super::contract::{check_declared, check_output};
use super::decode::{decode, suppress};
use super::error::LprError;
use super::geometry::{Rect, distance};
use super::looks::Look;
use super::manifest::{DetectorContract, DetectorSpec, Manifest, SecondLook};
use super::picture::{Picture, RgbView};
use super::resize::to_planes;
use super::session::{Input, Model, Options, Tensor};
use super::stats::{Stage, Stats};
use super::track::{Expected, Observation};
use super::window::Window;

/// What surrounds a picture in the input, as in the training of every supported model.
const GRAY: u8 = 114;

/// Candidates of one frame of a camera that are looked at again; the next frame is a tenth of a second away.
const WATCH_LOOKS: usize = 4;

/// Plates under way that are looked for in their windows in one frame.
const EXPECTED_LOOKS: usize = 8;

pub struct Detector {
    model: Model,
    spec: DetectorSpec,
    second: Option<SecondLook>,
    /// Input size of a model that takes only one.
    fixed: Option<(usize, usize)>,
    /// Windows looked at in one run of the model.
    batch: usize,
    input: Vec<f32>,
    scaled: Vec<u8>,
    outputs: Vec<Tensor>,
}

impl Detector {
    /// Loads and checks the model that the manifest names, and runs it once on an empty picture.
    pub fn open(manifest: &Manifest, options: &Options) -> Result<Self, LprError> {
        let spec = manifest.detector.clone();
        let (file, bytes) = manifest.read_model(&spec.file, &spec.sha256)?;
        let model = Model::open(&file, &manifest.path, &bytes, options)?;
        let declared = check_declared(&model, spec.contract, manifest)?;
        // A second look needs corners worth refining and an input of another size.
        let second = spec.second_look().filter(|s| declared.fixed.is_none_or(|f| f == (s.width, s.height)));
        let batch = if declared.batches { model.provider().batch() } else { 1 };
        let fixed = declared.fixed;
        let mut detector =
            Self { model, spec, second, fixed, batch, input: Vec::new(), scaled: Vec::new(), outputs: Vec::new() };
        let blank = vec![GRAY; 64 * 36 * 3];
        detector.detect(&RgbView { data: &blank, width: 64, height: 36 }, &Stats::default())?;
        check_output(&detector.model, detector.spec.contract, manifest, &detector.outputs)?;
        Ok(detector)
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn contract(&self) -> DetectorContract {
        self.spec.contract
    }

    /// Milliseconds of one run on a gray picture of the size for video.
    pub fn run_ms(&mut self) -> Result<f64, LprError> {
        let (width, height) = self.fixed.unwrap_or(self.spec.watch_size());
        self.input.clear();
        self.input.resize(3 * width * height, f32::from(GRAY) / 255.0);
        let began = Instant::now();
        self.model.run(&[1, 3, height, width], &Input::F32(&self.input), &mut self.outputs)?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }

    /// The score from which the detector alone calls something a plate.
    pub fn threshold(&self) -> f32 {
        self.spec.threshold
    }

    /// Plates in a still picture, best first, in its pixels; after a second look also those below
    /// [`Self::threshold`] that the reader has to be sure of.
    pub fn detect(&mut self, picture: &dyn Picture, stats: &Stats) -> Result<Vec<Observation>, LprError> {
        let candidates = self.candidates(picture, self.spec.still_size(), stats)?;
        let Some(second) = self.second else { return Ok(candidates) };
        let places: Vec<Rect> = candidates.iter().map(|c| c.quad.bounds()).collect();
        let found = self.look_again(picture, &places, &second, stats)?;
        let found = places.iter().zip(&found).filter_map(|(place, seen)| overlapping(seen, place, second.iou));
        Ok(self.plates(found.collect(), self.spec.still_threshold()))
    }

    /// As [`Self::detect`] in a frame of a camera: only the best few candidates that are not known for clutter get a
    /// second look, and plates under way are looked for where they are expected, whatever the first look saw.
    pub fn watch(
        &mut self,
        picture: &dyn Picture,
        (look, expected): (Look, &[Expected]),
        clutter: &mut Clutter,
        time_us: i64,
        stats: &Stats,
    ) -> Result<Vec<Observation>, LprError> {
        let mut candidates = match (look, self.second) {
            (Look::Windows, Some(_)) => Vec::new(),
            (Look::Wide, _) => self.candidates(picture, self.spec.still_size(), stats)?,
            _ => self.candidates(picture, self.spec.watch_size(), stats)?,
        };
        let Some(second) = self.second else { return Ok(candidates) };
        clutter.forget(time_us);
        candidates.retain(|c| !clutter.is_known(c));
        candidates.truncate(WATCH_LOOKS);
        let mut places: Vec<Rect> = candidates.iter().map(|c| c.quad.bounds()).collect();
        let unseen = |e: &&Rect| candidates.iter().all(|c| !is_near(&c.quad.bounds(), e));
        places.extend(expected.iter().map(|e| &e.bounds).filter(unseen).take(EXPECTED_LOOKS));
        let looks = self.look_again(picture, &places, &second, stats)?;
        let mut found = Vec::new();
        for (i, (place, seen)) in places.iter().zip(&looks).enumerate() {
            let Some(candidate) = candidates.get(i) else {
                found.extend(nearest(seen, place, self.spec.threshold));
                continue;
            };
            let plate = overlapping(seen, place, second.iou);
            if plate.is_none_or(|o| o.score < self.spec.threshold) {
                clutter.reject(candidate, time_us);
            }
            found.extend(plate);
        }
        Ok(self.plates(found, self.spec.threshold))
    }

    /// The first look; without a second one these are the plates.
    fn candidates(
        &mut self,
        picture: &dyn Picture,
        size: (usize, usize),
        stats: &Stats,
    ) -> Result<Vec<Observation>, LprError> {
        let (width, height) = (picture.width(), picture.height());
        let whole = match self.fixed {
            Some(input) => Window::fit(width, height, input, self.spec.contract != DetectorContract::GtvQuad),
            None => Window::whole(width, height, size, self.spec.max_upscale),
        };
        let mut found = self.look(picture, &[whole], Stage::Detect, stats)?.remove(0);
        found.truncate(self.spec.max_candidates);
        Ok(found)
    }

    fn least(&self) -> f32 {
        match self.second {
            Some(_) => self.spec.first_threshold.unwrap_or(self.spec.threshold),
            None => self.spec.threshold,
        }
    }

    /// What is seen around each place at full resolution, best first; nothing for a place outside the picture.
    fn look_again(
        &mut self,
        picture: &dyn Picture,
        places: &[Rect],
        second: &SecondLook,
        stats: &Stats,
    ) -> Result<Vec<Vec<Observation>>, LprError> {
        let (width, height) = (picture.width(), picture.height());
        let mut found = vec![Vec::new(); places.len()];
        let (indices, windows): (Vec<usize>, Vec<Window>) = places
            .iter()
            .enumerate()
            .filter_map(|(i, place)| Some((i, Window::around(place, second, width, height)?)))
            .unzip();
        for (indices, windows) in indices.chunks(self.batch).zip(windows.chunks(self.batch)) {
            let looks = self.look(picture, windows, Stage::Window, stats)?;
            for (i, look) in indices.iter().zip(looks) {
                found[*i] = look;
            }
        }
        Ok(found)
    }

    fn plates(&self, found: Vec<Observation>, least: f32) -> Vec<Observation> {
        let mut plates = suppress(found, self.spec.nms_iou, self.spec.nms_most);
        plates.retain(|o| o.score >= least);
        plates
    }

    /// One run over windows with the same input size; per window what was found there, in pixels of the picture, best
    /// first.
    fn look(
        &mut self,
        picture: &dyn Picture,
        windows: &[Window],
        stage: Stage,
        stats: &Stats,
    ) -> Result<Vec<Vec<Observation>>, LprError> {
        let Some((input_width, input_height)) = windows.first().map(|w| w.input) else { return Ok(Vec::new()) };
        let size = 3 * input_width * input_height;
        self.input.resize(windows.len() * size, 0.0);
        for (window, input) in windows.iter().zip(self.input.chunks_exact_mut(size)) {
            let (width, height) = window.scaled;
            stats.time(Stage::Scale, || {
                picture.scaled(window.region, width, height, &mut self.scaled)?;
                let rgb = RgbView { data: &self.scaled, width, height };
                to_planes(rgb, window.offset, window.input, GRAY, input);
                Ok(())
            })?;
        }
        let shape = [windows.len(), 3, input_height, input_width];
        stats.time(stage, || self.model.run(&shape, &Input::F32(&self.input), &mut self.outputs))?;
        let Some(output) = self.outputs.first() else { return Ok(vec![Vec::new(); windows.len()]) };
        let (least, spec) = (self.least(), &self.spec);
        let found = windows.iter().enumerate().map(|(index, window)| {
            let mut found = decode(spec.contract, output, index, least);
            for observation in &mut found {
                observation.quad = window.map_back(&observation.quad);
            }
            suppress(found, spec.nms_iou, spec.nms_most)
        });
        Ok(found.collect())
    }
}

/// The best that overlaps the candidate.
fn overlapping(seen: &[Observation], candidate: &Rect, iou: f32) -> Option<Observation> {
    seen.iter().find(|o| o.quad.bounds().iou(candidate) >= iou).copied()
}

/// The plate closest to where one was expected, up to its own width away. Weaker sights do not count: a shifted copy of
/// the plate may lie closer to the prediction than the plate does.
fn nearest(seen: &[Observation], expected: &Rect, threshold: f32) -> Option<Observation> {
    let away = |o: &Observation| distance(o.quad.center(), expected.center());
    let reach = expected.width().max(expected.height());
    let near = seen.iter().filter(|o| o.score >= threshold && away(o) < reach);
    near.min_by(|a, b| away(a).total_cmp(&away(b))).copied()
}

/// Whether a candidate may be the plate that is expected there: one window shows both.
fn is_near(candidate: &Rect, expected: &Rect) -> bool {
    distance(candidate.center(), expected.center()) < 0.5 * expected.width().max(expected.height())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UtcMicros;
    use crate::lpr::fixtures::{manifest, options, street};
    use crate::lpr::geometry::Rect;
    use crate::media::DecodedFrame;

    #[test]
    fn a_plate_is_found_once_and_where_it_is() {
        for x in (32..480).step_by(32) {
            let image = street(640, 384, &[(x, 160, "ABC1D23")]);
            let frame = DecodedFrame::from_rgb("gate".parse().unwrap(), UtcMicros(0), true, &image).unwrap();
            let mut detector = Detector::open(&manifest("manifest.toml"), &options()).unwrap();
            let truth = Rect::new(x as f32, 160.0, x as f32 + 128.0, 224.0);
            for picture in [&RgbView::from(&image) as &dyn Picture, &frame] {
                let found = detector.detect(picture, &Stats::default()).unwrap();
                assert_eq!(found.len(), 1, "{x}: {found:?}");
                assert!(found[0].quad.bounds().iou(&truth) > 0.95, "{x}: {found:?}");
            }
        }
        let mut detector = Detector::open(&manifest("manifest.toml"), &options()).unwrap();
        let empty = street(640, 384, &[]);
        assert!(detector.detect(&RgbView::from(&empty), &Stats::default()).unwrap().is_empty());
    }

    #[test]
    fn a_plate_under_way_is_found_where_it_is_expected() {
        let image = street(640, 384, &[(160, 160, "ABC1D23"), (448, 160, "QRS4567")]);
        let mut detector = Detector::open(&manifest("manifest.toml"), &options()).unwrap();
        let (picture, stats) = (RgbView::from(&image), Stats::default());
        let mut watch = |look, expected: &[Rect]| {
            let expected: Vec<_> = expected.iter().map(|bounds| Expected { bounds: *bounds, sure: true }).collect();
            let found = detector.watch(&picture, (look, &expected), &mut Clutter::default(), 0, &stats).unwrap();
            found.iter().map(|o| o.quad.bounds()).collect::<Vec<_>>()
        };
        let truth = Rect::new(160.0, 160.0, 288.0, 224.0);
        // Its prediction is off by a quarter of its width.
        let expected = [Rect::new(192.0, 176.0, 320.0, 240.0), Rect::new(32.0, 320.0, 160.0, 384.0)];
        let found = watch(Look::Windows, &expected);
        assert!(found.len() == 1 && found[0].iou(&truth) > 0.9, "{found:?}");
        assert!(watch(Look::Windows, &[]).is_empty());
        assert_eq!(watch(Look::Whole, &expected).len(), 2, "nothing twice");
        assert_eq!(watch(Look::Wide, &[]).len(), 2);
        assert_eq!(stats.stage(Stage::Detect).count, 2, "windows spare the look at the whole");
    }

    #[test]
    fn foreign_exports_load_by_their_contract() {
        let image = street(640, 640, &[]);
        // The constant answer is (64, 96, 128, 128) in the input of 320x320: twice that in the picture.
        let truth = Rect::new(128.0, 192.0, 256.0, 256.0);
        for (contract, file) in
            [("yolo-nms", "yolo-nms.onnx"), ("yolo-raw", "yolo-v8.onnx"), ("yolo-raw", "yolo-v5.onnx")]
        {
            let mut manifest = manifest("foreign.toml");
            manifest.detector.file = file.into();
            manifest.detector.contract = toml::Value::String(contract.to_owned()).try_into().unwrap();
            let mut detector = Detector::open(&manifest, &options()).unwrap();
            let found = detector.detect(&RgbView::from(&image), &Stats::default()).unwrap();
            assert_eq!(found.len(), 1, "{file}");
            assert!(found[0].quad.bounds().iou(&truth) > 0.99 && (found[0].score - 0.9).abs() < 0.01, "{file}");
        }
    }

    #[test]
    fn a_model_of_another_kind_is_refused_with_all_that_helps() {
        let mut wrong = manifest("manifest.toml");
        wrong.detector.file = "slots.onnx".into();
        let message = Detector::open(&wrong, &options()).err().unwrap().to_string();
        for part in ["slots.onnx", "plates", "uint8", "float32[N,3,H,W]", "gtv-quad", "manifest.toml"] {
            assert!(message.to_lowercase().contains(&part.to_lowercase()), "{part} in {message}");
        }
        let mut wrong = manifest("foreign.toml");
        wrong.detector.contract = DetectorContract::GtvQuad;
        let message = Detector::open(&wrong, &options()).err().unwrap().to_string();
        assert!(message.contains("[2,7]") && message.contains("float32[N,A,10]"), "{message}");
        for (file, contract, expected, found) in [
            ("quad.onnx", DetectorContract::YoloNms, "float32[N,7] or float32[1,N,6]", ",10]"),
            ("yolo-nms.onnx", DetectorContract::YoloRaw, "float32[1,4+C,A]", "[2,7]"),
            ("yolo-v8.onnx", DetectorContract::YoloNms, "float32[N,7]", "[1,5,12]"),
        ] {
            let mut wrong = manifest("foreign.toml");
            (wrong.detector.file, wrong.detector.contract) = (file.into(), contract);
            let message = Detector::open(&wrong, &options()).err().expect("refused").to_string();
            for part in [file, "output `", expected, found, contract.name(), "foreign.toml"] {
                assert!(message.contains(part), "{part} in {message}");
            }
        }
    }
}
