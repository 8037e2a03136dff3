//! The reader: upright plates to probabilities per character slot.

use std::sync::Arc;

use super::error::{ContractMismatch, LprError};
use super::fuse::{Layout, Reading, sharpness};
use super::geometry::Quad;
use super::grammar::Slots;
use super::manifest::{Manifest, ReaderContract};
use super::picture::{Picture, RgbView};
use super::rectify::{Upright, rectify};
use super::session::{Element, Input, Model, Options, Tensor, show_shape};
use super::stats::{Stage, Stats};

/// Plates read in one run of the model; more are read in several.
const BATCH: usize = 8;

/// One plate as read in one picture.
#[derive(Clone, Debug)]
pub struct Read {
    pub reading: Reading,
    /// See [`sharpness`].
    pub sharpness: f32,
}

pub struct Reader {
    model: Model,
    contract: ReaderContract,
    upright: Upright,
    gray: bool,
    batches: bool,
    alphabet: Arc<[char]>,
    layouts: Arc<[String]>,
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
        let (Some([batch, h @ 8..=1024, w @ 8..=1024, channels @ (1 | 3)]), true) =
            (shape, shape.is_some_and(|s| s.get(3) == Some(&3)) || spec.contract == ReaderContract::FastPlateOcr)
        else {
            return Err(mismatch(&model, manifest, tensor, expected, found));
        };
        let (upright, gray, batches) = (
            Upright { width: *w as usize, height: *h as usize, margin_x: spec.margin_x, margin_y: spec.margin_y },
            *channels == 1,
            *batch < 0,
        );
        let mut reader = Self {
            model,
            contract: spec.contract,
            upright,
            gray,
            batches,
            alphabet: spec.alphabet.chars().collect::<Vec<_>>().into(),
            layouts: spec.layouts.clone().into(),
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

    pub fn contract(&self) -> ReaderContract {
        self.contract
    }

    /// Reads the plates with these corners; `None` for one that lies outside the picture or is no plate at all.
    pub fn read(
        &mut self,
        picture: &dyn Picture,
        quads: &[Quad],
        stats: &Stats,
    ) -> Result<Vec<Option<Read>>, LprError> {
        let size = self.upright.width * self.upright.height * 3;
        let mut reads: Vec<Option<Read>> = vec![None; quads.len()];
        let batch = if self.batches { BATCH } else { 1 };
        let mut pending: Vec<usize> = Vec::with_capacity(batch);
        let mut plates = std::mem::take(&mut self.plates);
        plates.clear();
        for (i, quad) in quads.iter().enumerate() {
            let Some(region) = self.upright.region(quad, picture.width(), picture.height()) else { continue };
            stats.time(Stage::Rectify, || {
                picture.crop(region, &mut self.crop)?;
                let source = RgbView { data: &self.crop, width: region.width, height: region.height };
                let quad = quad.translate(-(region.x as f32), -(region.y as f32));
                let at = plates.len();
                plates.resize(at + size, 0);
                rectify(source, &quad, &self.upright, &mut plates[at..]);
                Ok(())
            })?;
            pending.push(i);
            if pending.len() == batch {
                self.finish(&mut pending, &mut plates, &mut reads, stats)?;
            }
        }
        self.finish(&mut pending, &mut plates, &mut reads, stats)?;
        self.plates = plates;
        Ok(reads)
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
            reads[plate] = self.reading(row).map(|reading| Read { reading, sharpness });
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
        let values = |output: &Tensor| -> Option<Vec<f32>> {
            let size = output.data.len().checked_div(*output.shape.first()?)?;
            output.data.get(row * size..(row + 1) * size).map(<[f32]>::to_vec)
        };
        let slots = Slots::new(Arc::clone(&self.alphabet), values(self.outputs.first()?)?)?;
        let layout = self.outputs.get(1).filter(|_| !self.layouts.is_empty()).and_then(values);
        let layout = layout.map(|probabilities| Layout { names: Arc::clone(&self.layouts), probabilities });
        Some(Reading { slots, layout })
    }

    /// The slots must be whole over the alphabet, `[N,S,C]` or flat `[N,S*C]`, and the layouts as many as named.
    fn check_outputs(&self, manifest: &Manifest) -> Result<(), LprError> {
        let classes = self.alphabet.len();
        let name = |i: usize| self.model.outputs().get(i).map_or("", |o| o.name.as_str());
        let shape = |t: &Tensor| show_shape(&t.shape.iter().map(|d| *d as i64).collect::<Vec<_>>());
        let fits = |t: &Tensor| match t.shape.as_slice() {
            [_, slots, c] => *slots > 0 && *c == classes,
            [_, flat] => *flat > 0 && flat % classes == 0,
            _ => false,
        };
        match self.outputs.first() {
            Some(slots) if fits(slots) => {}
            other => {
                let found = other.map_or("absent".to_owned(), shape);
                let expected = format!("float32[N,slots,{classes}], one class for each character of the alphabet");
                return Err(mismatch(&self.model, manifest, format!("output `{}`", name(0)), &expected, found));
            }
        }
        let named = self.layouts.len();
        match self.outputs.get(1) {
            Some(layout) if named > 0 && layout.shape.last() != Some(&named) => {
                let expected = format!("float32[N,{named}], one class for each layout in the manifest");
                Err(mismatch(&self.model, manifest, format!("output `{}`", name(1)), &expected, shape(layout)))
            }
            _ => Ok(()),
        }
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
    fn plates_are_read_in_batches_and_in_order() {
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
        assert_eq!(texts(&manifest("manifest.toml"), &image, &quads), wanted);
    }

    #[test]
    fn readers_of_fast_plate_ocr_load_flat_or_gray_with_regions() {
        let mut image = street(320, 160, &[(64, 48, "QRS4E67")]);
        let quad = Quad::from_rect(&Rect::new(64.0, 48.0, 192.0, 112.0));
        let mut v1 = manifest("foreign.toml");
        v1.reader.file = "ocr-v1.onnx".into();
        assert_eq!(texts(&v1, &image, &[quad]), ["QRS4E67"]);
        draw_plate(&mut image, 64, 48, 128, 64, "QRS4E67", true);
        let v2 = manifest("foreign.toml");
        assert_eq!(texts(&v2, &image, &[quad]), ["QRS4E67"]);
        let mut reader = Reader::open(&v2, &options()).unwrap();
        let read = reader.read(&RgbView::from(&image), &[quad], &Stats::default()).unwrap().remove(0).unwrap();
        let belief = read.reading.layout.expect("regions").belief();
        assert!(belief.old > 0.3 && belief.mercosul > 0.3, "Brazil counts for both formats: {belief:?}");
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
        let mut wrong = manifest("manifest.toml");
        wrong.reader.file = "quad.onnx".into();
        let message = Reader::open(&wrong, &options()).err().unwrap().to_string();
        assert!(message.contains("`images`") && message.contains("gtv-slots"), "{message}");
    }
}
