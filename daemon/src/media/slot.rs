//! A mailbox for the newest decoded frame of one camera: latest wins, what is replaced unseen is counted.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::frame::DecodedFrame;
use super::ring::PictureRing;

/// Which frames the reader of the slot wants decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    /// Enough while the scene is quiet, at a small part of the decoding cost.
    KeyFrames,
    All,
}

/// See the module. Shared as `Arc<FrameSlot>` between one decoder and one reader.
pub struct FrameSlot {
    frame: Mutex<Option<DecodedFrame>>,
    arrived: Condvar,
    wanted: AtomicU8,
    main: Arc<PictureRing>,
    wake: Option<Box<dyn Fn() + Send + Sync>>,
}

impl FrameSlot {
    pub fn new(wanted: Wanted) -> Self {
        Self {
            frame: Mutex::new(None),
            arrived: Condvar::new(),
            wanted: AtomicU8::new(wanted as u8),
            main: Arc::default(),
            wake: None,
        }
    }

    /// `wake` is called after each frame put, for a reader that waits on many slots at once. It must not block.
    pub fn with_wake(wanted: Wanted, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { wake: Some(Box::new(wake)), ..Self::new(wanted) }
    }

    /// True when an unseen frame was replaced.
    pub fn put(&self, frame: DecodedFrame) -> bool {
        let replaced = self.lock().replace(frame);
        self.arrived.notify_one();
        if let Some(wake) = &self.wake {
            wake();
        }
        if replaced.is_some() {
            metrics::counter!("gtv_dropped_total", "stage" => "lpr", "reason" => "replaced").increment(1);
        }
        replaced.is_some()
    }

    pub fn take(&self) -> Option<DecodedFrame> {
        self.lock().take()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.lock().is_none()
    }

    pub fn take_timeout(&self, limit: Duration) -> Option<DecodedFrame> {
        let (mut frame, _) = self
            .arrived
            .wait_timeout_while(self.lock(), limit, |frame| frame.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        frame.take()
    }

    pub fn wanted(&self) -> Wanted {
        match self.wanted.load(Ordering::Relaxed) {
            0 => Wanted::Nothing,
            1 => Wanted::KeyFrames,
            _ => Wanted::All,
        }
    }

    pub fn set_wanted(&self, wanted: Wanted) {
        self.wanted.store(wanted as u8, Ordering::Relaxed);
    }

    /// The main stream, still encoded, of a camera whose frames here are those of its sub stream; otherwise empty.
    pub fn main(&self) -> &Arc<PictureRing> {
        &self.main
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<DecodedFrame>> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
