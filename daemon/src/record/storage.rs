//! How the disks and what is kept on them stand, for the page, the metrics and the alerts.

use super::disks::{DiskState, DiskStatus};
use super::retain::Forecast;

/// As the last pass of retention found it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageStatus {
    pub recorded_bytes: u64,
    /// Of these, what evidence locks hold.
    pub locked_bytes: u64,
    pub disks: Vec<DiskStatus>,
    pub forecast: Forecast,
    /// Why there is less room than there should be and what to do; empty while retention gets its way.
    pub stuck: String,
}

impl StorageStatus {
    /// What somebody must look after; `None` while all is well.
    pub fn problem(&self) -> Option<String> {
        let disk = self.disks.iter().find(|disk| disk.state != DiskState::Ok).map(|disk| disk.reason.clone());
        disk.or_else(|| (!self.stuck.is_empty()).then(|| self.stuck.clone()))
    }

    pub fn show(&self) {
        metrics::gauge!("gtv_recorded_bytes").set(self.recorded_bytes as f64);
        metrics::gauge!("gtv_locked_bytes").set(self.locked_bytes as f64);
        metrics::gauge!("gtv_retention_stuck").set(f64::from(u8::from(!self.stuck.is_empty())));
        // Negative: the age of the recordings comes before the space.
        metrics::gauge!("gtv_disk_full_in_seconds").set(self.forecast.full_in_s.map_or(-1.0, |s| s as f64));
        if let Some(kept) = self.forecast.keeps_s {
            metrics::gauge!("gtv_recordings_reach_back_seconds").set(kept as f64);
        }
        let free: u64 = self.disks.iter().map(|disk| disk.free_bytes).sum();
        metrics::gauge!("gtv_disk_free_bytes").set(free as f64);
        for disk in &self.disks {
            let labels = [("path", disk.path.display().to_string())];
            metrics::gauge!("gtv_disk_ok", &labels).set(f64::from(u8::from(disk.state == DiskState::Ok)));
        }
    }
}
