//! A/B updates: which slot of the image this box runs from. RAUC installs and marks slots; `gtv-edge ready` is what its
//! mark-good service asks.

use std::fs;

const CMDLINE: &str = "/proc/cmdline";

/// The slot that the boot loader chose (RAUC's `rauc.slot=` on the kernel command line); `None` on a box without slots.
pub fn booted_slot() -> Option<String> {
    slot_of(&fs::read_to_string(CMDLINE).ok()?)
}

fn slot_of(cmdline: &str) -> Option<String> {
    let slot = cmdline.split_whitespace().find_map(|word| word.strip_prefix("rauc.slot="))?;
    (!slot.is_empty()).then(|| slot.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slot_among_other_words() {
        assert_eq!(slot_of("root=/dev/mmcblk0p2 rauc.slot=B quiet").as_deref(), Some("B"));
        assert_eq!(slot_of("root=/dev/sda1 quiet"), None);
        assert_eq!(slot_of("rauc.slot="), None);
    }
}
