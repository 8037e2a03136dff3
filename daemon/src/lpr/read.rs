//! The reader: upright plates to probabilities per character slot.

use std::sync::Arc;
use std::time::Instant;

use super::error::{ContractMismatch, LprError};
use super::fuse::{Classes, Fusion, Reading, sharpness};
use super::geometry::Quad;
use super::grammar::Slots;
use super::manifest::{Manifest, ReaderContract};
use super::picture::{Picture, RgbView};
use super::rectify::{Upright, rectify};
use super::session::{Element, Input, Model, Options, Tensor, show_shape};
use super::stats::{Stage, Stats};

/// One plate as read in one picture.
#[derive(Clone, Debug)]
pub struct Read {
    pub reading: Reading,
    /// See [`sharpness`].
    pub sharpness: f32,
    /// Probability that this is a readable plate and no lettering, grille or smear, from models that tell.
    pub plate: Option<f32>,
    /// Whether that is enough by the manifest; always true for models that do not tell.
    pub readable: bool,
}

impl Read {
    /// One read of two views of the same pixels.
    fn with(self, other: &Self, plate_threshold: f32) -> Self {
        let reading = Fusion::of_views(&[&self.reading, &other.reading]).unwrap_or(self.reading);
        let plate = self.plate.zip(other.plate).map(|(a, b)| f32::midpoint(a, b));
        let readable = plate.is_none_or(|p| p >= plate_threshold);
        Self { reading, sharpness: self.sharpness, plate, readable }
    }
}

/// Which output is what. Only the slots are always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Roles {
    slots: usize,
    layout: Option<usize>,
    category: Option<usize>,
    plate: Option<usize>,
}

impl Roles {
    /// Ours go by name. fast-plate-ocr calls its slots `plate`; its first version has one output of any name.
    fn find(contract: ReaderContract, names: &[&str]) -> Self {
        let at = |name: &str| names.iter().position(|n| *n == name);
        match contract {
            ReaderContract::GtvSlots => Self {
                slots: at("slots").unwrap_or(0),
                layout: at("layout"),
                category: at("category"),
                plate: at("plate"),
            },
            ReaderContract::FastPlateOcr => {
                let slots = at("plate").unwrap_or(0);
                let other = (0..names.len()).find(|i| *i != slots);
                Self { slots, layout: at("region").or(other), ..Self::default() }
            }
        }
    }
}

pub struct Reader {
    model: Model,
    contract: ReaderContract,
    upright: Upright,
    /// The second view of a plate whose text is less likely than this; crops a little off look different there.
    second: (Upright, f64),
    gray: bool,
    /// Plates read in one run of the model; more are read in several.
    batch: usize,
    alphabet: Arc<[char]>,
    layouts: Arc<[String]>,
    categories: Arc<[String]>,
    plate_threshold: f32,
    weak_certain: f64,
    roles: Roles,
    plates: Vec<u8>,
    crop: Vec<u8>,
    outputs: Vec<Tensor>,
}

impl Reader {
    /// Loads and checks the model that the manifest names, and runs it once on an empty plate.
    pub fn open(manifest: &Manifest, options: &Options) -> Result<Self, LprError> {
        let spec = &manifest.reader;
        let (file, bytes) = manifest.read_model(&spec.file, &spec.sha256)?;
        let model = Model::open(&file, &manifest.path, &bytes, options)?;
        let expected = match spec.contract {
            ReaderContract::GtvSlots => "uint8[N,H,W,3]",
            ReaderContract::FastPlateOcr => "uint8[N,H,W,3] or uint8[N,H,W,1]",
        };
        let (tensor, found) = model
            .inputs()
            .first()
            .map_or(("the input".into(), "absent".into()), |i| (format!("input `{}`", i.name), i.to_string()));
        let shape = model.inputs().first().filter(|i| i.element == Element::U8).map(|i| i.shape.as_slice());
        let (Some([count, h @ 8..=1024, w @ 8..=1024, channels @ (1 | 3)]), true) =
            (shape, shape.is_some_and(|s| s.get(3) == Some(&3)) || spec.contract == ReaderContract::FastPlateOcr)
        else {
            return Err(mismatch(&model, manifest, tensor, expected, found));
        };
        let upright = |margin_x, margin_y| Upright { width: *w as usize, height: *h as usize, margin_x, margin_y };
        let (upright, second, gray, batch) = (
            upright(spec.margin_x, spec.margin_y),
            (upright(spec.second_margin_x, spec.second_margin_y), spec.second_below),
            *channels == 1,
            if *count < 0 { model.provider().batch() } else { 1 },
        );
        let names: Vec<&str> = model.outputs().iter().map(|o| o.name.as_str()).collect();
        let roles = Roles::find(spec.contract, &names);
        if let Some(wrong) = model.outputs().iter().find(|o| o.element != Element::F32) {
            return Err(mismatch(&model, manifest, format!("output `{}`", wrong.name), "float32", wrong.to_string()));
        }
        let mut reader = Self {
            model,
            contract: spec.contract,
            upright,
            second,
            gray,
            batch,
            alphabet: spec.alphabet.chars().collect::<Vec<_>>().into(),
            layouts: spec.layouts.clone().into(),
            categories: spec.categories.clone().into(),
            plate_threshold: spec.plate_threshold,
            weak_certain: spec.weak_certain,
            roles,
            plates: Vec::new(),
            crop: Vec::new(),
            outputs: Vec::new(),
        };
        reader.plates.resize(upright.width * upright.height * 3, 0);
        let plates = std::mem::take(&mut reader.plates);
        reader.run(1, &plates)?;
        reader.check_outputs(manifest)?;
        Ok(reader)
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How likely the text of a plate must be that the detector alone does not call one.
    pub fn weak_certain(&self) -> f64 {
        self.weak_certain
    }

    pub fn contract(&self) -> ReaderContract {
        self.contract
    }

    /// Milliseconds of one run on an empty plate.
    pub fn run_ms(&mut self) -> Result<f64, LprError> {
        let blank = vec![0; self.upright.width * self.upright.height * 3];
        let began = Instant::now();
        self.run(1, &blank)?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }

    /// Reads the plates with these corners; `None` for one that lies outside the picture or is no plate at all.
    pub fn read(
        &mut self,
        picture: &dyn Picture,
        quads: &[Quad],
        stats: &Stats,
    ) -> Result<Vec<Option<Read>>, LprError> {
        let mut reads: Vec<Option<Read>> = vec![None; quads.len()];
        self.view(picture, quads, |_| true, self.upright, &mut reads, stats)?;
        let (upright, below) = self.second;
        let unsure = |read: Option<&Read>| read.is_some_and(|r| r.reading.slots.greedy().1 < below);
        self.view(picture, quads, unsure, upright, &mut reads, stats)?;
        Ok(reads)
    }

    /// Reads the plates that are `wanted` by what is known of them so far, and puts both together.
    fn view(
        &mut self,
        picture: &dyn Picture,
        quads: &[Quad],
        wanted: impl Fn(Option<&Read>) -> bool,
        upright: Upright,
        reads: &mut [Option<Read>],
        stats: &Stats,
    ) -> Result<(), LprError> {
        let size = upright.width * upright.height * 3;
        let mut pending: Vec<usize> = Vec::with_capacity(self.batch);
        let mut plates = std::mem::take(&mut self.plates);
        plates.clear();
        for (i, quad) in quads.iter().enumerate().filter(|(i, _)| wanted(reads[*i].as_ref())).collect::<Vec<_>>() {
            let Some(region) = upright.region(quad, picture.width(), picture.height()) else { continue };
            stats.time(Stage::Rectify, || {
                picture.crop(region, &mut self.crop)?;
                let source = RgbView { data: &self.crop, width: region.width, height: region.height };
                let quad = quad.translate(-(region.x as f32), -(region.y as f32));
                let at = plates.len();
                plates.resize(at + size, 0);
                rectify(source, &quad, &upright, &mut plates[at..]);
                Ok(())
            })?;
            pending.push(i);
            if pending.len() == self.batch {
                self.finish(&mut pending, &mut plates, reads, stats)?;
            }
        }
        self.finish(&mut pending, &mut plates, reads, stats)?;
        self.plates = plates;
        Ok(())
    }

    fn finish(
        &mut self,
        pending: &mut Vec<usize>,
        plates: &mut Vec<u8>,
        reads: &mut [Option<Read>],
        stats: &Stats,
    ) -> Result<(), LprError> {
        if pending.is_empty() {
            return Ok(());
        }
        stats.time(Stage::Read, || self.run(pending.len(), plates))?;
        let size = plates.len() / pending.len();
        for (row, plate) in pending.drain(..).enumerate() {
            let sharpness = sharpness(&plates[row * size..(row + 1) * size], self.upright.width);
            let Some(reading) = self.reading(row) else { continue };
            let probability = self.values(self.roles.plate, row).and_then(|v| v.first().copied());
            let readable = probability.is_none_or(|p| p >= self.plate_threshold);
            let read = Read { reading, sharpness, plate: probability, readable };
            reads[plate] = Some(match reads[plate].take() {
                Some(first) => first.with(&read, self.plate_threshold),
                None => read,
            });
        }
        plates.clear();
        Ok(())
    }

    fn run(&mut self, count: usize, plates: &[u8]) -> Result<(), LprError> {
        let (w, h) = (self.upright.width, self.upright.height);
        if self.gray {
            // ITU-R BT.601 luma in 8-bit fixed point, as OpenCV converts.
            let luma =
                |p: &[u8]| ((77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]) + 128) >> 8) as u8;
            let gray: Vec<u8> = plates.chunks_exact(3).map(luma).collect();
            return self.model.run(&[count, h, w, 1], &Input::U8(&gray), &mut self.outputs);
        }
        self.model.run(&[count, h, w, 3], &Input::U8(plates), &mut self.outputs)
    }

    fn reading(&self, row: usize) -> Option<Reading> {
        let slots = self.values(Some(self.roles.slots), row)?.to_vec();
        let classes = |output, names: &Arc<[String]>| {
            let probabilities = self.values(output, row).filter(|_| !names.is_empty())?.to_vec();
            Some(Classes { names: Arc::clone(names), probabilities })
        };
        Some(Reading {
            slots: Slots::new(Arc::clone(&self.alphabet), slots)?,
            layout: classes(self.roles.layout, &self.layouts),
            category: classes(self.roles.category, &self.categories),
        })
    }

    /// What an output says about one plate of the batch.
    fn values(&self, output: Option<usize>, row: usize) -> Option<&[f32]> {
        let output = self.outputs.get(output?)?;
        let size = output.data.len().checked_div(*output.shape.first()?)?;
        output.data.get(row * size..(row + 1) * size)
    }

    /// The slots must be whole over the alphabet, `[N,S,C]` or flat `[N,S*C]`, layouts and categories as many as
    /// named, and one value must say whether it is a plate.
    fn check_outputs(&self, manifest: &Manifest) -> Result<(), LprError> {
        let classes = self.alphabet.len();
        let fits = |t: &Tensor| match t.shape.as_slice() {
            [_, slots, c] => *slots > 0 && *c == classes,
            [_, flat] => *flat > 0 && flat % classes == 0,
            _ => false,
        };
        if !self.outputs.get(self.roles.slots).is_some_and(fits) {
            let expected = format!("float32[N,slots,{classes}], one class for each character of the alphabet");
            return Err(self.wrong(manifest, self.roles.slots, &expected));
        }
        let named = [
            (self.roles.layout, self.layouts.len(), "layout"),
            (self.roles.category, self.categories.len(), "category"),
        ];
        for (output, count, what) in named {
            let Some(output) = output.filter(|_| count > 0) else { continue };
            if self.outputs.get(output).is_none_or(|t| t.shape.len() != 2 || t.shape[1] != count) {
                let expected = format!("float32[N,{count}], one class for each {what} in the manifest");
                return Err(self.wrong(manifest, output, &expected));
            }
        }
        match self.roles.plate {
            Some(output) if self.outputs.get(output).is_none_or(|t| t.shape.iter().skip(1).any(|d| *d != 1)) => {
                Err(self.wrong(manifest, output, "float32[N,1], the probability of a readable plate"))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, manifest: &Manifest, output: usize, expected: &str) -> LprError {
        let name = self.model.outputs().get(output).map_or("", |o| o.name.as_str());
        let shape = |t: &Tensor| show_shape(&t.shape.iter().map(|d| *d as i64).collect::<Vec<_>>());
        let found = self.outputs.get(output).map_or("absent".to_owned(), shape);
        mismatch(&self.model, manifest, format!("output `{name}`"), expected, found)
    }
}

fn mismatch(model: &Model, manifest: &Manifest, tensor: String, expected: &str, found: String) -> LprError {
    LprError::Contract(Box::new(ContractMismatch {
        file: model.file().to_owned(),
        manifest: manifest.path.clone(),
        tensor,
        contract: manifest.reader.contract.name(),
        expected: expected.to_owned(),
        found,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpr::fixtures::{draw_plate, manifest, options, street};
    use crate::lpr::geometry::Rect;
    use crate::media::RgbImage;

    fn texts(manifest: &Manifest, image: &RgbImage, quads: &[Quad]) -> Vec<String> {
        let mut reader = Reader::open(manifest, &options()).unwrap();
        let reads = reader.read(&RgbView::from(image), quads, &Stats::default()).unwrap();
        reads.into_iter().map(|r| r.map_or("outside".to_owned(), |r| r.reading.slots.greedy().0)).collect()
    }

    #[test]
    fn plates_are_read_in_order_one_by_one_or_in_batches() {
        let names: Vec<String> = (0..11).map(|i| format!("ABC{i:04}")).collect();
        let at: Vec<(usize, usize)> = (0..11).map(|i| (16 + i % 4 * 150, 16 + i / 4 * 90)).collect();
        let plates: Vec<_> = at.iter().zip(&names).map(|(at, name)| (at.0, at.1, name.as_str())).collect();
        let image = street(640, 384, &plates);
        let mut quads: Vec<Quad> = at
            .iter()
            .map(|(x, y)| (*x as f32, *y as f32))
            .map(|(x, y)| Quad::from_rect(&Rect::new(x, y, x + 128.0, y + 64.0)))
            .collect();
        quads.insert(3, Quad::from_rect(&Rect::new(-300.0, 0.0, -200.0, 50.0)));
        let mut wanted = names.clone();
        wanted.insert(3, "outside".to_owned());
        let mut reader = Reader::open(&manifest("manifest.toml"), &options()).unwrap();
        for batch in [1, 4, 8] {
            reader.batch = batch;
            let reads = reader.read(&RgbView::from(&image), &quads, &Stats::default()).unwrap();
            let texts = reads.iter().map(|r| r.as_ref().map_or("outside".into(), |r| r.reading.slots.greedy().0));
            assert_eq!(texts.collect::<Vec<String>>(), wanted, "{batch} in a run");
        }
    }

    #[test]
    fn a_plate_that_is_unsure_is_seen_twice() {
        let mut image = street(320, 160, &[(16, 48, "ABC1D23"), (176, 48, "QRS4567")]);
        // A color between those of two characters: nine slots, each of which may well be the other.
        for y in 48..112 {
            for x in 176..304 {
                image.data[(y * 320 + x) * 3 + 2] = 74;
            }
        }
        let quads = [16.0, 176.0].map(|x| Quad::from_rect(&Rect::new(x, 48.0, x + 128.0, 112.0)));
        let read = |below: f64| {
            let mut manifest = manifest("full.toml");
            (manifest.reader.second_margin_x, manifest.reader.second_margin_y) = (0.08, 0.08);
            manifest.reader.second_below = below;
            let stats = Stats::default();
            let mut reader = Reader::open(&manifest, &options()).unwrap();
            let reads = reader.read(&RgbView::from(&image), &quads, &stats).unwrap();
            let texts: Vec<_> = reads.into_iter().map(|r| r.unwrap().reading.slots.greedy()).collect();
            (texts, stats.stage(Stage::Rectify).count)
        };
        let ((once, one_each), (twice, views)) = (read(0.0), read(0.5));
        assert_eq!((one_each, views), (2, 3), "the sure plate is seen once");
        assert_eq!(once[0], twice[0]);
        assert_eq!(once[0].0, "ABC1D23");
        assert!(once[1].1 < 0.5 && twice[1].1 < 0.5, "two views of the same pixels are no surer: {once:?} {twice:?}");
    }

    #[test]
    fn every_generation_of_fast_plate_ocr_loads() {
        let quad = Quad::from_rect(&Rect::new(64.0, 48.0, 192.0, 112.0));
        // Flat from gray, whole from color, and whole with regions.
        for (file, gray) in [("ocr-v0.onnx", true), ("ocr-v1.onnx", false), ("ocr-v2.onnx", false)] {
            let mut image = street(320, 160, &[]);
            draw_plate(&mut image, 64, 48, 128, 64, "QRS4E67", gray);
            let mut model = manifest("foreign.toml");
            model.reader.file = file.into();
            assert_eq!(texts(&model, &image, &[quad]), ["QRS4E67"], "{file}");
        }
        let image = street(320, 160, &[(64, 48, "QRS4E67")]);
        let mut reader = Reader::open(&manifest("foreign.toml"), &options()).unwrap();
        let read = reader.read(&RgbView::from(&image), &[quad], &Stats::default()).unwrap().remove(0).unwrap();
        assert!(read.readable && read.plate.is_none(), "its output `plate` is the text");
        let belief = read.reading.layout.expect("regions").belief();
        assert!(belief.old > 0.3 && belief.mercosul > 0.3, "Brazil counts for both formats: {belief:?}");
    }

    /// A change that makes a model not fit, and what the refusal must name.
    type Misfit<'a> = (&'a dyn Fn(&mut Manifest), [&'a str; 4]);

    #[test]
    fn foreign_readers_that_do_not_fit_are_refused_by_tensor() {
        let refusal = |change: &dyn Fn(&mut Manifest)| {
            let mut wrong = manifest("foreign.toml");
            change(&mut wrong);
            Reader::open(&wrong, &options()).err().expect("refused").to_string()
        };
        let cases: [Misfit; 4] = [
            (&|m| m.reader.alphabet.push('-'), ["ocr-v2.onnx", "`plate`", "38", "[1,9,37]"]),
            (&|m| m.reader.layouts.push("Peru".into()), ["foreign.toml", "`region`", "float32[N,4]", "[1,3]"]),
            (&|m| m.reader.file = "yolo-nms.onnx".into(), ["`images`", "uint8[N,H,W,1]", "float32", "[1,3,320,320]"]),
            (
                &|m| {
                    m.reader.file = "ocr-v0.onnx".into();
                    m.reader.contract = ReaderContract::GtvSlots;
                },
                ["`plates`", "uint8[N,H,W,3]", "[?,64,128,1]", "gtv-slots"],
            ),
        ];
        for (change, parts) in cases {
            let message = refusal(change);
            for part in parts {
                assert!(message.contains(part), "{part} in {message}");
            }
        }
    }

    #[test]
    fn outputs_go_by_name() {
        let ours = |names: &[&str]| Roles::find(ReaderContract::GtvSlots, names);
        let all = Roles { slots: 3, layout: Some(2), category: Some(1), plate: Some(0) };
        assert_eq!(ours(&["plate", "category", "layout", "slots"]), all);
        assert_eq!(ours(&["dense_7"]), Roles::default());
        let theirs = |names: &[&str]| Roles::find(ReaderContract::FastPlateOcr, names);
        assert_eq!(theirs(&["output_0"]), Roles::default());
        assert_eq!(theirs(&["region", "plate"]), Roles { slots: 1, layout: Some(0), ..Roles::default() });
        assert_eq!(theirs(&["slots", "where"]), Roles { layout: Some(1), ..Roles::default() });
    }

    #[test]
    fn category_and_readability_come_with_the_text() {
        // Green is what the test model answers as the probability of a plate; gray plates have some.
        let mut image = street(320, 160, &[(16, 48, "ABC1D23")]);
        draw_plate(&mut image, 176, 48, 128, 64, "ZZZZZZZ", true);
        let quads = [16.0, 176.0].map(|x| Quad::from_rect(&Rect::new(x, 48.0, x + 128.0, 112.0)));
        let mut reader = Reader::open(&manifest("full.toml"), &options()).unwrap();
        let reads = reader.read(&RgbView::from(&image), &quads, &Stats::default()).unwrap();
        let [Some(plate), Some(lettering)] = reads.as_slice() else { panic!("{reads:?}") };
        assert_eq!(plate.reading.slots.greedy().0, "ABC1D23");
        assert_eq!(plate.reading.category.as_ref().and_then(Classes::sure), Some("commercial"));
        assert!(plate.readable && plate.plate.is_some_and(|p| p > 0.9), "{:?}", plate.plate);
        assert!(!lettering.readable && lettering.plate.is_some_and(|p| p < 0.1), "{:?}", lettering.plate);
        let mut patient = manifest("full.toml");
        patient.reader.plate_threshold = 0.0;
        let mut reader = Reader::open(&patient, &options()).unwrap();
        let reads = reader.read(&RgbView::from(&image), &quads, &Stats::default()).unwrap();
        assert!(reads.iter().flatten().all(|r| r.readable), "the manifest decides");
    }

    #[test]
    fn alphabet_and_layouts_must_fit_the_model() {
        let mut wrong = manifest("manifest.toml");
        wrong.reader.alphabet.push('-');
        let message = Reader::open(&wrong, &options()).err().unwrap().to_string();
        assert!(message.contains("`slots`") && message.contains("[1,9,37]") && message.contains("38"), "{message}");
        let mut wrong = manifest("manifest.toml");
        wrong.reader.layouts.pop();
        let message = Reader::open(&wrong, &options()).err().unwrap().to_string();
        assert!(message.contains("`layout`") && message.contains("[1,8]"), "{message}");
        let mut wrong = manifest("full.toml");
        wrong.reader.categories.push("taxi".to_owned());
        let message = Reader::open(&wrong, &options()).err().unwrap().to_string();
        assert!(message.contains("`category`") && message.contains("[N,8]") && message.contains("[1,7]"), "{message}");
        let mut wrong = manifest("manifest.toml");
        wrong.reader.file = "quad.onnx".into();
        let message = Reader::open(&wrong, &options()).err().unwrap().to_string();
        assert!(message.contains("`images`") && message.contains("gtv-slots"), "{message}");
    }
}
