//! Pure. The newest segments of one stream as HLS sees them: a segment is a group of pictures, its parts are fragments.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::media::{Fragment, InitSegment};

/// Complete segments that are kept beside the one that grows.
const SEGMENTS: usize = 6;
/// The bytes of all of them; the newest complete one is kept whatever it takes.
const MAX_BYTES: usize = 48 << 20;
/// Shorter groups of pictures share a segment.
const SHORTEST_US: i64 = 1_000_000;
/// Players load the parts of the newest segments only.
const WITH_PARTS: usize = 2;

#[derive(Debug)]
pub struct Segment {
    /// Media sequence number.
    pub number: u64,
    pub init: Arc<InitSegment>,
    pub fragments: Vec<Arc<Fragment>>,
    /// Follows a gap or a change of the initialization segment.
    pub discontinuity: bool,
    pub complete: bool,
}

impl Segment {
    pub fn duration_us(&self) -> i64 {
        self.fragments.iter().map(|fragment| fragment.duration_us).sum()
    }

    pub fn data(&self) -> Bytes {
        let mut data = BytesMut::with_capacity(self.bytes());
        self.fragments.iter().for_each(|fragment| data.extend_from_slice(&fragment.data));
        data.freeze()
    }

    fn bytes(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.data.len()).sum()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Window {
    segments: VecDeque<Segment>,
    next: u64,
    /// Discontinuities that have left the window.
    pub discontinuities: u64,
    /// The longest a part may be to be named as one.
    part_us: i64,
    longest_us: i64,
}

impl Window {
    pub fn new(part_us: i64) -> Self {
        Self { segments: VecDeque::new(), next: 0, discontinuities: 0, part_us, longest_us: 2_000_000 }
    }

    pub fn push(&mut self, fragment: &Arc<Fragment>) {
        let last = self.segments.back();
        let changed = last.is_some_and(|last| last.init.id != fragment.init.id) || fragment.gap.is_some();
        let full = last.is_none_or(|last| last.complete || last.duration_us() >= SHORTEST_US);
        if last.is_none() && !fragment.key {
            return;
        }
        if fragment.key && (full || changed) {
            self.finish();
            self.segments.push_back(Segment {
                number: self.next,
                init: fragment.init.clone(),
                fragments: Vec::new(),
                discontinuity: changed,
                complete: false,
            });
            self.next += 1;
        }
        if let Some(segment) = self.segments.back_mut().filter(|segment| !segment.complete) {
            segment.fragments.push(fragment.clone());
            self.longest_us = self.longest_us.max(segment.duration_us());
            if fragment.gop_end && segment.duration_us() >= SHORTEST_US {
                self.finish();
            }
        }
        self.forget();
    }

    /// Something was lost: what follows begins with a key frame and does not join.
    pub fn interrupt(&mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        if let Some(last) = self.segments.back_mut() {
            last.complete = true;
        }
    }

    fn forget(&mut self) {
        let bytes = |segments: &VecDeque<Segment>| segments.iter().map(Segment::bytes).sum::<usize>();
        while self.segments.len() > SEGMENTS + 1 || (self.segments.len() > 2 && bytes(&self.segments) > MAX_BYTES) {
            if self.segments.pop_front().is_some_and(|gone| gone.discontinuity) {
                self.discontinuities += 1;
            }
        }
    }

    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    pub fn segment(&self, number: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.number == number && segment.complete)
    }

    /// A part by the number of its fragment.
    pub fn part(&self, sequence: u64) -> Option<&Arc<Fragment>> {
        self.segments.iter().flat_map(|segment| &segment.fragments).find(|part| part.sequence == sequence)
    }

    /// The number of the newest fragment.
    pub fn newest(&self) -> Option<u64> {
        self.segments.back()?.fragments.last().map(|fragment| fragment.sequence)
    }

    pub fn init(&self, id_hex: &str) -> Option<&Arc<InitSegment>> {
        self.segments.iter().map(|segment| &segment.init).find(|init| init.id_hex() == id_hex)
    }

    /// Whether the parts of this segment are named one by one: near the end only, and not where a whole group came at
    /// once, as before anybody watched.
    pub fn names_parts(&self, segment: &Segment) -> bool {
        let near = segment.number + WITH_PARTS as u64 >= self.next;
        near && segment.fragments.iter().all(|part| part.duration_us <= self.part_us)
    }

    pub fn part_us(&self) -> i64 {
        self.part_us
    }

    pub fn longest_us(&self) -> i64 {
        self.longest_us
    }

    /// Whether the playlist has part `part` (or all) of segment `number`, for a reload that waits for it.
    pub fn reached(&self, number: u64, part: Option<usize>) -> bool {
        let Some(last) = self.segments.back() else { return false };
        if last.number > number || (last.number == number && last.complete) {
            return true;
        }
        last.number == number && part.is_some_and(|part| last.fragments.len() > part)
    }

    /// The number after the newest segment: nobody may wait for more than it.
    pub fn next_number(&self) -> u64 {
        self.next
    }
}
