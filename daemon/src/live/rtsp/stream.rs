//! The packets of one playing stream: RTP headers before payloads, and sender reports that put picture and sound onto
//! one clock.

use std::time::{Duration, Instant};

use super::describe;
use crate::base::time::UtcMicros;
use crate::live::rtp::{aac_payloads, payloads};
use crate::media::{AudioCodec, Picture, Sound};

/// Fits into Ethernet with IPv6, UDP and RTP headers.
const PAYLOAD: usize = 1400;
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Seconds from 1900 (NTP) to 1970.
const NTP_EPOCH_S: u64 = 2_208_988_800;

/// Which of the two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    Video,
    Sound,
}

/// What goes over the wire.
pub struct Wire {
    pub track: Track,
    pub rtcp: bool,
    pub data: Vec<u8>,
}

/// What goes into a TCP connection: each packet with its channel and length before it (RFC 2326 10.12). `channels`:
/// that of RTP for each track that is wanted; RTCP has the one behind it.
pub fn interleaved(wires: &[Wire], channels: [Option<u8>; 2]) -> Vec<u8> {
    let mut out = Vec::with_capacity(wires.iter().map(|wire| wire.data.len() + 4).sum());
    for wire in wires {
        let Some(channel) = channels[wire.track as usize] else { continue };
        let Ok(length) = u16::try_from(wire.data.len()) else { continue };
        out.extend_from_slice(&[b'$', channel + u8::from(wire.rtcp)]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&wire.data);
    }
    out
}

/// See the module.
pub struct Packets {
    video: Sender,
    sound: Sender,
    need_key: bool,
}

impl Packets {
    pub fn new() -> Self {
        Self { video: Sender::new(Track::Video), sound: Sender::new(Track::Sound), need_key: true }
    }

    /// Something was lost: nothing can be shown before the next key frame.
    pub fn interrupt(&mut self) {
        self.need_key = true;
    }

    /// Sequence number of the next packet.
    pub fn sequence(&self, track: Track) -> u16 {
        match track {
            Track::Video => self.video.sequence,
            Track::Sound => self.sound.sequence,
        }
    }

    pub fn of(&mut self, picture: &Picture) -> Vec<Wire> {
        if self.need_key && !picture.key {
            return Vec::new();
        }
        self.need_key = false;
        let mut out = Vec::new();
        let time = picture.pts as u32;
        out.extend(self.video.report(time, picture.time));
        let payloads = payloads(picture, PAYLOAD);
        let last = payloads.len().saturating_sub(1);
        for (index, payload) in payloads.iter().enumerate() {
            out.push(self.video.packet(describe::VIDEO_TYPE, time, index == last, payload));
        }
        out
    }

    pub fn of_sound(&mut self, sound: &Sound) -> Vec<Wire> {
        let kind = describe::sound_type(&sound.config);
        let mut out: Vec<Wire> = self.sound.report(sound.pts as u32, sound.time).into_iter().collect();
        if sound.config.codec == AudioCodec::Aac {
            let payloads = aac_payloads(&sound.data, PAYLOAD);
            let last = payloads.len().saturating_sub(1);
            for (index, payload) in payloads.iter().enumerate() {
                out.push(self.sound.packet(kind, sound.pts as u32, index == last, payload));
            }
        } else {
            // One byte of G.711 is one sample.
            for (index, payload) in sound.data.chunks(PAYLOAD).enumerate() {
                let time = (sound.pts + (index * PAYLOAD) as i64) as u32;
                out.push(self.sound.packet(kind, time, false, payload));
            }
        }
        out
    }
}

/// One track's numbers.
struct Sender {
    track: Track,
    ssrc: u32,
    sequence: u16,
    sent: u32,
    bytes: u32,
    reported: Option<Instant>,
}

impl Sender {
    fn new(track: Track) -> Self {
        Self { track, ssrc: rand::random(), sequence: rand::random(), sent: 0, bytes: 0, reported: None }
    }

    fn packet(&mut self, kind: u8, time: u32, marker: bool, payload: &[u8]) -> Wire {
        let mut data = Vec::with_capacity(12 + payload.len());
        data.extend_from_slice(&[0x80, if marker { 0x80 | kind } else { kind }]);
        data.extend_from_slice(&self.sequence.to_be_bytes());
        data.extend_from_slice(&time.to_be_bytes());
        data.extend_from_slice(&self.ssrc.to_be_bytes());
        data.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.sent = self.sent.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload.len() as u32);
        Wire { track: self.track, rtcp: false, data }
    }

    /// Now and then, RFC 3550 6.4.1, with the name that 6.5 asks for.
    fn report(&mut self, time: u32, taken: UtcMicros) -> Option<Wire> {
        if self.reported.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
            return None;
        }
        self.reported = Some(Instant::now());
        let us = u64::try_from(taken.0).unwrap_or(0);
        let fraction = ((us % 1_000_000) << 32) / 1_000_000;
        let mut data = vec![0x80, 200, 0, 6];
        data.extend_from_slice(&self.ssrc.to_be_bytes());
        data.extend_from_slice(&((us / 1_000_000 + NTP_EPOCH_S) as u32).to_be_bytes());
        data.extend_from_slice(&(fraction as u32).to_be_bytes());
        for word in [time, self.sent, self.bytes] {
            data.extend_from_slice(&word.to_be_bytes());
        }
        // SDES with an item CNAME of four bytes, the same for both tracks, ended and padded by zeros.
        data.extend_from_slice(&[0x81, 202, 0, 3]);
        data.extend_from_slice(&self.ssrc.to_be_bytes());
        data.extend_from_slice(b"\x01\x04gtve\0\0");
        Some(Wire { track: self.track, rtcp: true, data })
    }
}
