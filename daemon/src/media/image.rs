//! Pure. An RGB picture in memory.

/// Rows without padding, three bytes a pixel: `data.len() == width * height * 3`.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

impl RgbImage {
    /// `None` where the length of `data` does not fit the size.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Option<Self> {
        let expected = (width as usize).checked_mul(height as usize)?.checked_mul(3)?;
        (data.len() == expected).then_some(Self { width, height, data })
    }

    pub fn filled(width: u32, height: u32, color: [u8; 3]) -> Self {
        let pixels = width as usize * height as usize;
        Self { width, height, data: color.iter().copied().cycle().take(pixels * 3).collect() }
    }

    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (y as usize * self.width as usize + x as usize) * 3;
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }

    /// The part of the picture inside the given rectangle, cut to its borders; `None` where nothing is left.
    pub fn crop(&self, x: i64, y: i64, width: i64, height: i64) -> Option<Self> {
        let left = x.clamp(0, i64::from(self.width));
        let top = y.clamp(0, i64::from(self.height));
        let right = x.saturating_add(width).clamp(left, i64::from(self.width));
        let bottom = y.saturating_add(height).clamp(top, i64::from(self.height));
        if right == left || bottom == top {
            return None;
        }
        let stride = self.width as usize * 3;
        let (from, to) = (left as usize * 3, right as usize * 3);
        let mut data = Vec::with_capacity((to - from) * (bottom - top) as usize);
        for row in top as usize..bottom as usize {
            data.extend_from_slice(&self.data[row * stride + from..row * stride + to]);
        }
        Some(Self { width: (right - left) as u32, height: (bottom - top) as u32, data })
    }
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crop_stays_inside() {
        let mut image = RgbImage::filled(4, 3, [0, 0, 0]);
        image.data[(4 + 2) * 3] = 7;
        let crop = image.crop(2, 1, 100, 100).unwrap();
        assert_eq!((crop.width, crop.height, crop.pixel(0, 0)), (2, 2, [7, 0, 0]));
        assert!(image.crop(4, 0, 1, 1).is_none());
        assert!(image.crop(-5, -5, 5, 5).is_none());
        assert!(image.crop(0, 0, i64::MAX, i64::MAX).is_some());
        assert!(RgbImage::new(2, 2, vec![0; 11]).is_none());
    }
}
