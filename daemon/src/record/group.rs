//! Pure. Joins the parts of a group of pictures again: rows and syncs are per group, whoever watches live.

use std::sync::Arc;

use crate::base::time::UtcMicros;
use crate::media::Fragment;

/// Parts wait no longer than this for the end of their group.
const LONGEST_US: i64 = 4_000_000;

/// Parts further apart do not belong to one row.
const JOINS_US: i64 = 50_000;

/// Fragments that are stored and dated as one.
#[derive(Clone, Debug)]
pub struct Group {
    /// Never empty.
    pub fragments: Vec<Arc<Fragment>>,
    pub start: UtcMicros,
    pub end: UtcMicros,
}

impl Group {
    pub fn first(&self) -> &Arc<Fragment> {
        &self.fragments[0]
    }

    pub fn frames(&self) -> u32 {
        self.fragments.iter().map(|fragment| fragment.frames).sum()
    }
}

/// Collects the parts of one stream.
#[derive(Debug, Default)]
pub struct Collector {
    parts: Vec<Arc<Fragment>>,
}

impl Collector {
    /// Adds a part. `at_once`: nothing of the stream is stored yet, so the first part does not wait for its group.
    /// At most two groups come out: one that the part does not belong to, and the one it completes.
    pub fn push(&mut self, fragment: Arc<Fragment>, at_once: bool) -> [Option<Group>; 2] {
        let joins = self.parts.last().is_some_and(|last| {
            !fragment.key
                && fragment.gap.is_none()
                && last.init.id == fragment.init.id
                && fragment.start.since(last.end()) <= JOINS_US
        });
        let before = if joins { None } else { self.take() };
        self.parts.push(fragment);
        let length = self.parts.last().map_or(0, |last| last.end().since(self.parts[0].start));
        let complete = self.parts.last().is_some_and(|last| last.gop_end);
        let after = if complete || at_once || length >= LONGEST_US { self.take() } else { None };
        [before, after]
    }

    pub fn take(&mut self) -> Option<Group> {
        let fragments = std::mem::take(&mut self.parts);
        let (start, end) = (fragments.first()?.start, fragments.last()?.end());
        Some(Group { fragments, start, end })
    }
}
