//! What was changed on the page or by MQTT: kept in the data folder, laid over the file. The file is never rewritten.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BoxConfig, CameraConfig, Config, DiscoveryConfig, RecordConfig, WebhookConfig};
use crate::base::atomic_file;

pub const OVERRIDES_FILE: &str = "overrides.toml";

/// Sections that were set on the box itself; an absent one is taken from the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub site: Option<BoxConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordConfig>,
    /// The whole list once it was set by the fleet.
    #[serde(rename = "webhook", skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<Vec<WebhookConfig>>,
    /// The whole list once it was changed on the box.
    #[serde(rename = "camera", skip_serializing_if = "Option::is_none")]
    pub cameras: Option<Vec<CameraConfig>>,
}

impl Overrides {
    /// `Err` says what is wrong with the file.
    pub fn read(data_dir: &Path) -> Result<Self, String> {
        let text = match std::fs::read_to_string(data_dir.join(OVERRIDES_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.to_string()),
        };
        toml::from_str(&text).map_err(|error| error.to_string())
    }

    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let text = toml::to_string_pretty(self).map_err(io::Error::other)?;
        let commented = format!(
            "# Written by gtv-edge: settings made on the page or by the fleet. They win over config.toml.\n{text}"
        );
        atomic_file::write_private(&data_dir.join(OVERRIDES_FILE), commented.as_bytes())
    }

    pub fn apply(&self, mut config: Config) -> Config {
        if let Some(site) = &self.site {
            config.site = site.clone();
        }
        if let Some(discovery) = &self.discovery {
            config.discovery = discovery.clone();
        }
        if let Some(record) = &self.record {
            config.record = record.clone();
        }
        if let Some(webhooks) = &self.webhooks {
            config.webhooks.clone_from(webhooks);
        }
        if let Some(cameras) = &self.cameras {
            config.cameras.clone_from(cameras);
        }
        config
    }

    /// What must be kept so that `file` with these overrides is `wanted`. Sections that only the file can set must be
    /// equal in both; the first that is not is named.
    pub fn between(file: &Config, wanted: &Config) -> Result<Self, &'static str> {
        let changed = |same: bool| !same;
        let overrides = Self {
            site: changed(file.site == wanted.site).then(|| wanted.site.clone()),
            discovery: changed(file.discovery == wanted.discovery).then(|| wanted.discovery.clone()),
            record: changed(file.record == wanted.record).then(|| wanted.record.clone()),
            webhooks: changed(file.webhooks == wanted.webhooks).then(|| wanted.webhooks.clone()),
            cameras: changed(file.cameras == wanted.cameras).then(|| wanted.cameras.clone()),
        };
        let result = overrides.apply(file.clone());
        let fixed = [
            ("data_dir", result.data_dir == wanted.data_dir),
            ("log", result.log == wanted.log),
            ("web", result.web == wanted.web),
            ("clips", result.clips == wanted.clips),
            ("live", result.live == wanted.live),
            ("lpr", result.lpr == wanted.lpr),
            ("alerts", result.alerts == wanted.alerts),
            ("sync", result.sync == wanted.sync),
            ("mqtt", result.mqtt == wanted.mqtt),
        ];
        match fixed.iter().find(|(_, same)| !same) {
            Some((section, _)) => Err(section),
            None => Ok(overrides),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ZoneConfig, ZoneKind};

    #[test]
    fn keeps_only_what_differs() {
        let file = Config::default();
        let mut wanted = file.clone();
        let points = vec![[0.1, 0.2], [0.9, 0.2], [0.5, 0.8]];
        wanted.cameras.push(CameraConfig {
            main_url: "rtsp://10.0.0.2/main".into(),
            min_plate_width: 0.02,
            zones: vec![ZoneConfig { name: "lane".into(), kind: ZoneKind::Ignore, points }],
            ..CameraConfig::default()
        });
        let overrides = Overrides::between(&file, &wanted).unwrap();
        assert!(overrides.site.is_none() && overrides.cameras.is_some());

        let folder = tempfile::tempdir().unwrap();
        overrides.write(folder.path()).unwrap();
        assert_eq!(Overrides::read(folder.path()).unwrap().apply(file.clone()), wanted);

        wanted.lpr.enabled = false;
        assert_eq!(Overrides::between(&file, &wanted), Err("lpr"));
    }
}
