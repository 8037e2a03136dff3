//! How hot the processor is, as the kernel's thermal zones say.

use std::fs;
use std::path::Path;

const ZONES: &str = "/sys/class/thermal";

/// Degrees Celsius; `None` on machines that do not tell, as virtual ones.
pub fn read() -> Option<f64> {
    hottest(Path::new(ZONES))
}

/// Of the zones that are about the processor, or of all where none says so.
fn hottest(folder: &Path) -> Option<f64> {
    let zones = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| {
        let text = |name: &str| fs::read_to_string(entry.path().join(name)).ok();
        let milli: i64 = text("temp")?.trim().parse().ok()?;
        let name = text("type")?.to_lowercase();
        // An unplugged sensor says 0 or something absurd.
        let processor = ["cpu", "pkg", "soc"].iter().any(|part| name.contains(part));
        (1..150_000).contains(&milli).then_some((processor, milli))
    });
    zones.max().map(|(_, milli)| milli as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_counts_before_the_rest_of_the_board() {
        let folder = tempfile::tempdir().unwrap();
        let zone = |name: &str, kind: &str, temp: &str| {
            let zone = folder.path().join(name);
            fs::create_dir(&zone).unwrap();
            fs::write(zone.join("type"), kind).unwrap();
            fs::write(zone.join("temp"), temp).unwrap();
        };
        assert_eq!(hottest(folder.path()), None);
        zone("thermal_zone0", "acpitz\n", "71000\n");
        assert_eq!(hottest(folder.path()), Some(71.0));
        zone("thermal_zone1", "CPU-therm\n", "45500\n");
        zone("thermal_zone2", "x86_pkg_temp\n", "47250\n");
        zone("thermal_zone3", "cpu-unplugged\n", "-274000\n");
        assert_eq!(hottest(folder.path()), Some(47.25));
        assert_eq!(hottest(&folder.path().join("nowhere")), None);
    }
}
