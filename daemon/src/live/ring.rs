//! Pure. The fragments since the last key frame, so that a new viewer sees a picture at once.

use std::sync::Arc;

use crate::media::Fragment;

/// A camera with a very long group of pictures must not fill the memory: past this, viewers wait for the next one.
const MAX_BYTES: usize = 16 << 20;
const MAX_FRAGMENTS: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Ring {
    fragments: Vec<Arc<Fragment>>,
    bytes: usize,
    last_key: Option<Arc<Fragment>>,
}

impl Ring {
    pub fn push(&mut self, fragment: &Arc<Fragment>) {
        if fragment.key {
            self.clear();
            self.last_key = Some(fragment.clone());
        } else if self.fragments.is_empty() {
            // Nothing can be shown from the middle of a group.
            return;
        }
        self.fragments.push(fragment.clone());
        self.bytes += fragment.data.len();
        if self.bytes > MAX_BYTES || self.fragments.len() > MAX_FRAGMENTS {
            self.clear();
        }
    }

    /// From the last key frame on; empty while there is none.
    pub fn recent(&self) -> Vec<Arc<Fragment>> {
        self.fragments.clone()
    }

    pub fn last_key(&self) -> Option<Arc<Fragment>> {
        self.last_key.clone()
    }

    fn clear(&mut self) {
        self.fragments.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn fragment(sequence: u64, key: bool, bytes: usize) -> Arc<Fragment> {
        Arc::new(Fragment { data: Bytes::from(vec![0; bytes]), key, sequence, ..Fragment::sample() })
    }

    fn numbers(ring: &Ring) -> Vec<u64> {
        ring.recent().iter().map(|fragment| fragment.sequence).collect()
    }

    #[test]
    fn begins_with_a_key_frame_always() {
        let mut ring = Ring::default();
        ring.push(&fragment(1, false, 1));
        assert!(numbers(&ring).is_empty());
        for (sequence, key) in [(2, true), (3, false), (4, true), (5, false)] {
            ring.push(&fragment(sequence, key, 1));
        }
        assert_eq!(numbers(&ring), [4, 5]);
        assert_eq!(ring.last_key().unwrap().sequence, 4);
    }

    #[test]
    fn stays_within_its_bound() {
        let mut ring = Ring::default();
        ring.push(&fragment(1, true, 1));
        ring.push(&fragment(2, false, MAX_BYTES));
        ring.push(&fragment(3, false, 1));
        assert!(numbers(&ring).is_empty());
        ring.push(&fragment(4, true, 1));
        assert_eq!(numbers(&ring), [4]);
    }
}
