//! The packets of one playing stream: RTP headers before shared payloads, and a sender report now and then.

use std::time::{Duration, Instant};

use super::describe::PAYLOAD_TYPE;
use crate::base::time::UtcMicros;
use crate::live::rtp::payloads;
use crate::media::Picture;

/// Fits into Ethernet with IPv6, UDP and RTP headers.
const PAYLOAD: usize = 1400;
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Seconds from 1900 (NTP) to 1970.
const NTP_EPOCH_S: u64 = 2_208_988_800;

/// What goes over the wire.
pub enum Wire {
    Rtp(Vec<u8>),
    Rtcp(Vec<u8>),
}

/// See the module.
pub struct Packets {
    ssrc: u32,
    pub sequence: u16,
    sent: u32,
    bytes: u32,
    need_key: bool,
    reported: Option<Instant>,
}

impl Packets {
    pub fn new() -> Self {
        let (ssrc, sequence) = (rand::random(), rand::random());
        Self { ssrc, sequence, sent: 0, bytes: 0, need_key: true, reported: None }
    }

    /// Something was lost: nothing can be shown before the next key frame.
    pub fn interrupt(&mut self) {
        self.need_key = true;
    }

    pub fn of(&mut self, picture: &Picture) -> Vec<Wire> {
        if self.need_key && !picture.key {
            return Vec::new();
        }
        self.need_key = false;
        let mut out = Vec::new();
        let time = picture.pts as u32;
        if self.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.reported = Some(Instant::now());
            out.push(Wire::Rtcp(self.report(time, picture.time)));
        }
        let payloads = payloads(picture, PAYLOAD);
        let last = payloads.len().saturating_sub(1);
        for (index, payload) in payloads.iter().enumerate() {
            let marker = if index == last { 0x80 } else { 0 };
            let mut packet = Vec::with_capacity(12 + payload.len());
            packet.extend_from_slice(&[0x80, marker | PAYLOAD_TYPE]);
            packet.extend_from_slice(&self.sequence.to_be_bytes());
            packet.extend_from_slice(&time.to_be_bytes());
            packet.extend_from_slice(&self.ssrc.to_be_bytes());
            packet.extend_from_slice(payload);
            self.sequence = self.sequence.wrapping_add(1);
            self.sent = self.sent.wrapping_add(1);
            self.bytes = self.bytes.wrapping_add(payload.len() as u32);
            out.push(Wire::Rtp(packet));
        }
        out
    }

    /// RFC 3550 6.4.1, with the name that 6.5 asks for.
    fn report(&self, time: u32, taken: UtcMicros) -> Vec<u8> {
        let us = u64::try_from(taken.0).unwrap_or(0);
        let fraction = ((us % 1_000_000) << 32) / 1_000_000;
        let mut out = vec![0x80, 200, 0, 6];
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&((us / 1_000_000 + NTP_EPOCH_S) as u32).to_be_bytes());
        out.extend_from_slice(&(fraction as u32).to_be_bytes());
        for word in [time, self.sent, self.bytes] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        // SDES with an item CNAME of four bytes, ended and padded by zeros.
        out.extend_from_slice(&[0x81, 202, 0, 3]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(b"\x01\x04gtve\0\0");
        out
    }
}
