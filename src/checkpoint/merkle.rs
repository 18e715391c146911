//! A Merkle tree over texts, as in Certificate Transparency: RFC 6962, section 2.1.
//! One root vouches for all leaves; a path of a few hashes shows that one is among
//! them, and tells nothing of the others.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A leaf's hash. Leaves and nodes begin differently, so that neither passes for the
/// other.
#[must_use]
pub fn leaf(text: &[u8]) -> Hash {
    let mut hash = Sha256::new_with_prefix([0]);
    hash.update(text);
    hash.finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new_with_prefix([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root over leaves in their order; the hash of nothing where there are none.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(border(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `count`, which is at least 2.
fn border(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// The path from the leaf at `index` to the root; `None` where there is no such leaf.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let border = border(leaves.len());
    let (left, right) = leaves.split_at(border);
    let (mut path, sibling) = match index.checked_sub(border) {
        None => (path(left, index)?, root(right)),
        Some(index) => (path(right, index)?, root(left)),
    };
    path.push(sibling);
    Some(path)
}

/// The root that a path leads to from the leaf at `index` of `count`; `None` where
/// its length is not right (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn climb(leaf: Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut place, mut last, mut hash) = (index, count - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            hash = node(sibling, &hash);
            while place.is_multiple_of(2) && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaves and roots that Certificate Transparency's own tests use.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|number| leaf(number.to_string().as_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves: Vec<Hash> = LEAVES.into_iter().map(leaf).collect();
        for (count, wanted) in ROOTS.into_iter().enumerate() {
            let hex: String = root(&leaves[..count]).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, wanted, "{count} leaves");
        }
    }

    #[test]
    fn every_path_leads_from_its_leaf_to_the_root_and_from_no_other_place() {
        for count in 1..40_usize {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, hash) in leaves.iter().enumerate() {
                let path = path(&leaves, index).unwrap();
                for place in 0..count {
                    let reached = climb(*hash, place as u64, count as u64, &path);
                    assert_eq!(reached == Some(root), place == index, "{place} of {count}");
                }
                for end in 0..path.len() {
                    assert_ne!(climb(*hash, index as u64, count as u64, &path[..end]), Some(root));
                }
                let longer = [path.as_slice(), &[root]].concat();
                assert_eq!(climb(*hash, index as u64, count as u64, &longer), None);
                assert_ne!(
                    climb(root, index as u64, count as u64, &path),
                    Some(root).filter(|_| count > 1)
                );
            }
        }
    }

    #[test]
    fn there_is_no_path_from_where_no_leaf_is() {
        assert_eq!(path(&leaves(3), 3), None);
        assert_eq!(path(&[], 0), None);
        assert_eq!(climb([0; 32], 3, 3, &[]), None);
        assert_eq!(climb([0; 32], 0, 0, &[]), None);
        assert_eq!(climb([0; 32], u64::MAX - 1, u64::MAX, &[]), None);
    }
}
