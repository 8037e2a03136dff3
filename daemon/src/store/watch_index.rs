//! Pure. Which vehicles are on any watchlist, in memory: 8 bytes a vehicle in one sorted array, and what came since in
//! a small set beside it.
//!
//! It may know vehicles that are on no list any more (a hit is confirmed by the rows), but never lacks one that is.

use std::collections::BTreeSet;

use crate::base::plate::VehicleKey;

/// Newcomers that are kept beside the array before both are merged: a merge of a million costs a few milliseconds.
const RECENT_MAX: usize = 32 * 1024;

#[derive(Debug, Default)]
pub(super) struct WatchIndex {
    sorted: Vec<u64>,
    recent: BTreeSet<u64>,
}

impl WatchIndex {
    pub fn from_keys(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        keys.shrink_to_fit();
        Self { sorted: keys, recent: BTreeSet::new() }
    }

    pub fn add(&mut self, key: VehicleKey) {
        if self.sorted.binary_search(&key.0).is_err() {
            self.recent.insert(key.0);
            if self.recent.len() >= RECENT_MAX {
                self.merge();
            }
        }
    }

    pub fn contains(&self, key: VehicleKey) -> bool {
        self.sorted.binary_search(&key.0).is_ok() || self.recent.contains(&key.0)
    }

    pub fn len(&self) -> usize {
        self.sorted.len() + self.recent.len()
    }

    /// What the array takes; the set beside it is bounded and small.
    pub fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<u64>() + self.recent.len() * 2 * size_of::<u64>()
    }

    fn merge(&mut self) {
        let mut merged = Vec::with_capacity(self.len());
        let mut recent = std::mem::take(&mut self.recent).into_iter().peekable();
        for key in &self.sorted {
            while let Some(new) = recent.next_if(|new| new < key) {
                merged.push(new);
            }
            merged.push(*key);
        }
        merged.extend(recent);
        self.sorted = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_everything_that_was_added() {
        let mut index = WatchIndex::from_keys(vec![9, 3, 3, 70]);
        assert_eq!(index.len(), 3);
        for key in 0..2 * RECENT_MAX as u64 {
            index.add(VehicleKey(key * 2));
        }
        assert!(index.sorted.is_sorted() && index.recent.len() < RECENT_MAX);
        assert_eq!(index.len(), 2 * RECENT_MAX + 2, "70 came twice");
        for key in (0..2 * RECENT_MAX as u64).map(|key| key * 2).chain([3, 9]) {
            assert!(index.contains(VehicleKey(key)), "{key}");
        }
        assert!(!index.contains(VehicleKey(5)) && !index.contains(VehicleKey(u64::MAX)));
    }
}
