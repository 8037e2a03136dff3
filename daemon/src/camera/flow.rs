//! What one stream brings while it is connected: packets into the pipe, fragments to whoever takes them, figures to the
//! board; and the notice that nothing comes any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CameraSettings;
use super::status::{Board, CameraState, StreamInfo, StreamStatus};
use crate::base::clocks::SenderReport;
use crate::base::time::UtcMicros;
use crate::config::CameraClock;
use crate::media::{
    Arrival, AudioParams, DecoderWorker, Fragment, FragmentSinks, MediaError, Picture, PictureRing, PipeCounts,
    PipeOutput, Sound, StreamKind, StreamPipe, VideoParams,
};

/// A camera that sends no picture for this long is connected anew.
pub const STALL: Duration = Duration::from_secs(8);
/// Groups of pictures may be this long before a stream counts as unusable.
const FIRST_PICTURE: Duration = Duration::from_secs(30);
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Who takes what a stream becomes.
pub struct Output {
    pub sinks: FragmentSinks,
    pub decoder: Option<DecoderWorker>,
    /// Keeps the newest pictures for whoever watches the camera's other stream.
    pub ring: Option<Arc<PictureRing>>,
}

impl PipeOutput for Output {
    fn fragment(&mut self, fragment: Arc<Fragment>) {
        for sink in &self.sinks {
            sink.push(&fragment);
        }
    }

    fn picture(&mut self, picture: Picture) {
        for sink in &self.sinks {
            sink.picture(&picture);
        }
        if let Some(ring) = &self.ring {
            ring.push(picture.clone());
        }
        if let Some(decoder) = &mut self.decoder {
            decoder.offer(picture);
        }
    }

    fn sound(&mut self, sound: Sound) {
        for sink in &self.sinks {
            sink.sound(&sound);
        }
    }

    fn wants_parts(&self) -> bool {
        self.sinks.iter().any(|sink| sink.wants_parts())
    }
}

/// See the module.
pub struct Flow {
    settings: Arc<CameraSettings>,
    kind: StreamKind,
    place: String,
    board: Arc<Board>,
    pipe: StreamPipe,
    output: Output,
    /// Which client reads, for the status.
    client: String,
    /// Why the stream is not running now.
    failure: Option<MediaError>,
    watch: Watch,
}

/// When things came last, and what was reported.
struct Watch {
    data: Instant,
    frame: Instant,
    /// For how long data may come without a frame.
    limit: Duration,
    frames: u64,
    report: Instant,
    reported: PipeCounts,
    /// Nothing was reported on this connection yet.
    first: bool,
}

impl Watch {
    fn new(counts: PipeCounts) -> Self {
        let now = Instant::now();
        let frames = counts.frames;
        Self { data: now, frame: now, limit: FIRST_PICTURE, frames, report: now, reported: counts, first: true }
    }
}

impl Flow {
    pub fn new(
        settings: Arc<CameraSettings>,
        kind: StreamKind,
        place: String,
        board: Arc<Board>,
        output: Output,
        not_before: Option<UtcMicros>,
    ) -> Self {
        let part_us = i64::try_from(settings.part.as_micros()).unwrap_or(i64::MAX);
        let pipe = StreamPipe::new(settings.id.clone(), kind, part_us, not_before);
        let watch = Watch::new(pipe.counts);
        Self { settings, kind, place, board, pipe, output, client: String::new(), failure: None, watch }
    }

    /// A connection plays.
    pub fn begin(
        &mut self,
        video: &VideoParams,
        audio: Option<&AudioParams>,
        audio_refused: Option<&str>,
        client: String,
    ) {
        let gap = self.failure.as_ref().map(|error| Arc::from(error.to_string()));
        let refused = self.pipe.connect(video, audio, gap);
        if let Some(reason) = refused.as_deref().or(audio_refused) {
            tracing::warn!(camera = %self.settings.id, stream = %self.kind, reason, "recording without sound");
        }
        self.client = client;
        self.watch = Watch::new(self.pipe.counts);
    }

    /// A piece of video from libavformat.
    pub fn video(&mut self, piece: &[u8], pts: Option<i64>, arrival: Arrival) {
        self.pipe.push_video(piece, pts, arrival, &mut self.output);
        self.watch.data = Instant::now();
    }

    pub fn audio(&mut self, data: &[u8], pts: Option<i64>, arrival: Arrival) {
        self.pipe.push_audio(data, pts, arrival, &mut self.output);
    }

    /// The payload of a video packet; `lost`: packets are missing before it. [`Flow::video_came`] must follow, once for
    /// all packets that are taken together.
    pub fn video_payload(&mut self, payload: &[u8], lost: bool, pts: i64, arrival: Arrival) {
        self.pipe.push_video_payload(payload, lost, pts, arrival, &mut self.output);
    }

    pub fn audio_payload(&mut self, payload: &[u8], pts: i64, arrival: Arrival) {
        self.pipe.push_audio_payload(payload, pts, arrival, &mut self.output);
    }

    pub fn video_report(&mut self, report: SenderReport) {
        self.pipe.push_report(report);
    }

    pub fn video_came(&mut self) {
        self.watch.data = Instant::now();
    }

    /// Whether somebody needs frames as they come: viewers, the plate reader, or a connection that has yet to show that
    /// it works.
    pub fn is_urgent(&self) -> bool {
        let Output { sinks, decoder, ring } = &self.output;
        let watched = sinks.iter().any(|sink| sink.wants_parts() || sink.wants_pictures());
        self.watch.first || decoder.is_some() || ring.is_some() || watched
    }

    /// Reports what is new, and fails when nothing comes. To be called several times a second at least.
    pub fn check(&mut self, progress: &impl Fn()) -> Result<(), MediaError> {
        if self.pipe.counts.frames != self.watch.frames {
            self.watch.frames = self.pipe.counts.frames;
            self.watch.frame = Instant::now();
            self.watch.limit = STALL;
            if self.watch.first {
                self.failure = None;
                self.report(progress);
            }
        }
        if self.watch.report.elapsed() >= REPORT_EVERY {
            if self.watch.frames != self.watch.reported.frames {
                self.report(progress);
            }
            self.follow_clock();
        }
        // Sound, or packets without pictures, may go on while the picture stands still.
        if self.watch.data.elapsed() >= STALL {
            return Err(MediaError::Stalled { place: self.place.clone(), seconds: STALL.as_secs() });
        }
        if self.watch.data.saturating_duration_since(self.watch.frame) >= self.watch.limit {
            let seconds = self.watch.limit.as_secs();
            return Err(MediaError::Unusable { place: self.place.clone(), seconds });
        }
        Ok(())
    }

    /// The connection is over: gives out what is complete.
    pub fn end(&mut self) {
        self.pipe.disconnect(&mut self.output);
    }

    /// The stream does not run, and why.
    pub fn fail(&mut self, error: MediaError) {
        let state = match &error {
            MediaError::Unauthorised { .. } => CameraState::Unauthorised,
            MediaError::Stalled { .. }
            | MediaError::Unusable { .. }
            | MediaError::Ended { .. }
            | MediaError::Protocol { .. } => CameraState::Stalled,
            _ => CameraState::Unreachable,
        };
        let code = error.code();
        let reason = error.to_string();
        let camera = self.settings.id.to_string();
        metrics::counter!("gtv_camera_failures_total", "camera" => camera, "reason" => code).increment(1);
        // Once per change: a camera that stays away must not fill the log.
        if self.failure.as_ref() != Some(&error) {
            tracing::warn!(camera = %self.settings.id, stream = %self.kind, code, reason, "stream failed");
        }
        self.board.set(self.kind, StreamStatus { state, reason: Arc::from(reason), code, info: None });
        self.failure = Some(error);
    }

    fn follow_clock(&mut self) {
        let offset_ms = *self.settings.clock_offset_ms.borrow();
        self.board.set_clock_offset(offset_ms);
        if self.settings.clock == CameraClock::Camera {
            self.pipe.camera_offset_us = offset_ms.unwrap_or(0).saturating_mul(1000);
        }
    }

    fn report(&mut self, progress: &impl Fn()) {
        progress();
        let (first, counts) = (self.watch.first, self.pipe.counts);
        let seconds = self.watch.report.elapsed().as_secs_f64();
        let bytes = counts.bytes - self.watch.reported.bytes;
        self.count(self.watch.reported, counts);
        let info = self.pipe.config().map(|config| StreamInfo {
            codec: config.codec,
            width: config.width,
            height: config.height,
            fps: (self.pipe.frame_rate() * 10.0).round() / 10.0,
            bitrate_bps: if first { 0 } else { (bytes as f64 * 8.0 / seconds / 1000.0).round() as u64 * 1000 },
            has_audio: self.pipe.init().is_some_and(|init| init.has_audio),
            client: self.client.clone(),
        });
        self.board
            .set(self.kind, StreamStatus { state: CameraState::Streaming, reason: Arc::from(""), code: "", info });
        if let Some(choice) = self.output.decoder.as_ref().and_then(DecoderWorker::choice) {
            let text =
                if choice.reason.is_empty() { choice.name } else { format!("{} ({})", choice.name, choice.reason) };
            self.board.set_decoder(Some(text));
        }
        self.watch.report = Instant::now();
        self.watch.reported = counts;
        self.watch.first = false;
    }

    fn count(&self, before: PipeCounts, now: PipeCounts) {
        let labels = [("camera", self.settings.id.to_string()), ("stream", self.kind.to_string())];
        metrics::counter!("gtv_camera_frames_total", &labels).increment(now.frames - before.frames);
        metrics::counter!("gtv_camera_received_bytes_total", &labels).increment(now.bytes - before.bytes);
        metrics::counter!("gtv_camera_time_anomalies_total", &labels)
            .increment(now.time_anomalies.saturating_sub(before.time_anomalies));
        let unusable = now.unusable_frames - before.unusable_frames;
        if unusable > 0 {
            let camera = self.settings.id.to_string();
            metrics::counter!("gtv_dropped_total", "stage" => "demux", "reason" => "unusable", "camera" => camera)
                .increment(unusable);
        }
    }
}
