//! The Merkle tree over a trail's lines (RFC 6962 section 2.1), grown line by line.
//!
//! Of a tree of any size only its peaks are kept: the roots of the perfect trees that it is made of, at most
//! one for each bit of its size. They are enough to go on from, and to tell the root.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// The hash of a leaf: a line without its newline.
pub fn leaf(line: &[u8]) -> Hash {
    hashed(&[&[LEAF], line])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hashed(&[&[NODE], left, right])
}

fn hashed(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    sized(context.finish().as_ref())
}

fn sized(digest: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest); // SHA-256 always has 32 bytes
    hash
}

/// A tree that grows at its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    /// The roots of its perfect trees, the greatest first: one for each bit of its size.
    peaks: Vec<Hash>,
}

impl Tree {
    /// A tree of `size` leaves that was left with these peaks. `None` if such a tree has not as many.
    pub fn resume(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (size.count_ones() as usize == peaks.len()).then_some(Self { size, peaks })
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its perfect trees, the greatest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_seeing(leaf, |_, _| {});
    }

    /// The root; that of no leaves is the hash of nothing.
    pub fn root(&self) -> Hash {
        self.root_seeing(|_, _| {})
    }

    /// Adds a leaf; `each` sees a left and a right half that become one tree.
    fn push_seeing(&mut self, leaf: Hash, mut each: impl FnMut(&Hash, &Hash)) {
        let (mut joined, mut leaves) = (leaf, 1);
        while self.size & leaves != 0
            && let Some(left) = self.peaks.pop()
        {
            leaves *= 2;
            each(&left, &joined);
            joined = node(&left, &joined);
        }
        self.peaks.push(joined);
        self.size += 1;
    }

    /// The root; `each` sees a left half, and the rest to its right.
    fn root_seeing(&self, mut each: impl FnMut(&Hash, &Hash)) -> Hash {
        let mut from_right = self.peaks.iter().rev();
        let Some(last) = from_right.next() else { return sized(digest(&SHA256, b"").as_ref()) };
        from_right.fold(*last, |right, left| {
            each(left, &right);
            node(left, &right)
        })
    }
}

/// Proof that a leaf stands in a tree (RFC 9162 section 2.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The leaf's place, from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// The other halves on the way from the leaf to the root.
    pub path: Vec<Hash>,
}

impl Inclusion {
    /// The root of the tree in which `leaf` stands, if the proof can be one.
    pub fn root(&self, leaf: Hash) -> Option<Hash> {
        if self.index >= self.size {
            return None;
        }
        let (mut place, mut last, mut root) = (self.index, self.size - 1, leaf);
        for other in &self.path {
            if last == 0 {
                return None;
            }
            if place & 1 == 1 || place == last {
                root = node(other, &root);
                while place & 1 == 0 && place != 0 {
                    (place, last) = (place >> 1, last >> 1);
                }
            } else {
                root = node(&root, other);
            }
            (place, last) = (place >> 1, last >> 1);
        }
        (last == 0).then_some(root)
    }
}

/// Collects the proof of one leaf while its tree grows.
#[derive(Debug)]
pub struct Prover {
    tree: Tree,
    index: u64,
    /// The root of the perfect tree that the leaf is in so far.
    around: Option<Hash>,
    path: Vec<Hash>,
}

impl Prover {
    /// Of the leaf at `index`, which `tree` has not yet.
    pub fn new(tree: Tree, index: u64) -> Self {
        Self { tree, index, around: None, path: Vec::new() }
    }

    /// The tree so far.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        if self.tree.size == self.index {
            self.around = Some(leaf);
        }
        let (around, path) = (&mut self.around, &mut self.path);
        self.tree.push_seeing(leaf, |left, right| climb(around, path, left, right));
    }

    /// The proof in the tree as it is now. `None` when the leaf was not added.
    pub fn prove(&self) -> Option<Inclusion> {
        let (mut around, mut path) = (Some(self.around?), self.path.clone());
        self.tree.root_seeing(|left, right| climb(&mut around, &mut path, left, right));
        Some(Inclusion { index: self.index, size: self.tree.size, path })
    }
}

/// Follows the leaf upwards when one of two halves is the tree around it.
fn climb(around: &mut Option<Hash>, path: &mut Vec<Hash>, left: &Hash, right: &Hash) {
    let Some(mine) = *around else { return };
    let other = match (mine == *left, mine == *right) {
        (true, _) => right,
        (false, true) => left,
        (false, false) => return,
    };
    path.push(*other);
    *around = Some(node(left, right));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The leaves with which Certificate Transparency's own implementations are tested, and their roots.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// RFC 6962 section 2.1, as it is written there.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sized(digest(&SHA256, b"").as_ref()),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&naive(left), &naive(right))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|number| leaf(number.to_string().as_bytes())).collect()
    }

    fn grown(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let mut tree = Tree::default();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(tree.root()), empty);

        for (line, root) in LEAVES.iter().zip(ROOTS) {
            tree.push(leaf(&hex::decode(line).unwrap()));
            assert_eq!(hex::encode(tree.root()), root);
        }
    }

    #[test]
    fn a_tree_is_taken_up_again_where_it_was_left() {
        let all = leaves(100);
        let left = grown(&all[..77]);

        let mut taken_up = Tree::resume(left.size(), left.peaks().to_vec()).unwrap();
        all[77..].iter().for_each(|leaf| taken_up.push(*leaf));

        assert_eq!(taken_up, grown(&all));
        assert_eq!(Tree::resume(77, left.peaks()[1..].to_vec()), None);
    }

    #[test]
    fn a_proof_holds_for_its_leaf_and_tree_alone() {
        let all = leaves(6);
        let mut prover = Prover::new(Tree::default(), 4);
        assert_eq!(prover.prove(), None);
        all.iter().for_each(|leaf| prover.push(*leaf));

        let proof = prover.prove().unwrap();

        assert_eq!(proof.root(all[4]), Some(grown(&all).root()));
        assert_ne!(proof.root(all[3]), Some(grown(&all).root()));
        let elsewhere = Inclusion { index: 3, ..proof.clone() };
        assert_ne!(elsewhere.root(all[4]), Some(grown(&all).root()));
        let (longer, outside) = (
            Inclusion { path: [proof.path.clone(), vec![all[0]]].concat(), ..proof.clone() },
            Inclusion { index: 6, ..proof },
        );
        assert_eq!((longer.root(all[4]), outside.root(all[4])), (None, None));
    }

    proptest! {
        #[test]
        fn any_leaf_of_any_tree_is_proven(size in 1_usize..200, at in 0_usize..200) {
            let (all, at) = (leaves(size), at % size);
            let start = at / 2; // a trail whose beginning was removed is taken up from its peaks
            let mut prover = Prover::new(grown(&all[..start]), at as u64);
            all[start..].iter().for_each(|leaf| prover.push(*leaf));

            let proof = prover.prove().unwrap();

            prop_assert_eq!(prover.tree().root(), naive(&all));
            prop_assert_eq!(proof.root(all[at]), Some(naive(&all)));
        }
    }
}
