//! A map that forgets what was not used for the longest time, roughly: once the young
//! half is full it becomes the old one, and what was in the old one is forgotten.

use std::{collections::HashMap, hash::Hash};

pub(super) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Of one generation.
    most: usize,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// Keeps `most` entries at most, and at least the last half of them.
    pub(super) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most: most / 2 }
    }

    /// False where nothing is ever kept.
    pub(super) fn has_room(&self) -> bool {
        self.most > 0
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if !self.has_room() {
            return;
        }
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_last_is_kept_and_the_rest_goes() {
        let mut map = Generations::new(8);
        (0..100).for_each(|n| map.put(n, n));
        assert!((96..100).all(|n| map.get(&n) == Some(&n)));
        assert!((0..92).all(|n| map.get(&n).is_none()));
    }

    #[test]
    fn what_is_taken_is_gone_and_what_is_put_again_is_young_again() {
        let mut map = Generations::new(8);
        map.put(0, "old");
        for n in 1..100 {
            assert_eq!(map.take(&0), Some("old"), "after {n}");
            assert_eq!(map.get(&0), None);
            map.put(n, "other");
            map.put(0, "old");
        }
    }

    #[test]
    fn the_newest_value_counts_whichever_generation_had_one() {
        let mut map = Generations::new(4);
        map.put("a", 1);
        map.put("b", 1);
        map.put("c", 1);
        map.put("a", 2);
        assert_eq!(map.take(&"a"), Some(2));
        assert_eq!(map.take(&"a"), None);
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let mut map = Generations::new(0);
        map.put(1, 1);
        assert_eq!(map.get(&1), None);
    }
}
