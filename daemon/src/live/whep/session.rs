//! One viewer's WebRTC session: pictures out, ICE, DTLS and RTCP both ways. It never holds anything up: what the
//! network does not take is lost for this viewer alone, and one that loses too much is ended, and counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, SeqNo};
use str0m::{Event, IceConnectionState, Input, Output, Rtc, RtcError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::StillAllowed;
use super::negotiate::Track;
use super::sockets::{Bound, Datagram};
use super::sound::{Packet, Source};
use crate::base::time::UtcMicros;
use crate::live::PictureSubscription;
use crate::live::rtp::payloads;
use crate::media::Picture;

/// Datagrams that may wait: feedback of a viewer comes some ten times a second.
pub const DATAGRAMS: usize = 64;
/// Fits into every path: 1280 bytes is the least that IPv6 carries, less headers of IP, UDP, SRTP and RTP.
const PAYLOAD: usize = 1150;
/// A viewer that does not connect in this time never will.
const CONNECT: Duration = Duration::from_secs(15);
const ASK_EVERY: Duration = Duration::from_secs(15);
/// The group of pictures that a viewer begins with is sent at this speed, not all at once: 40 Mb/s.
const CATCH_UP_BYTES_PER_S: f64 = 5e6;
/// Pictures of that group are shown this far apart, 1/90000 s: the viewer sees the newest of them at once.
const CATCH_UP_TICKS: i64 = 90;
/// A viewer that asks for a key frame is begun anew at the last one; not again before this.
const RESTART_EVERY: Duration = Duration::from_secs(2);
/// A share of lost packets that no retransmission makes up for, in so many reports one after the other.
const LOSS_MAX: f32 = 0.25;
const LOSSY_REPORTS: u32 = 3;

/// See the module.
pub struct Session {
    rtc: Rtc,
    track: Track,
    viewer: PictureSubscription,
    sound: Option<(Track, Source)>,
    datagrams: mpsc::Receiver<Datagram>,
    sockets: Vec<Bound>,
    still_allowed: StillAllowed,
    /// Pictures that the viewer is behind.
    backlog: VecDeque<Picture>,
    /// Pictures before the next key frame cannot be shown.
    need_key: bool,
    connected: bool,
    sequence: SeqNo,
    sound_sequence: SeqNo,
    /// RTP time of the last picture, before it is cut to 32 bits.
    last_time: i64,
    began: Instant,
    key_wanted: bool,
    lossy_reports: u32,
    ended: Option<&'static str>,
}

impl Session {
    pub fn new(
        rtc: Rtc,
        track: Track,
        viewer: PictureSubscription,
        sound: Option<(Track, Source)>,
        datagrams: mpsc::Receiver<Datagram>,
        sockets: Vec<Bound>,
        still_allowed: StillAllowed,
    ) -> Self {
        Self {
            rtc,
            track,
            viewer,
            sound,
            datagrams,
            sockets,
            still_allowed,
            backlog: VecDeque::new(),
            need_key: true,
            connected: false,
            sequence: first_sequence(),
            sound_sequence: first_sequence(),
            last_time: i64::MIN,
            began: Instant::now(),
            key_wanted: false,
            lossy_reports: 0,
            ended: None,
        }
    }

    /// Until one side ends it; says why it did.
    pub async fn run(mut self, stop: CancellationToken) -> &'static str {
        let reason = match self.exchange(&stop).await {
            Ok(reason) => reason,
            Err(error) => {
                tracing::debug!(%error, "WebRTC session failed");
                "protocol"
            }
        };
        // Tells the browser at once; it would find out by itself after seconds.
        self.rtc.disconnect();
        let _ = self.drain();
        reason
    }

    async fn exchange(&mut self, stop: &CancellationToken) -> Result<&'static str, RtcError> {
        let created = Instant::now();
        let mut ask = tokio::time::interval(ASK_EVERY);
        let mut next_catch_up = Instant::now();
        loop {
            let timeout = self.drain()?;
            if let Some(reason) = self.ended {
                return Ok(reason);
            }
            if !self.connected && created.elapsed() > CONNECT {
                return Ok("never connected");
            }
            if self.key_wanted && self.began.elapsed() >= RESTART_EVERY {
                self.begin();
            }
            let now = Instant::now();
            if timeout <= now {
                self.rtc.handle_input(Input::Timeout(now))?;
                continue;
            }
            let catching_up = self.connected && !self.backlog.is_empty();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok("closed"),
                Some(datagram) = self.datagrams.recv() => self.receive(&datagram)?,
                () = sleep_until(next_catch_up), if catching_up => {
                    let sent = self.catch_up()?;
                    next_catch_up = Instant::now() + Duration::from_secs_f64(sent as f64 / CATCH_UP_BYTES_PER_S);
                }
                picture = self.viewer.next.recv() => match picture {
                    Ok(picture) => self.take(picture)?,
                    Err(RecvError::Lagged(count)) => {
                        crate::base::metrics::dropped("live", "slow_viewer", count);
                        self.begin();
                    }
                    Err(RecvError::Closed) => return Ok("the camera was removed"),
                },
                packets = next_sound(&mut self.sound) => match packets {
                    Some(packets) => packets.into_iter().try_for_each(|packet| self.send_sound(packet))?,
                    // The picture goes on.
                    None => self.sound = None,
                },
                _ = ask.tick() => if !(self.still_allowed)() {
                    return Ok("the viewer's session has ended");
                },
                () = sleep_until(timeout) => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
            }
        }
    }

    /// Sends and hears everything that waits; the time of the next timeout.
    fn drain(&mut self) -> Result<Instant, RtcError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(out) => {
                    let from = self.sockets.iter().find(|bound| bound.address == out.source);
                    let sent = from.map(|bound| bound.socket.try_send_to(&out.contents, out.destination));
                    if !matches!(sent, Some(Ok(_))) {
                        crate::base::metrics::dropped("live", "webrtc_output", 1);
                    }
                }
                Output::Event(event) => self.hear(event),
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.begin();
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                self.ended = Some("the viewer left");
            }
            // A camera cannot be asked for a key frame over RTSP: the last one has to do.
            Event::KeyframeRequest(_) => self.key_wanted = true,
            Event::MediaEgressStats(stats) => {
                let lossy = stats.loss.is_some_and(|loss| loss > LOSS_MAX);
                self.lossy_reports = if lossy { self.lossy_reports + 1 } else { 0 };
                if self.lossy_reports >= LOSSY_REPORTS {
                    crate::base::metrics::dropped("live", "lossy_viewer", 1);
                    self.ended = Some("the network loses too much");
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, datagram: &Datagram) -> Result<(), RtcError> {
        // What is no STUN, DTLS or RTCP is nobody's business.
        if let Ok(received) = Receive::new(Protocol::Udp, datagram.from, datagram.to, &datagram.data) {
            self.rtc.handle_input(Input::Receive(datagram.at, received))?;
        }
        Ok(())
    }

    /// Begins at the last key frame there is.
    fn begin(&mut self) {
        self.viewer.restart();
        self.began = Instant::now();
        self.key_wanted = false;
        self.need_key = true;
        self.backlog = std::mem::take(&mut self.viewer.recent).into();
    }

    fn take(&mut self, picture: Picture) -> Result<(), RtcError> {
        if !self.connected {
            return Ok(());
        }
        if self.viewer.reordered || picture.pts.saturating_add(CATCH_UP_TICKS) < self.last_time {
            self.ended = Some("the camera sends B-frames now");
        }
        if self.backlog.is_empty() {
            return self.send(&picture, picture.pts);
        }
        if picture.key {
            // The group that was being caught up with is over.
            self.backlog.clear();
        }
        self.backlog.push_back(picture);
        Ok(())
    }

    fn send_sound(&mut self, packet: Packet) -> Result<(), RtcError> {
        let Some((track, _)) = self.sound.as_ref().filter(|_| self.connected) else { return Ok(()) };
        let sequence = self.sound_sequence.inc();
        let write = RtpWrite::new(track.pt, sequence, packet.pts as u32, taken_at(packet.time), packet.data.to_vec());
        let mut api = self.rtc.direct_api();
        if let Some(stream) = api.stream_tx_by_mid(track.mid, None) {
            stream.write_rtp(write.nackable(true));
        }
        self.drain()?;
        Ok(())
    }

    /// Sends the next picture that the viewer is behind; its bytes.
    fn catch_up(&mut self) -> Result<usize, RtcError> {
        let Some(picture) = self.backlog.pop_front() else { return Ok(0) };
        let newest = self.backlog.back().map_or(picture.pts, |last| last.pts);
        let shown = newest - self.backlog.len() as i64 * CATCH_UP_TICKS;
        self.send(&picture, shown.max(picture.pts))?;
        Ok(picture.data.len())
    }

    fn send(&mut self, picture: &Picture, time: i64) -> Result<(), RtcError> {
        if self.need_key && !picture.key {
            return Ok(());
        }
        self.need_key = false;
        let time = time.max(self.last_time.saturating_add(1));
        self.last_time = time;
        let packets = payloads(picture, PAYLOAD);
        let count = packets.len();
        let shown = picture.time.add_micros((time - picture.pts) * 100 / 9);
        let taken = taken_at(shown);
        for (index, payload) in packets.into_iter().enumerate() {
            let sequence = self.sequence.inc();
            let packet = RtpWrite::new(self.track.pt, sequence, time as u32, taken, payload)
                .marker(index + 1 == count)
                .nackable(true);
            let mut api = self.rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(self.track.mid, None) else {
                self.ended = Some("no track");
                return Ok(());
            };
            stream.write_rtp(packet);
            self.drain()?;
        }
        Ok(())
    }
}

/// Leaves room: a first number that has wrapped already cannot be told to the viewer.
fn first_sequence() -> SeqNo {
    SeqNo::from(u64::from(rand::random::<u16>() >> 1))
}

async fn next_sound(sound: &mut Option<(Track, Source)>) -> Option<VecDeque<Packet>> {
    match sound {
        Some((_, source)) => source.next().await,
        None => std::future::pending().await,
    }
}

/// When a picture was taken, by the clock that sender reports tell the viewer: so it can say how late it shows them.
fn taken_at(shown: UtcMicros) -> Instant {
    let age = Duration::from_micros(UtcMicros::now().since(shown).max(0) as u64);
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}

async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}
