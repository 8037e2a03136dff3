//! Pure. What each clock said when a frame came, kept beside the recording so that its dates can be judged later.

use serde::{Deserialize, Serialize};

use super::time::UtcMicros;

/// One frame on all clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// When its first packet came, by the clock of the box.
    pub arrival_us: UtcMicros,
    /// As the camera stamped it; absent where libavformat reads, which counts from the start of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtp: Option<RtpTime>,
    /// By the camera's clock: from its last sender report (RTCP), however wrong it is; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera_us: Option<UtcMicros>,
    /// Of the box when the file was begun; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub box_clock: Option<BoxClock>,
}

/// An RTP timestamp (RFC 3550).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpTime {
    pub ticks: u32,
    /// Ticks a second.
    pub hz: u32,
}

/// The kernel's view of its real-time clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxClock {
    /// Some client keeps it by a time server (NTP, PTP).
    pub synchronized: bool,
    /// How far it may be off at most; 16 s stands for unknown.
    pub max_error_us: i64,
}

/// The last sender report of a track: the same moment on the camera's clock and in its RTP time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Seconds since 1900 in the upper 32 bits, the fraction below (RFC 3550, section 4).
    pub ntp: u64,
    pub rtp: u32,
}

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

impl SenderReport {
    /// What the camera's clock showed at `time`; `None` where its clock is before 1970, as of cameras without one.
    pub fn camera_time(&self, time: RtpTime) -> Option<UtcMicros> {
        let seconds = i64::try_from(self.ntp >> 32).ok()?.checked_sub(NTP_TO_UNIX_S)?;
        let fraction = i64::try_from(((self.ntp & 0xffff_ffff) * 1_000_000) >> 32).ok()?;
        // The nearer way around 32 bits.
        let ticks = i64::from(time.ticks.wrapping_sub(self.rtp).cast_signed());
        let since = ticks.checked_mul(1_000_000)?.checked_div(i64::from(time.hz))?;
        let camera = seconds.checked_mul(1_000_000)?.checked_add(fraction)?.checked_add(since)?;
        (camera > 0).then_some(UtcMicros(camera))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_date_frames_before_and_after_them_across_the_wrap() {
        let seconds = (1_790_000_000 + NTP_TO_UNIX_S).cast_unsigned();
        let report = SenderReport { ntp: (seconds << 32) | 0x8000_0000, rtp: 45_000 };
        let at = |ticks| report.camera_time(RtpTime { ticks, hz: 90_000 }).unwrap().0;
        assert_eq!(at(45_000), 1_790_000_000_500_000);
        assert_eq!(at(135_000), 1_790_000_001_500_000);
        assert_eq!(at(45_000u32.wrapping_sub(90_000)), 1_789_999_999_500_000);
    }

    #[test]
    fn a_camera_without_a_clock_has_no_time() {
        let time = RtpTime { ticks: 9, hz: 90_000 };
        assert_eq!(SenderReport { ntp: 0, rtp: 0 }.camera_time(time), None);
        assert_eq!(SenderReport { ntp: u64::MAX, rtp: 0 }.camera_time(RtpTime { hz: 0, ..time }), None);
    }
}
