//! The detector: a look at the whole picture, then a closer look at each candidate at full resolution.

use super::clutter::Clutter;
use super::decode::{decode, suppress};
use super::error::{ContractMismatch, LprError};
use super::manifest::{DetectorContract, DetectorSpec, Manifest, SecondLook};
use super::picture::{Picture, RgbView};
use super::resize::to_planes;
use super::session::{Element, Input, Model, Options, Tensor, show_shape};
use super::stats::{Stage, Stats};
use super::track::Observation;
use super::window::Window;

/// What surrounds a picture in the input, as in the training of every supported model.
const GRAY: u8 = 114;

/// Windows looked at in one run of the model.
const BATCH: usize = 4;

/// Candidates of one frame of a camera that are looked at again; the next frame is a tenth of a second away.
const WATCH_LOOKS: usize = 4;

pub struct Detector {
    model: Model,
    spec: DetectorSpec,
    second: Option<SecondLook>,
    /// Input size of a model that takes only one.
    fixed: Option<(usize, usize)>,
    batches: bool,
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
        let (fixed, batches) = check(&model, spec.contract, manifest)?;
        // A second look needs corners worth refining and an input of another size.
        let second = spec.second_look().filter(|s| fixed.is_none_or(|f| f == (s.width, s.height)));
        let mut detector =
            Self { model, spec, second, fixed, batches, input: Vec::new(), scaled: Vec::new(), outputs: Vec::new() };
        let blank = vec![GRAY; 64 * 36 * 3];
        detector.detect(&RgbView { data: &blank, width: 64, height: 36 }, &Stats::default())?;
        detector.check_output(manifest)?;
        Ok(detector)
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn contract(&self) -> DetectorContract {
        self.spec.contract
    }

    /// Plates in a picture, best first, in its pixels.
    pub fn detect(&mut self, picture: &dyn Picture, stats: &Stats) -> Result<Vec<Observation>, LprError> {
        let candidates = self.candidates(picture, stats)?;
        let Some(second) = self.second else { return Ok(candidates) };
        let found = self.look_again(picture, &candidates, &second, stats)?;
        Ok(self.plates(found.into_iter().flatten().collect()))
    }

    /// As [`Self::detect`] in a frame of a camera: only the best few candidates that are not known for clutter get a
    /// second look.
    pub fn watch(
        &mut self,
        picture: &dyn Picture,
        clutter: &mut Clutter,
        time_us: i64,
        stats: &Stats,
    ) -> Result<Vec<Observation>, LprError> {
        let mut candidates = self.candidates(picture, stats)?;
        let Some(second) = self.second else { return Ok(candidates) };
        clutter.forget(time_us);
        candidates.retain(|c| !clutter.is_known(c));
        candidates.truncate(WATCH_LOOKS);
        let found = self.look_again(picture, &candidates, &second, stats)?;
        for (candidate, found) in candidates.iter().zip(&found) {
            if found.is_none_or(|o| o.score < self.spec.threshold) {
                clutter.reject(candidate, time_us);
            }
        }
        Ok(self.plates(found.into_iter().flatten().collect()))
    }

    /// The first look; without a second one these are the plates.
    fn candidates(&mut self, picture: &dyn Picture, stats: &Stats) -> Result<Vec<Observation>, LprError> {
        let (width, height) = (picture.width(), picture.height());
        let whole = match (self.fixed, self.spec.contract) {
            (Some(input), DetectorContract::GtvQuad) => Window::fit(width, height, input, false),
            (Some(input), _) => Window::fit(width, height, input, true),
            (None, _) => Window::whole(width, height, &self.spec),
        };
        let least = self.least();
        let mut found =
            suppress(self.look(picture, &[whole], least, stats)?.remove(0), self.spec.nms_iou, self.spec.nms_most);
        found.truncate(self.spec.max_candidates);
        Ok(found)
    }

    fn least(&self) -> f32 {
        match self.second {
            Some(_) => self.spec.first_threshold.unwrap_or(self.spec.threshold),
            None => self.spec.threshold,
        }
    }

    /// What a second look made of each candidate; `None` where it saw no plate there.
    fn look_again(
        &mut self,
        picture: &dyn Picture,
        candidates: &[Observation],
        second: &SecondLook,
        stats: &Stats,
    ) -> Result<Vec<Option<Observation>>, LprError> {
        let (width, height, least) = (picture.width(), picture.height(), self.least());
        let mut found = vec![None; candidates.len()];
        let (places, windows): (Vec<_>, Vec<_>) = candidates
            .iter()
            .map(|o| o.quad.bounds())
            .enumerate()
            .filter_map(|(i, bounds)| Some(((i, bounds), Window::around(&bounds, second, width, height)?)))
            .unzip();
        let batch = if self.batches { BATCH } else { 1 };
        for (places, windows) in places.chunks(batch).zip(windows.chunks(batch)) {
            let looks = self.look(picture, windows, least, stats)?;
            for ((i, bounds), look) in places.iter().zip(looks) {
                // `suppress` sorts by score: the first that overlaps is the best.
                let near = suppress(look, self.spec.nms_iou, self.spec.nms_most);
                found[*i] = near.into_iter().find(|o| o.quad.bounds().iou(bounds) >= second.iou);
            }
        }
        Ok(found)
    }

    fn plates(&self, found: Vec<Observation>) -> Vec<Observation> {
        let mut plates = suppress(found, self.spec.nms_iou, self.spec.nms_most);
        plates.retain(|o| o.score >= self.spec.threshold);
        plates
    }

    /// One run over windows with the same input size; per window what was found there, in pixels of the picture.
    fn look(
        &mut self,
        picture: &dyn Picture,
        windows: &[Window],
        least: f32,
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
        stats.time(Stage::Detect, || self.model.run(&shape, &Input::F32(&self.input), &mut self.outputs))?;
        let Some(output) = self.outputs.first() else { return Ok(vec![Vec::new(); windows.len()]) };
        let found = windows.iter().enumerate().map(|(index, window)| {
            let mut found = decode(self.spec.contract, output, index, least);
            for observation in &mut found {
                observation.quad = window.map_back(&observation.quad);
            }
            found
        });
        Ok(found.collect())
    }

    /// Free dimensions show their size only after a run.
    fn check_output(&self, manifest: &Manifest) -> Result<(), LprError> {
        let contract = self.spec.contract;
        let Some(output) = self.outputs.first() else { return Ok(()) };
        let fits = match (contract, output.shape.as_slice()) {
            (DetectorContract::GtvQuad, [_, _, 10]) | (DetectorContract::YoloNms, [_, 7] | [_, _, 6]) => true,
            (DetectorContract::YoloRaw, [_, a, b]) => *a.min(b) >= 5,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let shape: Vec<i64> = output.shape.iter().map(|d| *d as i64).collect();
        let name = self.model.outputs().first().map_or("", |o| o.name.as_str());
        Err(mismatch(&self.model, manifest, format!("output `{name}`"), output_shape(contract), show_shape(&shape)))
    }
}

fn output_shape(contract: DetectorContract) -> &'static str {
    match contract {
        DetectorContract::GtvQuad => "float32[N,A,10]",
        DetectorContract::YoloNms => "float32[N,7] or float32[1,N,6]",
        DetectorContract::YoloRaw => "float32[1,4+C,A] or float32[1,A,5+C]",
    }
}

fn mismatch(model: &Model, manifest: &Manifest, tensor: String, expected: &str, found: String) -> LprError {
    LprError::Contract(Box::new(ContractMismatch {
        file: model.file().to_owned(),
        manifest: manifest.path.clone(),
        tensor,
        contract: manifest.detector.contract.name(),
        expected: expected.to_owned(),
        found,
    }))
}

/// The fixed input size, if there is one, and whether several pictures fit in one run.
fn check(
    model: &Model,
    contract: DetectorContract,
    manifest: &Manifest,
) -> Result<(Option<(usize, usize)>, bool), LprError> {
    let expected = "float32[N,3,H,W]";
    let Some(input) = model.inputs().first() else {
        return Err(mismatch(model, manifest, "the input".to_owned(), expected, "absent".to_owned()));
    };
    let fixed = match (input.element, input.shape.as_slice()) {
        (Element::F32, [_, -1 | 3, h, w]) if *h > 0 && *w > 0 => Some((*w as usize, *h as usize)),
        (Element::F32, [_, -1 | 3, _, _]) => None,
        _ => {
            return Err(mismatch(model, manifest, format!("input `{}`", input.name), expected, input.to_string()));
        }
    };
    let Some(output) = model.outputs().first() else {
        return Err(mismatch(model, manifest, "the output".to_owned(), output_shape(contract), "absent".to_owned()));
    };
    if output.element != Element::F32 {
        let found = output.to_string();
        return Err(mismatch(model, manifest, format!("output `{}`", output.name), output_shape(contract), found));
    }
    Ok((fixed, input.shape[0] < 0))
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
