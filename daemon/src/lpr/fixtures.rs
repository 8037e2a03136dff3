//! For tests: the tiny models of `tests/data/lpr` and pictures whose plates those models find and read.

use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::session::Options;
use crate::config::{LprConfig, Provider};
use crate::media::RgbImage;

const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lpr").join(name)
}

pub fn manifest(name: &str) -> Manifest {
    Manifest::load(&path(name)).unwrap()
}

pub fn options() -> Options {
    Options { library: None, provider: Provider::Auto, threads: 1 }
}

pub fn config(name: &str) -> LprConfig {
    LprConfig { manifest: path(name), threads: 1, ..LprConfig::default() }
}

/// A plain street with plates of 128x64 px at the given corners.
pub fn street(width: usize, height: usize, plates: &[(usize, usize, &str)]) -> RgbImage {
    let mut image = RgbImage::filled(width as u32, height as u32, [90, 90, 90]);
    for (x, y, text) in plates {
        draw_plate(&mut image, *x, *y, 128, 64, text, false);
    }
    image
}

/// What `tests/data/lpr/make.py` describes; `gray` plates can be read but not found.
pub fn draw_plate(image: &mut RgbImage, x: usize, y: usize, width: usize, height: usize, text: &str, gray: bool) {
    let row = image.width as usize * 3;
    for dy in 0..height {
        for dx in 0..width {
            let c = text.chars().nth(dx * 9 / width).unwrap_or('_');
            let code = ALPHABET.find(c).unwrap() as u8 * 7;
            let pixel = if gray { [code; 3] } else { [255, 0, code] };
            let at = (y + dy) * row + (x + dx) * 3;
            image.data[at..at + 3].copy_from_slice(&pixel);
        }
    }
}
