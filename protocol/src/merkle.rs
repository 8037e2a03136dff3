//! Pure. The Merkle tree over the records of a chain: one root, signed by the box, stands for many records, and a
//! record can be shown to be under it without the others.
//!
//! The shape is that of RFC 6962, section 2.1 (the left part of n leaves has the largest power of two below n); the
//! hashes have domains of their own, so that no leaf can be passed off as a node or as anything else that is signed:
//!
//! ```text
//! leaf  SHA-256("gtv-merkle-leaf-v1\0" | hash of the record)
//! node  SHA-256("gtv-merkle-node-v1\0" | left | right)
//! none  SHA-256("gtv-merkle-none-v1\0")                       the root of no records
//! ```

use crate::hex_bytes::{Hash, HexBytes};
use sha2::{Digest, Sha256};

/// Takes leaves one by one and keeps no more than a hash a level.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Roots of full subtrees, from the left, each with its height; heights fall strictly.
    peaks: Vec<(u32, Hash)>,
}

impl Tree {
    /// Appends a record by its hash.
    pub fn push(&mut self, record: &Hash) {
        let mut top = (0, digest(b"gtv-merkle-leaf-v1\0", &[record]));
        while let Some((height, left)) = self.peaks.pop_if(|(height, _)| *height == top.0) {
            top = (height + 1, node(&left, &top.1));
        }
        self.peaks.push(top);
    }

    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = peaks.next() else { return digest(b"gtv-merkle-none-v1\0", &[]) };
        peaks.fold(last, |right, left| node(&left, &right))
    }
}

/// Root over the hashes of `records`, in their order.
pub fn root<'a>(records: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut tree = Tree::default();
    for record in records {
        tree.push(record);
    }
    tree.root()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    digest(b"gtv-merkle-node-v1\0", &[left, right])
}

fn digest(domain: &[u8], parts: &[&Hash]) -> Hash {
    let mut sha = Sha256::new();
    sha.update(domain);
    for part in parts {
        sha.update(part.as_bytes());
    }
    HexBytes(sha.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u8) -> Vec<Hash> {
        (0..count).map(|n| HexBytes([n; 32])).collect()
    }

    /// The definition of RFC 6962, word for word.
    fn by_definition(records: &[Hash]) -> Hash {
        match records {
            [] => digest(b"gtv-merkle-none-v1\0", &[]),
            [one] => digest(b"gtv-merkle-leaf-v1\0", &[one]),
            many => {
                let half = many.len().next_power_of_two() / 2;
                node(&by_definition(&many[..half]), &by_definition(&many[half..]))
            }
        }
    }

    #[test]
    fn the_tree_is_that_of_the_rfc() {
        for count in 0..70 {
            assert_eq!(root(&records(count)), by_definition(&records(count)), "{count} leaves");
        }
    }

    #[test]
    fn any_change_changes_the_root() {
        let good = records(9);
        let of = |change: fn(&mut Vec<Hash>)| {
            let mut changed = good.clone();
            change(&mut changed);
            root(&changed)
        };
        assert_ne!(of(|r| r[4] = HexBytes([99; 32])), root(&good));
        assert_ne!(of(|r| r.swap(3, 4)), root(&good));
        assert_ne!(of(|r| r.truncate(8)), root(&good));
        assert_ne!(of(|r| r.push(r[8])), root(&good), "the last leaf twice");
        assert_ne!(root(&records(1)), records(1)[0], "a leaf is not its record");
    }
}
