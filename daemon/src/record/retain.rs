//! Pure. Decides what is deleted: what is too old, and what the space is needed for.

use crate::base::time::UtcMicros;

/// What recordings are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_age_us: i64,
    /// 0: no limit.
    pub max_bytes: u64,
    pub min_free_bytes: u64,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub recorded_bytes: u64,
    pub free_bytes: u64,
}

/// A closed segment that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: i64,
    pub end: UtcMicros,
    pub bytes: u64,
}

/// What ended before this is too old.
pub fn age_limit(limits: &Limits, now: UtcMicros) -> UtcMicros {
    now.add_micros(-limits.max_age_us)
}

/// Bytes that must go now.
pub fn excess(limits: &Limits, usage: &Usage) -> u64 {
    let over_limit = if limits.max_bytes == 0 { 0 } else { usage.recorded_bytes.saturating_sub(limits.max_bytes) };
    over_limit.max(limits.min_free_bytes.saturating_sub(usage.free_bytes))
}

/// The first of `candidates`, which come in the order of eviction, that together free `bytes`.
pub fn to_free(candidates: &[Candidate], bytes: u64) -> &[Candidate] {
    let mut freed = 0u64;
    let count = candidates.iter().take_while(|candidate| {
        let needed = freed < bytes;
        freed = freed.saturating_add(candidate.bytes);
        needed
    });
    &candidates[..count.count()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { max_age_us: 100, max_bytes: 1000, min_free_bytes: 50 };

    #[test]
    fn the_greater_need_counts() {
        assert_eq!(excess(&LIMITS, &Usage { recorded_bytes: 900, free_bytes: 60 }), 0);
        assert_eq!(excess(&LIMITS, &Usage { recorded_bytes: 1010, free_bytes: 60 }), 10);
        assert_eq!(excess(&LIMITS, &Usage { recorded_bytes: 1010, free_bytes: 10 }), 40);
        let unlimited = Limits { max_bytes: 0, ..LIMITS };
        assert_eq!(excess(&unlimited, &Usage { recorded_bytes: u64::MAX, free_bytes: 60 }), 0);
        assert_eq!(age_limit(&LIMITS, UtcMicros(150)), UtcMicros(50));
    }

    proptest! {
        #[test]
        fn frees_enough_and_no_segment_more(sizes in prop::collection::vec(0u64..100, 0..30), bytes in 0u64..2000) {
            let candidates: Vec<Candidate> =
                sizes.iter().zip(0..).map(|(&bytes, id)| Candidate { id, end: UtcMicros(id), bytes }).collect();
            let chosen = to_free(&candidates, bytes);
            let sum = |some: &[Candidate]| some.iter().map(|candidate| candidate.bytes).sum::<u64>();
            prop_assert!(sum(chosen) >= bytes || chosen.len() == candidates.len());
            if let Some((_, before)) = chosen.split_last() {
                prop_assert!(sum(before) < bytes);
            }
        }
    }
}
