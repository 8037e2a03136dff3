//! A camera's zones as the API shows and takes them.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{ZoneConfig, ZoneKind};

/// A part of the picture where plates count, or where nothing does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneBody {
    #[serde(default)]
    pub name: String,
    /// `watch` or `ignore`. Without a watch zone plates count everywhere.
    #[schema(value_type = String)]
    pub kind: ZoneKind,
    /// 3 to 32 corners `[x, y]` in order, as shares of the picture's width and height from its upper left corner.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub points: Vec<[f64; 2]>,
}

impl From<&ZoneConfig> for ZoneBody {
    fn from(zone: &ZoneConfig) -> Self {
        Self { name: zone.name.clone(), kind: zone.kind, points: zone.points.clone() }
    }
}

impl From<ZoneBody> for ZoneConfig {
    fn from(body: ZoneBody) -> Self {
        Self { name: body.name.trim().to_owned(), kind: body.kind, points: body.points }
    }
}
