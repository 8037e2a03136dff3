//! One stream of a camera: connects, pumps, notices when nothing comes, and comes back with jittered backoff.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::CameraSettings;
use super::credentials::Credentials;
use super::status::{Board, CameraState, StreamInfo, StreamStatus};
use crate::base::backoff::Backoff;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::config::CameraClock;
use crate::media::{
    self, DecoderWorker, Fragment, FragmentSinks, Input, MediaError, OpenOptions, Picture, PictureRing, PipeCounts,
    PipeOutput, StreamKind, StreamPipe, Track,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A camera that sends no picture for this long is connected anew.
const STALL: Duration = Duration::from_secs(8);
/// Groups of pictures may be this long before a stream counts as unusable.
const FIRST_PICTURE: Duration = Duration::from_secs(30);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// A stream that ran this long starts over with the shortest delay.
const STABLE_AFTER: Duration = Duration::from_secs(30);
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// See the module.
pub struct StreamWorker {
    settings: Arc<CameraSettings>,
    kind: StreamKind,
    url: String,
    place: String,
    board: Arc<Board>,
    credentials: Arc<Credentials>,
    runtime: Handle,
    pipe: StreamPipe,
    output: Output,
    attempt: u32,
    /// Why the stream is not running now.
    failure: Option<MediaError>,
}

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
        if let Some(ring) = &self.ring {
            ring.push(picture.clone());
        }
        if let Some(decoder) = &mut self.decoder {
            decoder.offer(picture);
        }
    }

    fn wants_parts(&self) -> bool {
        self.sinks.iter().any(|sink| sink.wants_parts())
    }
}

impl StreamWorker {
    #[expect(clippy::too_many_arguments, reason = "called once, by the function that makes all of them")]
    pub fn new(
        settings: Arc<CameraSettings>,
        kind: StreamKind,
        url: String,
        output: Output,
        board: Arc<Board>,
        credentials: Arc<Credentials>,
        not_before: Option<UtcMicros>,
        runtime: Handle,
    ) -> Self {
        let part_us = i64::try_from(settings.part.as_micros()).unwrap_or(i64::MAX);
        Self {
            pipe: StreamPipe::new(settings.id.clone(), kind, part_us, not_before),
            place: media::place(&url),
            settings,
            kind,
            url,
            board,
            credentials,
            runtime,
            output,
            attempt: 0,
            failure: None,
        }
    }

    /// Until cancelled. `progress` is called while pictures come.
    pub fn run(&mut self, token: &CancellationToken, progress: impl Fn()) {
        while !token.is_cancelled() {
            if !self.pause(self.settings.connects.turn(), token) {
                break;
            }
            let started = Instant::now();
            let credentials = self.credentials.clone();
            let error = match credentials.attempt(|| self.connect(token)) {
                Ok(input) => self.pump(input, token, &progress),
                Err(Some(error)) => error,
                Err(None) => MediaError::Unauthorised { place: self.place.clone() },
            };
            if error == MediaError::Cancelled {
                break;
            }
            if started.elapsed() >= STABLE_AFTER {
                self.attempt = 0;
            }
            self.report_failure(error);
            let backoff = RETRY.delay(self.attempt, rand::random());
            self.attempt = self.attempt.saturating_add(1);
            if !self.pause(self.credentials.wait().unwrap_or(backoff), token) {
                break;
            }
        }
    }

    fn connect(&self, token: &CancellationToken) -> Result<Input, MediaError> {
        Input::open(OpenOptions {
            url: media::stream_url(&self.url, &self.settings.username, &self.settings.password)?,
            place: self.place.clone(),
            transport: self.settings.transport,
            audio: self.settings.audio,
            timeout: CONNECT_TIMEOUT,
            token: token.clone(),
        })
    }

    /// Until the connection ends; says why it did.
    fn pump(&mut self, mut input: Input, token: &CancellationToken, progress: &impl Fn()) -> MediaError {
        let gap = self.failure.as_ref().map(|error| Arc::from(error.to_string()));
        let refused = self.pipe.connect(&input.video, input.audio.as_ref(), gap);
        if let Some(reason) = refused.as_ref().or(input.audio_refused.as_ref()) {
            tracing::warn!(camera = %self.settings.id, stream = %self.kind, reason, "recording without sound");
        }
        let error = self.pump_packets(&mut input, token, progress);
        self.pipe.disconnect(&mut self.output);
        error
    }

    fn pump_packets(&mut self, input: &mut Input, token: &CancellationToken, progress: &impl Fn()) -> MediaError {
        let mut last_frame = Instant::now();
        let mut limit = FIRST_PICTURE;
        let mut seen = self.pipe.counts.frames;
        let mut last_data = Instant::now();
        let mut report = Report { at: Instant::now(), counts: self.pipe.counts, first: true };
        loop {
            let packet = match input.read(STALL) {
                Ok(packet) => packet,
                Err(error) => return error,
            };
            if token.is_cancelled() {
                return MediaError::Cancelled;
            }
            match packet.track {
                Track::Video => {
                    self.pipe.push_video(packet.data(), packet.pts, packet.arrival, &mut self.output);
                    last_data = Instant::now();
                }
                Track::Audio => self.pipe.push_audio(packet.data(), packet.pts, packet.arrival),
                Track::Other => {}
            }
            input.recycle(packet);
            if self.pipe.counts.frames != seen {
                seen = self.pipe.counts.frames;
                last_frame = Instant::now();
                limit = STALL;
                if report.first {
                    self.failure = None;
                    self.report_streaming(&mut report, progress);
                }
            }
            if report.at.elapsed() >= REPORT_EVERY {
                if seen != report.counts.frames {
                    self.report_streaming(&mut report, progress);
                }
                self.follow_clock();
            }
            // Sound, or packets without pictures, may go on while the picture stands still.
            if last_data.elapsed() >= STALL {
                return MediaError::Stalled { place: self.place.clone(), seconds: STALL.as_secs() };
            }
            if last_frame.elapsed() >= limit {
                return MediaError::Unusable { place: self.place.clone(), seconds: limit.as_secs() };
            }
        }
    }

    fn follow_clock(&mut self) {
        let offset_ms = *self.settings.clock_offset_ms.borrow();
        self.board.set_clock_offset(offset_ms);
        if self.settings.clock == CameraClock::Camera {
            self.pipe.camera_offset_us = offset_ms.unwrap_or(0).saturating_mul(1000);
        }
    }

    fn report_streaming(&mut self, report: &mut Report, progress: &impl Fn()) {
        progress();
        let counts = self.pipe.counts;
        let seconds = report.at.elapsed().as_secs_f64();
        let bytes = counts.bytes - report.counts.bytes;
        self.count(report.counts, counts);
        let info = self.pipe.config().map(|config| StreamInfo {
            codec: config.codec,
            width: config.width,
            height: config.height,
            fps: (self.pipe.frame_rate() * 10.0).round() / 10.0,
            bitrate_bps: if report.first { 0 } else { (bytes as f64 * 8.0 / seconds / 1000.0).round() as u64 * 1000 },
            has_audio: self.pipe.init().is_some_and(|init| init.has_audio),
        });
        self.board
            .set(self.kind, StreamStatus { state: CameraState::Streaming, reason: Arc::from(""), code: "", info });
        if let Some(choice) = self.output.decoder.as_ref().and_then(DecoderWorker::choice) {
            let text =
                if choice.reason.is_empty() { choice.name } else { format!("{} ({})", choice.name, choice.reason) };
            self.board.set_decoder(Some(text));
        }
        *report = Report { at: Instant::now(), counts, first: false };
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

    fn report_failure(&mut self, error: MediaError) {
        let state = match &error {
            MediaError::Unauthorised { .. } => CameraState::Unauthorised,
            MediaError::Stalled { .. } | MediaError::Unusable { .. } | MediaError::Ended { .. } => CameraState::Stalled,
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

    /// False when cancelled.
    fn pause(&self, delay: Duration, token: &CancellationToken) -> bool {
        if delay.is_zero() {
            return !token.is_cancelled();
        }
        self.runtime.block_on(async { tokio::time::timeout(delay, token.cancelled()).await.is_err() })
    }
}

/// What was reported last, to measure from.
struct Report {
    at: Instant,
    counts: PipeCounts,
    /// Nothing was reported on this connection yet.
    first: bool,
}
