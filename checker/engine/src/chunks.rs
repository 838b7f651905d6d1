//! A list that only grows, in chunks: nothing is copied when it does, and little is held in reserve.
use alloc::vec::Vec;

/// How many items a chunk holds.
const CHUNK: usize = 32;

/// See the module. All chunks but the last are full.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks(Vec::new())
    }
}

impl<T> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    /// Adds an item and says where it is.
    pub(crate) fn push(&mut self, item: T) -> usize {
        match self.0.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => last.push(item),
            None => {
                // A list of few items takes memory for few.
                let mut chunk = if self.0.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK) };
                chunk.push(item);
                self.0.push(chunk);
            }
        }
        self.len() - 1
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.0.last()?.last()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.0.get(place / CHUNK)?.get(place % CHUNK)
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.0.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_where_they_were_put() {
        let mut list = Chunks::default();
        for item in 0..3 * CHUNK + 1 {
            assert_eq!(list.push(item), item);
            assert_eq!(list.len(), item + 1);
        }
        list.iter_mut().for_each(|item| *item += 1);
        assert!((0..list.len()).all(|place| list.get(place) == Some(&(place + 1))));
        assert_eq!(list.get(list.len()), None);
        assert_eq!(list.get_mut(usize::MAX), None);
        assert_eq!(list.iter().sum::<usize>(), (1..=list.len()).sum());
    }
}
