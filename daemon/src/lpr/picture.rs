//! Where pixels come from: a decoded frame or a still image. Only the parts that are looked at become RGB.

use super::error::LprError;
use super::resize::resize;
use crate::media::{DecodedFrame, RgbImage};

/// A borrowed RGB picture without row padding.
#[derive(Clone, Copy, Debug)]
pub struct RgbView<'a> {
    pub data: &'a [u8],
    pub width: usize,
    pub height: usize,
}

/// A rectangle of whole pixels inside a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Region {
    /// The part of `[x1, x2) x [y1, y2)` that lies in the picture; `None` when nothing does.
    pub fn clip(x1: i64, y1: i64, x2: i64, y2: i64, width: usize, height: usize) -> Option<Self> {
        let (cx1, cy1) = (x1.max(0), y1.max(0));
        let (cx2, cy2) = (x2.min(width as i64), y2.min(height as i64));
        (cx2 > cx1 && cy2 > cy1).then(|| Self {
            x: cx1 as usize,
            y: cy1 as usize,
            width: (cx2 - cx1) as usize,
            height: (cy2 - cy1) as usize,
        })
    }

    /// Widened to a multiple of `step` on both axes where the picture has room for it.
    fn stepped(self, step: usize, width: usize, height: usize) -> Self {
        let side = |at: usize, length: usize, limit: usize| {
            let length = length.next_multiple_of(step).min(limit);
            // Even, because chroma is.
            ((at.min(limit - length)) & !1, length)
        };
        // One step more where the even start cut something off at the far end.
        let covers = |(at, length): (usize, usize), end: usize| at + length >= end;
        let (mut across, mut down) = (side(self.x, self.width, width), side(self.y, self.height, height));
        if !covers(across, self.x + self.width) {
            across.1 = (across.1 + step).min(width - across.0);
        }
        if !covers(down, self.y + self.height) {
            down.1 = (down.1 + step).min(height - down.0);
        }
        Self { x: across.0, y: down.0, width: across.1, height: down.1 }
    }
}

pub trait Picture {
    fn width(&self) -> usize;
    fn height(&self) -> usize;

    /// The pixels of `region`, row by row, into `out`. The region lies inside the picture.
    fn crop(&self, region: Region, out: &mut Vec<u8>) -> Result<(), LprError>;

    /// `region` scaled to `width` x `height` by area averaging (bilinear where it grows), into `out`.
    fn scaled(&self, region: Region, width: usize, height: usize, out: &mut Vec<u8>) -> Result<(), LprError>;
}

impl Picture for RgbView<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn height(&self) -> usize {
        self.height
    }

    fn crop(&self, region: Region, out: &mut Vec<u8>) -> Result<(), LprError> {
        out.clear();
        out.reserve(region.width * region.height * 3);
        for y in region.y..region.y + region.height {
            let start = (y * self.width + region.x) * 3;
            out.extend_from_slice(&self.data[start..start + region.width * 3]);
        }
        Ok(())
    }

    fn scaled(&self, region: Region, width: usize, height: usize, out: &mut Vec<u8>) -> Result<(), LprError> {
        if region == (Region { x: 0, y: 0, width: self.width, height: self.height }) {
            resize(*self, width, height, out);
            return Ok(());
        }
        let mut pixels = Vec::new();
        self.crop(region, &mut pixels)?;
        resize(RgbView { data: &pixels, width: region.width, height: region.height }, width, height, out);
        Ok(())
    }
}

impl<'a> From<&'a RgbImage> for RgbView<'a> {
    fn from(image: &'a RgbImage) -> Self {
        Self { data: &image.data, width: image.width as usize, height: image.height as usize }
    }
}

/// Crops are asked for in steps of this many pixels: every size needs a converter of its own, and those are kept.
const STEP: usize = 64;

impl Picture for DecodedFrame {
    fn width(&self) -> usize {
        self.width as usize
    }

    fn height(&self) -> usize {
        self.height as usize
    }

    fn crop(&self, region: Region, out: &mut Vec<u8>) -> Result<(), LprError> {
        let Region { x, y, width, height } = region.stepped(STEP, self.width as usize, self.height as usize);
        let (image, (left, top)) = self
            .crop_rgb(x as i64, y as i64, width as i64, height as i64)
            .map_err(|e| LprError::Picture { what: format!("camera {}", self.camera), message: e.to_string() })?;
        let (dx, dy) = (region.x.saturating_sub(left as usize), region.y.saturating_sub(top as usize));
        RgbView::from(&image).crop(Region { x: dx, y: dy, ..region }, out)
    }

    fn scaled(&self, region: Region, width: usize, height: usize, out: &mut Vec<u8>) -> Result<(), LprError> {
        if region == (Region { x: 0, y: 0, width: self.width as usize, height: self.height as usize }) {
            // One pass from the decoder's YUV to what the network takes.
            let image = self
                .to_rgb_scaled(width as u32, height as u32)
                .map_err(|e| LprError::Picture { what: format!("camera {}", self.camera), message: e.to_string() })?;
            *out = image.data;
            return Ok(());
        }
        let mut pixels = Vec::new();
        self.crop(region, &mut pixels)?;
        resize(RgbView { data: &pixels, width: region.width, height: region.height }, width, height, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_take_the_right_pixels() {
        let data: Vec<u8> = (0..4 * 3 * 3).map(|i| i as u8).collect();
        let view = RgbView { data: &data, width: 4, height: 3 };
        let mut out = Vec::new();
        view.crop(Region { x: 1, y: 1, width: 2, height: 2 }, &mut out).unwrap();
        assert_eq!(out, [15, 16, 17, 18, 19, 20, 27, 28, 29, 30, 31, 32]);
    }

    #[test]
    fn steps_cover_the_region_and_stay_inside() {
        for (x, y, width, height) in [(0, 0, 1, 1), (3, 5, 32, 32), (1900, 1070, 20, 10), (1, 1, 1919, 1079)] {
            let region = Region { x, y, width, height };
            let wide = region.stepped(32, 1920, 1080);
            assert!(wide.x <= x && wide.y <= y, "{region:?} {wide:?}");
            assert!(wide.x + wide.width >= x + width && wide.y + wide.height >= y + height, "{region:?} {wide:?}");
            assert!(wide.x + wide.width <= 1920 && wide.y + wide.height <= 1080, "{region:?} {wide:?}");
            assert!(wide.x.is_multiple_of(2) && wide.y.is_multiple_of(2));
        }
    }

    #[test]
    fn clipping_stays_inside() {
        assert_eq!(Region::clip(-5, 2, 3, 90, 10, 8), Some(Region { x: 0, y: 2, width: 3, height: 6 }));
        assert_eq!(Region::clip(10, 0, 20, 5, 10, 8), None);
    }
}
