//! Decodes what the plate reader asks for, hardware first, on a thread of its own so that recording never waits.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::codec::VideoConfig;
use super::decoder::StreamDecoder;
use super::error::MediaError;
use super::frame::DecodedFrame;
use super::slot::{FrameSlot, Wanted};
use super::wake::Wake;
use crate::base::ids::CameraId;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;

/// One encoded picture on its way to a decoder; the bytes are those of its recorded sample.
#[derive(Clone, Debug)]
pub struct Picture {
    pub data: Bytes,
    pub key: bool,
    pub time: UtcMicros,
    /// When it is shown on the stream's own continuous timeline, 1/90000 s.
    pub pts: i64,
    pub config: Arc<VideoConfig>,
}

/// Which decoder works and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoderChoice {
    pub name: String,
    /// What was tried before it and why that did not work.
    pub reason: String,
}

/// Pictures that may wait; two seconds of 30 frames. When a decoder is slower, whole groups are left out.
const QUEUE: usize = 60;
/// Pictures of the current group kept for the moment when all frames are wanted.
const BACKLOG: usize = 300;
const BACKLOG_BYTES: usize = 8 << 20;
/// After a surprise everything is decoded for this long: time for whoever watches to see the motion.
const AWAKE_US: i64 = 1_000_000;

/// The sending side, held by the camera's stream.
pub struct DecoderWorker {
    sender: SyncSender<Picture>,
    /// Something was left out: nothing until the next key frame can be decoded.
    broken: bool,
    choice: Arc<Mutex<Option<DecoderChoice>>>,
    camera: CameraId,
}

impl DecoderWorker {
    /// The worker and the loop that its thread must run.
    pub fn new(
        camera: CameraId,
        slot: Arc<FrameSlot>,
    ) -> (Self, impl FnMut(CancellationToken) -> Result<(), MediaError> + Send + 'static) {
        let (sender, receiver) = sync_channel(QUEUE);
        let choice = Arc::new(Mutex::new(None));
        let worker = Self { sender, broken: false, choice: choice.clone(), camera: camera.clone() };
        let receiver = Mutex::new(receiver);
        let run = move |token: CancellationToken| {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            Loop {
                camera: camera.clone(),
                slot: slot.clone(),
                choice: choice.clone(),
                decoder: StreamDecoder::default(),
                backlog: Vec::new(),
                backlog_bytes: 0,
                too_long: false,
                seen: 0,
                caught_up: false,
                wake: Wake::default(),
                awake_until_us: 0,
            }
            .run(&receiver, &token);
            Ok(())
        };
        (worker, run)
    }

    pub fn choice(&self) -> Option<DecoderChoice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Never blocks: what does not fit is left out up to the next key frame, and counted.
    pub fn offer(&mut self, picture: Picture) {
        if self.broken && !picture.key {
            self.count_drop();
            return;
        }
        self.broken = self.sender.try_send(picture).is_err();
        if self.broken {
            self.count_drop();
        }
    }

    fn count_drop(&self) {
        let camera = self.camera.to_string();
        metrics::counter!("gtv_dropped_total", "stage" => "decode", "reason" => "slow", "camera" => camera)
            .increment(1);
    }
}

struct Loop {
    camera: CameraId,
    slot: Arc<FrameSlot>,
    choice: Arc<Mutex<Option<DecoderChoice>>>,
    decoder: StreamDecoder,
    /// The current group from its key frame on.
    backlog: Vec<Picture>,
    backlog_bytes: usize,
    /// The group outgrew the backlog: it cannot be caught up with.
    too_long: bool,
    /// So many pictures of the backlog went through the decoder, which can go on from there.
    seen: usize,
    /// Of a group that is too long, the decoder has seen everything.
    caught_up: bool,
    wake: Wake,
    awake_until_us: i64,
}

impl Loop {
    fn run(&mut self, receiver: &Receiver<Picture>, token: &CancellationToken) {
        while !token.is_cancelled() {
            match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(picture) => {
                    if let Err(error) = self.take(picture) {
                        tracing::warn!(camera = %self.camera, %error, "decoder");
                        metrics::counter!("gtv_decoder_errors_total", "camera" => self.camera.to_string()).increment(1);
                        self.forget_group();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn forget_group(&mut self) {
        self.backlog.clear();
        self.backlog_bytes = 0;
        self.too_long = false;
        self.seen = 0;
        self.caught_up = false;
    }

    fn take(&mut self, picture: Picture) -> Result<(), MediaError> {
        if picture.key {
            self.forget_group();
        } else if self.backlog.is_empty() && !self.too_long {
            return Ok(());
        }
        let surprised = self.surprises(&picture);
        let wanted = match self.slot.wanted() {
            Wanted::KeyFrames if picture.time.0 < self.awake_until_us => Wanted::All,
            wanted => wanted,
        };
        self.backlog_bytes += picture.data.len();
        if self.too_long || self.backlog.len() >= BACKLOG || self.backlog_bytes > BACKLOG_BYTES {
            // Decoding goes on where it is under way; where it is not, the next key frame is waited for.
            self.caught_up |= !self.too_long && self.seen == self.backlog.len();
            self.too_long = true;
            self.backlog.clear();
            self.caught_up &= wanted == Wanted::All;
            return if self.caught_up { self.decode(&picture, false, true) } else { Ok(()) };
        }
        self.backlog.push(picture);
        match wanted {
            Wanted::Nothing => Ok(()),
            Wanted::KeyFrames => {
                let only = self.backlog.len() == 1;
                let key = if only { self.backlog.first().cloned() } else { None };
                key.map_or(Ok(()), |picture| self.decode(&picture, true, true))
            }
            Wanted::All => {
                let newest = self.backlog.len() - 1;
                let from = self.seen;
                // What came before a surprise is as still as the frames that nobody wanted.
                let shown = if surprised { newest.saturating_sub(1).max(from) } else { from };
                self.seen = newest + 1;
                let pictures: Vec<Picture> = self.backlog[from..].to_vec();
                let mut numbered = pictures.iter().zip(from..);
                numbered.try_for_each(|(picture, number)| self.decode(picture, false, number >= shown))
            }
        }
    }

    /// Whether this picture says that something began to move while only key frames are decoded.
    fn surprises(&mut self, picture: &Picture) -> bool {
        if picture.key || self.slot.wanted() != Wanted::KeyFrames {
            return false;
        }
        let time_us = picture.time.0;
        // A clock that went back must not keep the decoder awake for long.
        self.awake_until_us = self.awake_until_us.min(time_us.saturating_add(AWAKE_US));
        let surprised = self.wake.surprises(picture.data.len());
        if surprised {
            if time_us >= self.awake_until_us {
                metrics::counter!("gtv_decoder_wakes_total", "camera" => self.camera.to_string()).increment(1);
            }
            self.awake_until_us = time_us.saturating_add(AWAKE_US);
        }
        surprised
    }

    fn decode(&mut self, picture: &Picture, alone: bool, shown: bool) -> Result<(), MediaError> {
        let received = Instant::now();
        let (camera, slot) = (&self.camera, &self.slot);
        let result = self.decoder.decode(picture, alone, &mut |time, key, frame| {
            metrics::counter!("gtv_decoded_frames_total", "camera" => camera.to_string()).increment(1);
            if shown {
                slot.put(DecodedFrame::new(camera.clone(), time, received, key, frame));
            }
        });
        if let Some(choice) = self.decoder.take_choice() {
            tracing::info!(camera = %self.camera, decoder = choice.name, reason = choice.reason, "decoder chosen");
            *self.choice.lock().unwrap_or_else(PoisonError::into_inner) = Some(choice);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{RgbImage, jpeg};

    /// JPEG pictures stand for any codec: each can be decoded, and noise makes one large.
    fn picture(number: i64, key: bool, noise: bool) -> Picture {
        let value = |i: usize| if noise { (i.wrapping_mul(2_654_435_761) >> 7) as u8 } else { 90 };
        let image = RgbImage { width: 64, height: 64, data: (0..64 * 64 * 3).map(value).collect() };
        let data = jpeg::encode(&image, 85).unwrap();
        let config = Arc::new(VideoConfig::from_jpeg(&data).unwrap());
        Picture { data, key, time: UtcMicros(number * 100_000), pts: number * 9000, config }
    }

    fn watching(slot: &Arc<FrameSlot>) -> Loop {
        Loop {
            camera: "gate".parse().unwrap(),
            slot: slot.clone(),
            choice: Arc::default(),
            decoder: StreamDecoder::default(),
            backlog: Vec::new(),
            backlog_bytes: 0,
            too_long: false,
            seen: 0,
            caught_up: false,
            wake: Wake::default(),
            awake_until_us: 0,
        }
    }

    /// Numbers of the pictures that came out.
    fn seen(decoding: &mut Loop, pictures: impl IntoIterator<Item = Picture>) -> Vec<i64> {
        let slot = decoding.slot.clone();
        let taken = pictures.into_iter().filter_map(|picture| {
            decoding.take(picture).unwrap();
            slot.take().map(|frame| frame.time.0 / 100_000)
        });
        taken.collect()
    }

    #[test]
    fn a_large_frame_of_a_quiet_scene_is_decoded_with_what_follows() {
        let slot = Arc::new(FrameSlot::new(Wanted::KeyFrames));
        let mut decoding = watching(&slot);
        let pictures = (0..80).map(|i| picture(i, i % 50 == 0, i == 30));
        let wanted: Vec<i64> = [0].into_iter().chain(30..40).chain([50]).collect();
        assert_eq!(seen(&mut decoding, pictures), wanted, "key frames, and a second from the surprise on");
    }

    #[test]
    fn a_group_that_is_too_long_is_decoded_on_but_not_caught_up_with() {
        let slot = Arc::new(FrameSlot::new(Wanted::All));
        let mut decoding = watching(&slot);
        let most = BACKLOG as i64;
        let whole = seen(&mut decoding, (0..most + 20).map(|i| picture(i, i == 0, false)));
        assert_eq!(whole.len() as i64, most + 20, "what is being decoded goes on");
        slot.set_wanted(Wanted::KeyFrames);
        assert!(seen(&mut decoding, (most + 20..most + 25).map(|i| picture(i, false, false))).is_empty());
        slot.set_wanted(Wanted::All);
        let next = most + 25..most + 35;
        let after = seen(&mut decoding, next.map(|i| picture(i, i == most + 30, false)));
        assert_eq!(after, (most + 30..most + 35).collect::<Vec<_>>(), "from the next key frame on");
        assert!(decoding.backlog.len() < 10 && decoding.backlog_bytes < 100_000);
    }

    #[test]
    fn a_group_is_caught_up_with_when_all_frames_are_wanted() {
        let slot = Arc::new(FrameSlot::with_wake(Wanted::Nothing, || {}));
        let mut decoding = watching(&slot);
        assert!(seen(&mut decoding, (0..5).map(|i| picture(i, i == 0, false))).is_empty());
        slot.set_wanted(Wanted::All);
        assert_eq!(seen(&mut decoding, [picture(5, false, false)]), [5], "the newest of those caught up with");
        assert_eq!(decoding.seen, 6);
    }

    #[test]
    fn a_glance_into_a_group_goes_on_where_the_last_one_ended() {
        let slot = Arc::new(FrameSlot::new(Wanted::KeyFrames));
        let mut decoding = watching(&slot);
        assert_eq!(seen(&mut decoding, (0..10).map(|i| picture(i, i == 0, false))), [0]);
        assert_eq!(decoding.seen, 0, "a key frame alone leaves the decoder empty");
        for number in [10, 20] {
            slot.set_wanted(Wanted::All);
            assert_eq!(seen(&mut decoding, [picture(number, false, false)]), [number]);
            slot.set_wanted(Wanted::KeyFrames);
            assert!(seen(&mut decoding, (number + 1..number + 10).map(|i| picture(i, false, false))).is_empty());
            assert_eq!(decoding.seen as i64, number + 1);
        }
    }
}
