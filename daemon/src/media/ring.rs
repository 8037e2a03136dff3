//! The newest pictures of a stream, still encoded, and the frames that somebody asks for out of them. For a camera whose
//! sub stream is watched: its main stream costs no decoding until there is something to look at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::decode::Picture;
use super::decoder::StreamDecoder;
use super::error::MediaError;
use super::frame::DecodedFrame;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// Groups kept whole: the one under way and the one before it, for a frame asked for right after a key frame.
const GROUPS: usize = 2;
/// Pictures and bytes kept at most; a group that is longer cannot be decoded from.
const PICTURES: usize = 400;
const BYTES: usize = 16 << 20;

#[derive(Default)]
struct Kept {
    pictures: VecDeque<(u64, Picture)>,
    bytes: usize,
    next: u64,
}

/// See the module. Shared between the stream that fills it and the reader that asks.
#[derive(Default)]
pub struct PictureRing {
    kept: Mutex<Kept>,
}

impl PictureRing {
    pub fn push(&self, picture: Picture) {
        let mut kept = self.lock();
        if kept.pictures.is_empty() && !picture.key {
            return;
        }
        if picture.key && kept.pictures.iter().filter(|(_, p)| p.key).count() >= GROUPS {
            kept.forget_oldest_group();
        }
        kept.bytes += picture.data.len();
        let number = kept.next;
        kept.next += 1;
        kept.pictures.push_back((number, picture));
        while kept.pictures.len() > PICTURES || kept.bytes > BYTES {
            kept.forget_oldest_group();
        }
    }

    /// Time of the newest picture.
    pub fn newest(&self) -> Option<UtcMicros> {
        self.lock().pictures.iter().map(|(_, picture)| picture.time).max()
    }

    /// What has to be decoded, after picture `done`, to get the one nearest to `time`; and that one's time. Whether the
    /// first of them follows `done` directly is for the decoder to see.
    fn towards(&self, time: UtcMicros, done: Option<u64>) -> Option<(Vec<(u64, Picture)>, UtcMicros)> {
        let kept = self.lock();
        let pictures = &kept.pictures;
        let target = (0..pictures.len()).min_by_key(|i| pictures[*i].1.time.0.abs_diff(time.0))?;
        let key = (0..=target).rev().find(|i| pictures[*i].1.key)?;
        // Pictures after the target bring it out of a decoder that reorders; they end with the group.
        let end = (target + 1..pictures.len()).find(|i| pictures[*i].1.key).unwrap_or(pictures.len());
        let until = (target + 1 + pictures[target].1.config.reorder.unwrap_or(0)).min(end);
        let from = match done {
            Some(done) if (pictures[key].0..=pictures[until - 1].0).contains(&done) => {
                (key..until).find(|i| pictures[*i].0 > done).unwrap_or(until)
            }
            _ => key,
        };
        Some((pictures.range(from..until).cloned().collect(), pictures[target].1.time))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget_oldest_group(&mut self) {
        let mut first = true;
        while self.pictures.front().is_some_and(|(_, picture)| first || !picture.key) {
            first = false;
            let picture = self.pictures.pop_front();
            self.bytes -= picture.map_or(0, |(_, picture)| picture.data.len());
        }
    }
}

/// Decodes out of a ring, forwards where it can.
pub struct RingReader {
    camera: CameraId,
    ring: Arc<PictureRing>,
    decoder: StreamDecoder,
    /// The picture decoded last.
    done: Option<u64>,
    /// Frames that came out last, newest at the end: a decoder that reorders gives more than was asked for.
    recent: VecDeque<Arc<DecodedFrame>>,
}

/// Frames remembered; reordering of H.264 and H.265 holds back at most 16, cameras use 0 to 3.
const RECENT: usize = 4;

impl RingReader {
    pub fn new(camera: CameraId, ring: Arc<PictureRing>) -> Self {
        Self { camera, ring, decoder: StreamDecoder::default(), done: None, recent: VecDeque::new() }
    }

    /// Time of the newest picture that can be asked for.
    pub fn newest(&self) -> Option<UtcMicros> {
        self.ring.newest()
    }

    /// The frame nearest to `time`; `None` while the ring has none within `tolerance_us` of it.
    pub fn frame_at(&mut self, time: UtcMicros, tolerance_us: u64) -> Result<Option<Arc<DecodedFrame>>, MediaError> {
        let Some((pictures, target)) = self.ring.towards(time, self.done) else { return Ok(None) };
        if target.0.abs_diff(time.0) > tolerance_us {
            return Ok(None);
        }
        for (number, picture) in pictures {
            if picture.key {
                // Frames of a group that was left behind never come out.
                self.recent.clear();
            }
            let received = Instant::now();
            let (camera, recent) = (&self.camera, &mut self.recent);
            let decoded = self.decoder.decode(&picture, false, &mut |time, key, frame| {
                if recent.len() == RECENT {
                    recent.pop_front();
                }
                recent.push_back(Arc::new(DecodedFrame::new(camera.clone(), time, received, key, frame)));
            });
            if decoded.is_err() {
                self.done = None;
                self.recent.clear();
                return decoded.map(|()| None);
            }
            self.done = Some(number);
        }
        let nearest = self.recent.iter().min_by_key(|frame| frame.time.0.abs_diff(target.0));
        Ok(nearest.filter(|frame| frame.time.0.abs_diff(time.0) <= tolerance_us).cloned())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::codec::VideoConfig;
    use crate::media::{RgbImage, jpeg};

    /// JPEG pictures stand for any codec: each says its number by its brightness.
    fn picture(frame: i64, group: i64) -> Picture {
        let value = (frame % 250) as u8;
        let image = RgbImage { width: 16, height: 16, data: vec![value; 16 * 16 * 3] };
        let data = jpeg::encode(&image, 95).unwrap();
        let config = Arc::new(VideoConfig::from_jpeg(&data).unwrap());
        Picture { data, key: frame % group == 0, time: UtcMicros(frame * 40_000), pts: frame * 3600, config }
    }

    fn large(frame: i64, bytes: usize) -> Picture {
        Picture { data: Bytes::from(vec![0; bytes]), ..picture(frame, 10) }
    }

    fn numbers(ring: &PictureRing, frame: i64, done: Option<u64>) -> Vec<u64> {
        ring.towards(UtcMicros(frame * 40_000 + 3), done).map_or(Vec::new(), |(p, _)| p.iter().map(|p| p.0).collect())
    }

    #[test]
    fn a_frame_is_reached_from_its_key_frame_or_from_the_last_one_decoded() {
        let ring = PictureRing::default();
        assert!(numbers(&ring, 3, None).is_empty());
        (0..25).for_each(|i| ring.push(picture(i, 10)));
        assert_eq!(ring.newest(), Some(UtcMicros(24 * 40_000)));
        assert_eq!(numbers(&ring, 22, None), [20, 21, 22]);
        assert_eq!(numbers(&ring, 22, Some(20)), [21, 22]);
        assert!(numbers(&ring, 22, Some(22)).is_empty(), "it came out already");
        assert_eq!(numbers(&ring, 12, Some(22)), [10, 11, 12], "back in time");
        assert_eq!(numbers(&ring, 24, Some(12)), [20, 21, 22, 23, 24], "the next group needs its key frame");
        assert_eq!(numbers(&ring, 3, None).first(), Some(&10), "two groups are kept, the nearest is their first");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let ring = PictureRing::default();
        (1..9).for_each(|i| ring.push(picture(i, 10)));
        assert_eq!(ring.newest(), None, "nothing before the first key frame");
        (0..600).for_each(|i| ring.push(picture(i, 5000)));
        assert!(ring.lock().pictures.len() <= PICTURES);
        (0..40).for_each(|i| ring.push(large(i, 1 << 20)));
        let kept = ring.lock();
        assert!(kept.bytes <= BYTES && kept.pictures.front().is_none_or(|(_, p)| p.key), "{}", kept.bytes);
    }

    #[test]
    fn the_frame_nearest_to_a_time_comes_out() {
        let ring = Arc::new(PictureRing::default());
        let mut reader = RingReader::new("gate".parse().unwrap(), Arc::clone(&ring));
        assert!(reader.frame_at(UtcMicros(0), 1_000_000).unwrap().is_none());
        (0..25).for_each(|i| ring.push(picture(i, 10)));
        for (asked_us, frame) in [(480_100, 12), (640_100, 16), (640_100, 16), (900_000, 22), (420_000, 10)] {
            let found = reader.frame_at(UtcMicros(asked_us), 20_000).unwrap().expect("a frame");
            let luma = found.luma_scaled(16, 16).unwrap().data[0];
            assert_eq!(found.time.0, frame * 40_000, "{asked_us}");
            assert!(luma.abs_diff(frame as u8) <= 16 + frame as u8, "{luma} of {frame}");
        }
        assert!(reader.frame_at(UtcMicros(3_000_000), 100_000).unwrap().is_none(), "too far");
        ring.push(Picture { data: Bytes::from_static(b"garbage"), ..picture(30, 10) });
        assert!(!matches!(reader.frame_at(UtcMicros(1_200_000), 1000), Ok(Some(_))), "nothing comes of garbage");
    }
}
