//! `models/manifest.toml`: which models the box loads, how each is fed and decoded, and from which score on.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::LprError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum DetectorContract {
    /// Four corners a plate, decoded in the graph, input of any multiple of 32.
    #[serde(rename = "gtv-quad")]
    GtvQuad,
    /// A YOLO export with NMS inside: `[N,7]` (open-image-models, fast-alpr, Frigate) or `[1,N,6]` (Ultralytics).
    #[serde(rename = "yolo-nms")]
    YoloNms,
    /// A plain YOLO export: `[1,4+C,A]` (v8 and later) or `[1,A,5+C]` (v5).
    #[serde(rename = "yolo-raw")]
    YoloRaw,
}

impl DetectorContract {
    pub fn name(self) -> &'static str {
        match self {
            Self::GtvQuad => "gtv-quad",
            Self::YoloNms => "yolo-nms",
            Self::YoloRaw => "yolo-raw",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ReaderContract {
    #[serde(rename = "gtv-slots")]
    GtvSlots,
    #[serde(rename = "fast-plate-ocr")]
    FastPlateOcr,
}

impl ReaderContract {
    pub fn name(self) -> &'static str {
        match self {
            Self::GtvSlots => "gtv-slots",
            Self::FastPlateOcr => "fast-plate-ocr",
        }
    }
}

/// `[detector]`
#[derive(Clone, Debug, Deserialize)]
pub struct DetectorSpec {
    pub file: PathBuf,
    /// Lower-case hex; empty: not checked.
    #[serde(default)]
    pub sha256: String,
    /// The same model in 8-bit integers, used where it is faster.
    pub file_int8: Option<PathBuf>,
    #[serde(default)]
    pub sha256_int8: String,
    pub contract: DetectorContract,
    /// Input size in pixels; a model with a fixed input ignores it.
    #[serde(default = "default_width")]
    pub width: usize,
    #[serde(default = "default_height")]
    pub height: usize,
    /// Input size for most frames of a camera, where a plate has many chances; `width` x `height` where not given.
    pub watch_width: Option<usize>,
    pub watch_height: Option<usize>,
    /// A small picture is enlarged at most this much.
    #[serde(default = "one")]
    pub max_upscale: f32,
    /// Score from which a plate of the first look is looked at again; without a second look `threshold` counts.
    pub first_threshold: Option<f32>,
    /// Overlap above which the weaker of two plates is a copy of the stronger.
    #[serde(default = "half")]
    pub nms_iou: f32,
    /// Only so many of the best take part in that.
    #[serde(default = "default_nms_most")]
    pub nms_most: usize,
    #[serde(default = "default_candidates")]
    pub max_candidates: usize,
    /// Score from which it is a plate.
    #[serde(default = "default_threshold")]
    pub threshold: f32,
    /// Score from which the second look's result is a plate in a still image where the reader is sure of the text
    /// (`weak_certain`); `threshold` where not given.
    pub weak_threshold: Option<f32>,
    pub second_width: Option<usize>,
    pub second_height: Option<usize>,
    pub second_plate_width: Option<f32>,
    pub second_aspect: Option<f32>,
    pub second_max_upscale: Option<f32>,
    pub second_iou: Option<f32>,
}

/// How a candidate is looked at again at full resolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondLook {
    pub width: usize,
    pub height: usize,
    /// The candidate is scaled to be this wide in the input.
    pub plate_width: f32,
    /// A plate counts as at least this many times its height wide: two-row plates are judged by their height.
    pub aspect: f32,
    pub max_upscale: f32,
    /// The second look must overlap the first at least this much.
    pub iou: f32,
}

impl DetectorSpec {
    /// Width and height for still images.
    pub fn still_size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The least score of a plate in a still image.
    pub fn still_threshold(&self) -> f32 {
        self.weak_threshold.map_or(self.threshold, |weak| weak.min(self.threshold))
    }

    pub fn watch_size(&self) -> (usize, usize) {
        (self.watch_width.unwrap_or(self.width), self.watch_height.unwrap_or(self.height))
    }

    /// Points at the 8-bit file, if there is one.
    pub fn use_int8(&mut self) -> bool {
        let Some(file) = self.file_int8.take() else { return false };
        (self.file, self.sha256) = (file, std::mem::take(&mut self.sha256_int8));
        true
    }

    /// `None` when the manifest names no second look.
    pub fn second_look(&self) -> Option<SecondLook> {
        Some(SecondLook {
            width: self.second_width?,
            height: self.second_height?,
            plate_width: self.second_plate_width?,
            aspect: self.second_aspect.unwrap_or(2.0),
            max_upscale: self.second_max_upscale.unwrap_or(4.0),
            iou: self.second_iou.unwrap_or(0.2),
        })
    }
}

/// `[reader]`
#[derive(Clone, Debug, Deserialize)]
pub struct ReaderSpec {
    pub file: PathBuf,
    #[serde(default)]
    pub sha256: String,
    pub file_int8: Option<PathBuf>,
    #[serde(default)]
    pub sha256_int8: String,
    pub contract: ReaderContract,
    /// Kept around the plate, as a share of its width and height on each side.
    #[serde(default)]
    pub margin_x: f32,
    #[serde(default)]
    pub margin_y: f32,
    /// The margins of a second view, taken of plates whose text in the first is less likely than `second_below`
    /// (0: of none).
    #[serde(default)]
    pub second_margin_x: f32,
    #[serde(default)]
    pub second_margin_y: f32,
    #[serde(default)]
    pub second_below: f64,
    /// One character a class; `_` is the pad. May come from `config` instead.
    #[serde(default)]
    pub alphabet: String,
    /// Names of the layout (or region) output's classes.
    #[serde(default)]
    pub layouts: Vec<String>,
    /// Names of the category output's classes.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Below this value of the `plate` output a reading is of no plate; means nothing for a model without one.
    #[serde(default = "half")]
    pub plate_threshold: f32,
    /// How likely the text of a plate below `threshold` must be in a still image.
    #[serde(default = "default_weak_certain")]
    pub weak_certain: f64,
    /// The YAML that comes with a fast-plate-ocr model.
    pub config: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    pub detector: DetectorSpec,
    pub reader: ReaderSpec,
    /// The file this came from; its folder is where relative paths start.
    #[serde(skip)]
    pub path: PathBuf,
}

fn default_width() -> usize {
    640
}
fn default_height() -> usize {
    384
}
fn default_nms_most() -> usize {
    256
}
fn default_candidates() -> usize {
    12
}
fn default_threshold() -> f32 {
    0.35
}
fn default_weak_certain() -> f64 {
    0.9
}
fn one() -> f32 {
    1.0
}
fn half() -> f32 {
    0.5
}

impl Manifest {
    pub fn load(path: &Path) -> Result<Self, LprError> {
        let fail = |message: String| LprError::Manifest { path: path.to_owned(), message };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        let mut manifest: Self = toml::from_str(&text).map_err(|e| fail(e.to_string().trim_end().to_owned()))?;
        path.clone_into(&mut manifest.path);
        if let Some(config) = manifest.reader.config.clone() {
            let config = manifest.resolve(&config);
            let yaml = std::fs::read_to_string(&config)
                .map_err(|e| fail(format!("[reader] config = {}: {e}", config.display())))?;
            manifest.reader.take_yaml(&yaml);
        }
        manifest.validate().map_err(fail)?;
        Ok(manifest)
    }

    pub fn resolve(&self, file: &Path) -> PathBuf {
        self.path.parent().map_or_else(|| file.to_owned(), |folder| folder.join(file))
    }

    /// The bytes of a model file, checked against the checksum that the manifest gives.
    pub fn read_model(&self, file: &Path, sha256: &str) -> Result<(PathBuf, Vec<u8>), LprError> {
        let file = self.resolve(file);
        let fail = |message: String| LprError::Model { file: file.clone(), manifest: self.path.clone(), message };
        let bytes = std::fs::read(&file).map_err(|e| fail(e.to_string()))?;
        if !sha256.is_empty() {
            let found = hex::encode(Sha256::digest(&bytes));
            if !found.eq_ignore_ascii_case(sha256) {
                return Err(fail(format!("its SHA-256 is {found}, the manifest says {sha256}")));
            }
        }
        Ok((file, bytes))
    }

    fn validate(&self) -> Result<(), String> {
        let d = &self.detector;
        let mut problems = Vec::new();
        let weak = d.weak_threshold.map(|value| ("weak_threshold", value));
        for (key, value) in [("threshold", d.threshold), ("nms_iou", d.nms_iou)].into_iter().chain(weak) {
            if !(0.0..=1.0).contains(&value) {
                problems.push(format!("[detector] {key} = {value} must lie between 0 and 1"));
            }
        }
        let (watch_width, watch_height) = d.watch_size();
        for (key, value) in
            [("width", d.width), ("height", d.height), ("watch_width", watch_width), ("watch_height", watch_height)]
                .into_iter()
                .chain(
                    d.second_look().into_iter().flat_map(|s| [("second_width", s.width), ("second_height", s.height)]),
                )
        {
            if !(32..=4096).contains(&value) || value % 32 != 0 {
                problems.push(format!("[detector] {key} = {value} must be a multiple of 32 from 32 to 4096"));
            }
        }
        if d.second_look().is_some_and(|s| s.plate_width < 8.0 || s.max_upscale <= 0.0 || s.aspect <= 0.0) {
            problems.push("[detector] second_plate_width must be 8 or more, the other second_ keys positive".into());
        }
        if d.max_upscale <= 0.0 || d.max_candidates == 0 || d.nms_most == 0 {
            problems.push("[detector] max_upscale, max_candidates and nms_most must be positive".into());
        }
        let r = &self.reader;
        if ![r.margin_x, r.margin_y, r.second_margin_x, r.second_margin_y].iter().all(|m| (0.0..=0.5).contains(m)) {
            problems.push(
                "[reader] margin_x, margin_y, second_margin_x and second_margin_y must lie between 0 and 0.5".into(),
            );
        }
        if !(0.0..=1.0).contains(&r.second_below) {
            problems.push(format!("[reader] second_below = {} must lie between 0 and 1", r.second_below));
        }
        if !(0.0..=1.0).contains(&r.weak_certain) {
            problems.push(format!("[reader] weak_certain = {} must lie between 0 and 1", r.weak_certain));
        }
        if !(0.0..=1.0).contains(&r.plate_threshold) {
            problems.push(format!("[reader] plate_threshold = {} must lie between 0 and 1", r.plate_threshold));
        }
        let mut letters: Vec<char> = r.alphabet.chars().collect();
        letters.sort_unstable();
        letters.dedup();
        if letters.len() < 2 || letters.len() != r.alphabet.chars().count() {
            problems.push(
                "[reader] alphabet must list at least two characters, each once (or `config` a YAML with it)".into(),
            );
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

impl ReaderSpec {
    /// Points at the 8-bit file, if there is one.
    pub fn use_int8(&mut self) -> bool {
        let Some(file) = self.file_int8.take() else { return false };
        (self.file, self.sha256) = (file, std::mem::take(&mut self.sha256_int8));
        true
    }

    /// Takes what the manifest leaves open from a fast-plate-ocr configuration: `alphabet`, `pad_char` and
    /// `plate_regions`. These files are flat; anything else in them is for training.
    fn take_yaml(&mut self, yaml: &str) {
        let mut list = false;
        let (mut alphabet, mut pad, mut regions) = (String::new(), None, Vec::new());
        for line in yaml.lines() {
            if let Some(item) = line.trim_start().strip_prefix("- ").filter(|_| list) {
                regions.push(unquote(item));
                continue;
            }
            let Some((key, value)) = line.split_once(':') else { continue };
            list = key == "plate_regions";
            match key {
                "alphabet" => alphabet = unquote(value),
                "pad_char" => pad = unquote(value).chars().next(),
                "plate_regions" => {
                    let inline = value.trim().trim_start_matches('[').trim_end_matches(']');
                    regions.extend(inline.split(',').map(unquote).filter(|r| !r.is_empty()));
                }
                _ => {}
            }
        }
        if self.alphabet.is_empty() {
            // The grammar knows one pad, whatever the model's authors chose.
            self.alphabet = alphabet.chars().map(|c| if Some(c) == pad { super::grammar::PAD } else { c }).collect();
        }
        if self.layouts.is_empty() {
            self.layouts = regions;
        }
    }
}

fn unquote(value: &str) -> String {
    let value = value.trim();
    for quote in ['\'', '"'] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner.to_owned();
        }
    }
    value.split(" #").next().unwrap_or(value).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn the_shipped_manifest_loads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/manifest.toml");
        let manifest = Manifest::load(&path).unwrap();
        assert_eq!(manifest.detector.contract, DetectorContract::GtvQuad);
        assert_eq!(manifest.detector.second_look().unwrap().plate_width as u32, 104);
        assert_eq!(manifest.reader.contract, ReaderContract::GtvSlots);
        assert_eq!(manifest.reader.alphabet.chars().count(), 37);
        assert!(manifest.reader.layouts.iter().any(|l| l == "br-mercosul-moto"));
    }

    #[test]
    fn a_fast_plate_ocr_yaml_gives_alphabet_and_regions() {
        let (folder, path) = write(
            "[detector]\nfile = \"d.onnx\"\ncontract = \"yolo-nms\"\n\
             [reader]\nfile = \"r.onnx\"\ncontract = \"fast-plate-ocr\"\nconfig = \"r.yaml\"\n",
        );
        let yaml = "# plates\nmax_plate_slots: 9\nalphabet: '0123ABC-'  # classes\npad_char: '-'\nimg_height: 64\n\
                    plate_regions:\n  - Argentina\n  - \"Brazil\"\nkeep_aspect_ratio: false\n";
        std::fs::write(folder.path().join("r.yaml"), yaml).unwrap();
        let manifest = Manifest::load(&path).unwrap();
        assert_eq!(manifest.reader.alphabet, "0123ABC_");
        assert_eq!(manifest.reader.layouts, ["Argentina", "Brazil"]);
        assert_eq!(manifest.detector.second_look(), None);
    }

    #[test]
    fn problems_name_their_keys_all_at_once() {
        let (_folder, path) = write(
            "[detector]\nfile = \"d.onnx\"\ncontract = \"gtv-quad\"\nthreshold = 7.0\nwidth = 33\n\
             [reader]\nfile = \"r.onnx\"\ncontract = \"gtv-slots\"\nalphabet = \"AA\"\n",
        );
        let message = Manifest::load(&path).unwrap_err().to_string();
        for part in ["manifest.toml", "threshold = 7", "width = 33", "alphabet"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        let (_folder, path) = write("[detector]\nfile = \"d.onnx\"\ncontract = \"yolo9000\"\n");
        assert!(Manifest::load(&path).unwrap_err().to_string().contains("gtv-quad"), "lists what there is");
    }

    #[test]
    fn a_changed_model_file_is_refused() {
        let (folder, path) = write(
            "[detector]\nfile = \"d.onnx\"\ncontract = \"gtv-quad\"\n\
             [reader]\nfile = \"r.onnx\"\ncontract = \"gtv-slots\"\nalphabet = \"AB_\"\n",
        );
        let manifest = Manifest::load(&path).unwrap();
        std::fs::write(folder.path().join("d.onnx"), b"abc").unwrap();
        let good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(manifest.read_model(Path::new("d.onnx"), good).is_ok());
        let message = manifest.read_model(Path::new("d.onnx"), &"0".repeat(64)).unwrap_err().to_string();
        assert!(message.contains("SHA-256") && message.contains("d.onnx"), "{message}");
        assert!(manifest.read_model(Path::new("absent.onnx"), "").is_err());
    }
}
