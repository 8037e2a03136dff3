//! Watches a camera whose plates are not read for motion alone, with the same gate, at the price of its key frames.

use std::sync::Arc;
use std::time::Duration;

use super::gate::{self, Gate, Verdict};
use crate::base::ids::CameraId;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::media::{FrameSlot, Wanted};

/// Told of each picture that was looked at, and whether something moves in it. Must not block.
pub type Looks = Arc<dyn Fn(&CameraId, UtcMicros, bool) + Send + Sync>;

const IDLE: Duration = Duration::from_millis(500);

/// Watches what comes into the returned mailbox until `tasks` are cancelled.
pub fn watch_motion(camera: &CameraId, looks: Looks, tasks: &Tasks) -> Arc<FrameSlot> {
    let slot = Arc::new(FrameSlot::new(Wanted::KeyFrames));
    let (camera, frames, progress) = (camera.clone(), slot.clone(), tasks.clone());
    tasks.spawn_thread("motion", OnExit::Restart, move |token| {
        let mut gate = Gate::new(gate::Settings::default());
        while !token.is_cancelled() {
            progress.progress("motion");
            let Some(frame) = frames.take_timeout(IDLE) else { continue };
            let luma = frame.luma_scaled(gate::WIDTH as u32, gate::HEIGHT as u32);
            // A picture that cannot be scaled counts as motion: rather too much than the moment that counts.
            let verdict = gate.see(frame.time.0, luma.as_ref().map_or(&[], |luma| &luma.data));
            looks(&camera, frame.time, verdict == Verdict::Look);
        }
        Ok(())
    });
    slot
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;
    use crate::media::{DecodedFrame, RgbImage};

    #[tokio::test]
    async fn a_square_that_appears_is_motion_and_a_still_picture_is_not() {
        let seen: Arc<Mutex<Vec<(i64, bool)>>> = Arc::default();
        let tasks = Tasks::new();
        let told = seen.clone();
        let looks: Looks = Arc::new(move |_, time, moved| told.lock().unwrap().push((time.0 / 1_000_000, moved)));
        let camera: CameraId = "gate".parse().unwrap();
        let slot = watch_motion(&camera, looks, &tasks);
        for second in 0..20 {
            let mut image = RgbImage { width: 320, height: 180, data: vec![60; 320 * 180 * 3] };
            if second == 15 {
                for row in 60..120 {
                    image.data[(row * 320 + 100) * 3..(row * 320 + 200) * 3].fill(220);
                }
            }
            let frame = DecodedFrame::from_rgb(camera.clone(), UtcMicros(second * 1_000_000), true, &image).unwrap();
            slot.put(frame);
            let until = Instant::now() + Duration::from_secs(10);
            while seen.lock().unwrap().len() <= second as usize {
                assert!(Instant::now() < until, "frame {second} was not looked at");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        let moved: Vec<i64> = seen.lock().unwrap().iter().filter(|(_, moved)| *moved).map(|(at, _)| *at).collect();
        assert!(moved.contains(&15) && !moved.contains(&10) && !moved.contains(&14), "{moved:?}");
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
    }
}
