//! Pure. The pictures since the last key frame, so that a viewer of single pictures begins at once.
//!
//! Costs next to nothing while nobody watches: the bytes are those that wait in the muxer for their fragment.

use crate::base::time::UtcMicros;
use crate::media::Picture;

/// The bounds of a camera with a very long group of pictures: past them viewers wait for the next one.
const MAX_BYTES: usize = 16 << 20;
const MAX_PICTURES: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Pictures {
    kept: Vec<Picture>,
    bytes: usize,
    /// The latest time of showing so far in this group.
    latest: i64,
    reordered: bool,
}

impl Pictures {
    pub fn push(&mut self, picture: &Picture) {
        if picture.key {
            let same = self.kept.last().is_some_and(|last| last.config == picture.config);
            self.reordered &= same;
            self.clear();
            self.latest = picture.pts;
        } else if self.kept.is_empty() {
            // Nothing can be shown from the middle of a group.
            return;
        }
        // A picture that is shown before one that came earlier: B-frames.
        self.reordered |= picture.pts < self.latest;
        self.latest = self.latest.max(picture.pts);
        self.bytes += picture.data.len();
        self.kept.push(picture.clone());
        if self.bytes > MAX_BYTES || self.kept.len() > MAX_PICTURES {
            self.clear();
        }
    }

    /// From the last key frame on; empty while there is none.
    pub fn recent(&self) -> Vec<Picture> {
        self.kept.clone()
    }

    /// Time on the stream's own timeline and of the world.
    pub fn newest(&self) -> Option<(i64, UtcMicros)> {
        self.kept.last().map(|picture| (picture.pts, picture.time))
    }

    /// Whether the camera sends B-frames: pictures are shown in another order than they come.
    pub fn reordered(&self) -> bool {
        let declared = self.kept.last().and_then(|picture| picture.config.reorder);
        self.reordered || declared.is_some_and(|frames| frames > 0)
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::media::VideoConfig;

    /// MJPEG stands for any codec.
    pub fn picture(pts: i64, key: bool, bytes: usize) -> Picture {
        let jpeg = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 16, 0, 16, 1, 1, 0x11, 0];
        let config = Arc::new(VideoConfig::from_jpeg(&jpeg).unwrap());
        Picture { data: Bytes::from(vec![0; bytes]), key, time: UtcMicros(pts * 100 / 9), pts, config }
    }

    fn shown(pictures: &Pictures) -> Vec<i64> {
        pictures.recent().iter().map(|picture| picture.pts).collect()
    }

    #[test]
    fn begins_with_a_key_frame_and_stays_within_its_bound() {
        let mut pictures = Pictures::default();
        pictures.push(&picture(1, false, 1));
        assert!(shown(&pictures).is_empty());
        for (pts, key) in [(2, true), (3, false), (4, true), (5, false)] {
            pictures.push(&picture(pts, key, 1));
        }
        assert_eq!(shown(&pictures), [4, 5]);
        pictures.push(&picture(6, false, MAX_BYTES));
        pictures.push(&picture(7, false, 1));
        assert!(shown(&pictures).is_empty());
    }

    #[test]
    fn notices_pictures_out_of_order() {
        let mut pictures = Pictures::default();
        for (pts, key) in [(0, true), (1, false), (2, false), (3, true)] {
            pictures.push(&picture(pts, key, 1));
        }
        assert!(!pictures.reordered());
        for pts in [9, 6, 12] {
            pictures.push(&picture(pts, false, 1));
        }
        assert!(pictures.reordered());
        // The next group tells the same; nobody begins in between and is sent what a browser cannot show.
        pictures.push(&picture(15, true, 1));
        assert!(pictures.reordered());
    }
}
