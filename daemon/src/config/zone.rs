//! `[[camera.zone]]`: where in a camera's picture plates count.

use serde::{Deserialize, Serialize};

/// Corners of an outline.
pub const ZONE_POINTS: std::ops::RangeInclusive<usize> = 3..=32;
pub const ZONES_MAX: usize = 16;

/// What a zone is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneKind {
    /// Plates count inside; a camera without such a zone is watched everywhere.
    #[default]
    Watch,
    /// Nothing counts inside.
    Ignore,
}

/// `[[camera.zone]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneConfig {
    pub name: String,
    pub kind: ZoneKind,
    /// The outline's corners in order, as shares of the picture's width and height from its upper left corner.
    pub points: Vec<[f64; 2]>,
}

impl ZoneConfig {
    /// What is wrong with it: key and remedy.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.name.chars().count() > 64 {
            problems.push(("name", "write at most 64 characters"));
        }
        if !ZONE_POINTS.contains(&self.points.len()) {
            problems.push(("points", "give 3 to 32 points"));
        } else if !self.points.iter().flatten().all(|v| (0.0..=1.0).contains(v)) {
            problems.push(("points", "write shares of the picture, each from 0 to 1"));
        } else if self.extent() < 1e-4 {
            problems.push(("points", "the outline encloses nothing; draw it larger"));
        }
        problems
    }

    /// Area of the bounding box: unlike that of the outline it is not 0 for a figure eight.
    fn extent(&self) -> f64 {
        let side = |axis: usize| {
            let (least, most) = self.points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), point| {
                (least.min(point[axis]), most.max(point[axis]))
            });
            most - least
        };
        side(0) * side(1)
    }
}
