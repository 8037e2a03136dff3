//! Asks the kernel whether the clock of this machine follows a time server: it knows, whatever client sets the clock.
#![allow(unsafe_code)]

use super::clocks::BoxClock;

/// As it is now; `None` where the system refuses to say.
pub fn read() -> Option<BoxClock> {
    // SAFETY: all-zero bytes are a valid `timex`, and with `modes` 0 the call only fills it in.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    if state < 0 {
        return None;
    }
    let synchronized = state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0;
    Some(BoxClock { synchronized, max_error_us: timex.maxerror })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_its_clock() {
        let clock = read().expect("adjtimex without changes needs no rights");
        assert!(clock.max_error_us >= 0);
    }
}
