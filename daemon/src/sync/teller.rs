//! Pure. When the centre is told how the box is, and what began and ended since it was told last: at the start, when
//! something changes that matters, when the centre is there again, and now and then anyway. A camera that comes and goes
//! all the time is told of about once a minute.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gtv_protocol::body::BoxStatus;
use gtv_protocol::limits::STATUS_CHANGES_MAX;
use gtv_protocol::status::{CameraStreams, StreamChange};

/// The longest silence.
const EVERY: Duration = Duration::from_secs(300);
/// What changes within this time is told together; while nobody listens it is kept in one row, which need not be written
/// that often.
const TOGETHER: Duration = Duration::from_secs(5);
const TOGETHER_OFFLINE: Duration = Duration::from_secs(60);
/// So many changes may be told at once, and then one in each of these spans.
const BURST: f64 = 6.0;
const REFILL: Duration = Duration::from_secs(60);
/// The spool is nearly full from this share on, until it has gone below the other.
const SPOOL_HIGH: f64 = 0.9;
const SPOOL_LOW: f64 = 0.8;

/// Streams that deliver, by camera and `main` or `sub`.
pub type Streaming = BTreeSet<(String, String)>;

/// Knows what was told.
pub struct Teller {
    streaming: Streaming,
    /// What began and ended and is not told yet.
    changes: Vec<StreamChange>,
    dropped: u64,
    told: Option<(Instant, Matters)>,
    /// The box started again, and nobody looked yet.
    new_run: bool,
    connected: bool,
    /// The centre is there again since the last status.
    back: bool,
    spool_full: bool,
    tokens: f64,
    refilled: Option<Instant>,
}

/// What is told as soon as it changes.
#[derive(Debug, PartialEq, Eq)]
struct Matters {
    cameras: Vec<(String, String, bool, Option<String>)>,
    pictures: Vec<(String, u32, u32)>,
    recorder: Option<String>,
    problem: bool,
    spool_full: bool,
    clock_synchronized: Option<bool>,
}

impl Teller {
    /// `streaming`: what the centre believes. In a new run of the box all of it has ended, also where a camera delivers
    /// again already.
    pub fn new(streaming: Streaming, new_run: bool) -> Self {
        Self {
            streaming,
            changes: Vec::new(),
            dropped: 0,
            told: None,
            new_run,
            connected: false,
            back: false,
            spool_full: false,
            tokens: BURST,
            refilled: None,
        }
    }

    /// Looks at the box. Returns the status to be told now, with what began and ended, and the streams that deliver.
    pub fn look(
        &mut self,
        now: Instant,
        now_us: i64,
        mut status: BoxStatus,
        connected: bool,
    ) -> Option<(BoxStatus, Streaming)> {
        self.follow(now_us, status.streams.as_deref().unwrap_or_default());
        self.back |= connected && !self.connected;
        self.connected = connected;
        self.spool_full = nearly_full(&status, self.spool_full);
        let refilled = self.refilled.replace(now).unwrap_or(now);
        let new = now.duration_since(refilled).as_secs_f64() / REFILL.as_secs_f64();
        self.tokens = (self.tokens + new).min(BURST);

        let what = Matters::of(&status, self.spool_full);
        if let Some((at, before)) = &self.told {
            let silent = now.duration_since(*at);
            let together = if connected { TOGETHER } else { TOGETHER_OFFLINE };
            let changed = *before != what || !self.changes.is_empty() || self.back;
            if changed && silent >= together && self.tokens >= 1.0 {
                self.tokens -= 1.0;
            } else if silent < EVERY {
                return None;
            }
        }
        self.told = Some((now, what));
        self.back = false;
        status.changes = std::mem::take(&mut self.changes);
        status.changes_dropped = std::mem::take(&mut self.dropped);
        Some((status, self.streaming.clone()))
    }

    /// Notes which streams began and ended since the last look.
    fn follow(&mut self, now_us: i64, cameras: &[CameraStreams]) {
        let new_run = std::mem::take(&mut self.new_run);
        let now: Streaming = cameras
            .iter()
            .flat_map(|camera| [(camera, "main", &camera.main), (camera, "sub", &camera.sub)])
            .filter(|(.., measures)| measures.is_some())
            .map(|(camera, stream, _)| (camera.camera.clone(), stream.to_owned()))
            .collect();
        let reason = |id: &str| match cameras.iter().find(|camera| camera.camera == id) {
            None => "the camera is not configured any more".to_owned(),
            Some(camera) if camera.state == "disabled" => "the camera was switched off".to_owned(),
            Some(_) if new_run => "the box started again".to_owned(),
            Some(CameraStreams { reason: Some(reason), .. }) => reason.clone(),
            Some(_) => "the connection was made anew".to_owned(),
        };
        let change = |(camera, stream): &(String, String), streaming: bool| StreamChange {
            camera: camera.clone(),
            stream: stream.clone(),
            streaming,
            at_us: now_us,
            reason: (!streaming).then(|| reason(camera)),
        };
        let ended = self.streaming.iter().filter(|key| new_run || !now.contains(key)).map(|key| change(key, false));
        let began = now.iter().filter(|key| new_run || !self.streaming.contains(key)).map(|key| change(key, true));
        self.changes.extend(ended.chain(began).collect::<Vec<_>>());
        let excess = self.changes.len().saturating_sub(STATUS_CHANGES_MAX);
        self.changes.drain(..excess);
        self.dropped += excess as u64;
        self.streaming = now;
    }
}

impl Matters {
    fn of(status: &BoxStatus, spool_full: bool) -> Self {
        let cameras = status.streams.as_deref().unwrap_or_default();
        let measures = cameras.iter().flat_map(|camera| [&camera.main, &camera.sub]).flatten();
        Self {
            cameras: cameras
                .iter()
                .map(|camera| (camera.camera.clone(), camera.state.clone(), camera.recording, camera.code.clone()))
                .collect(),
            pictures: measures.map(|stream| (stream.codec.clone(), stream.width, stream.height)).collect(),
            recorder: status.recorder.clone(),
            problem: status.problem.is_some(),
            spool_full,
            clock_synchronized: status.clock_synchronized,
        }
    }
}

fn nearly_full(status: &BoxStatus, before: bool) -> bool {
    let (Some(bytes), Some(max)) = (status.spool_bytes, status.spool_max_bytes) else { return false };
    bytes as f64 > max as f64 * if before { SPOOL_LOW } else { SPOOL_HIGH }
}

#[cfg(test)]
mod tests {
    use gtv_protocol::status::StreamMeasures;

    use super::*;

    fn status(main: bool) -> BoxStatus {
        let measures = StreamMeasures { codec: "h264".to_owned(), width: 640, height: 360, fps: 15.0, bitrate_bps: 1 };
        let camera = CameraStreams {
            camera: "gate".to_owned(),
            state: if main { "streaming" } else { "unreachable" }.to_owned(),
            recording: main,
            reason: (!main).then(|| "no answer".to_owned()),
            main: main.then_some(measures),
            ..CameraStreams::default()
        };
        BoxStatus { streams: Some(vec![camera]), ..BoxStatus::default() }
    }

    fn after(start: Instant, seconds: u64) -> (Instant, i64) {
        (start + Duration::from_secs(seconds), seconds as i64)
    }

    #[test]
    fn it_tells_at_the_start_of_changes_and_now_and_then() {
        let (start, mut teller) = (Instant::now(), Teller::new(Streaming::new(), true));
        let mut look = |seconds, main, connected| {
            let (now, now_us) = after(start, seconds);
            teller.look(now, now_us, status(main), connected).map(|(told, _)| told.changes)
        };
        assert_eq!(look(0, false, true), Some(vec![]));
        assert_eq!(look(2, true, true), None, "what follows within five seconds comes with it");
        let began = look(6, true, true).unwrap();
        assert_eq!((began.len(), began[0].streaming, began[0].at_us), (1, true, 2));
        assert_eq!(look(100, true, true), None);
        assert_eq!(look(306, true, true), Some(vec![]), "five minutes of silence");
        let ended = look(312, false, true).unwrap();
        assert_eq!((ended[0].streaming, ended[0].reason.as_deref()), (false, Some("no answer")));
        assert_eq!(look(320, true, false), None, "nobody listens");
        assert_eq!(look(330, false, true).map(|changes| changes.len()), Some(2), "the centre is there again");
    }

    #[test]
    fn a_camera_that_comes_and_goes_is_told_of_once_a_minute() {
        let (start, mut teller) = (Instant::now(), Teller::new(Streaming::new(), true));
        let (mut told, mut changes) = (0, 0);
        for seconds in 0..3600 {
            let (now, now_us) = after(start, seconds);
            if let Some((status, _)) = teller.look(now, now_us, status(seconds % 2 == 0), true) {
                told += 1;
                changes += status.changes.len() as u64 + status.changes_dropped;
            }
        }
        assert!((60..=68).contains(&told), "{told}");
        assert!(changes > 3500, "none is forgotten: {changes}");
    }

    #[test]
    fn a_restart_ends_what_the_last_run_began() {
        let believed = Streaming::from([("gate".into(), "main".into()), ("gone".into(), "sub".into())]);
        let mut teller = Teller::new(believed, true);
        let mut connecting = status(false);
        connecting.streams.as_mut().unwrap()[0].reason = None;
        let (told, streaming) = teller.look(Instant::now(), 7, connecting, false).unwrap();
        let reasons: Vec<_> = told.changes.iter().map(|c| (c.streaming, c.reason.as_deref().unwrap())).collect();
        assert_eq!(reasons, [(false, "the box started again"), (false, "the camera is not configured any more")]);
        assert!(streaming.is_empty());
    }

    #[test]
    fn a_restart_is_told_where_the_camera_delivers_again_at_the_first_look() {
        let believed = Streaming::from([("gate".to_owned(), "main".to_owned())]);
        let look = |new_run| {
            let mut teller = Teller::new(believed.clone(), new_run);
            teller.look(Instant::now(), 7, status(true), true).unwrap().0.changes
        };
        let told: Vec<_> = look(true).into_iter().map(|change| (change.streaming, change.reason)).collect();
        assert_eq!(told, [(false, Some("the box started again".to_owned())), (true, None)]);
        assert_eq!(look(false), [], "only the task that tells began again");
    }

    #[test]
    fn a_spool_that_sways_around_its_mark_is_told_of_once() {
        let (start, mut teller) = (Instant::now(), Teller::new(Streaming::new(), true));
        let mut told = 0;
        for seconds in 0..290 {
            let bytes = if seconds % 10 < 5 { 91 } else { 89 };
            let status = BoxStatus { spool_bytes: Some(bytes), spool_max_bytes: Some(100), ..status(true) };
            let (now, now_us) = after(start, seconds);
            told += u32::from(teller.look(now, now_us, status, true).is_some());
        }
        assert!(told <= 2, "{told}");
    }
}
