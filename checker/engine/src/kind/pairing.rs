//! Which answer serves which question, where each serves one: questions that can be answered together are.
//!
//! That is a matching of a bipartite graph, grown by augmenting paths (Berge 1957): a question that has got its answer keeps
//! one, though perhaps another.
use alloc::{vec, vec::Vec};

/// Beyond so many answers they are taken one after the other without trading.
const TRADED_MAX: usize = 64;

/// Whose each answer is.
#[derive(Debug)]
pub(super) struct Pairing {
    owners: Vec<Option<usize>>,
}

impl Pairing {
    /// So many answers, which are nobody's.
    pub(super) fn of(answers: usize) -> Self {
        Pairing { owners: vec![None; answers] }
    }

    /// The question that each answer serves.
    pub(super) fn owners(&self) -> &[Option<usize>] {
        &self.owners
    }

    /// How many answers are nobody's.
    pub(super) fn free(&self) -> usize {
        self.owners.iter().filter(|owner| owner.is_none()).count()
    }

    /// Finds an answer for one more question, moving those that have one to others where that helps. `fits` says whether
    /// an answer serves a question, by their numbers.
    pub(super) fn assign(&mut self, question: usize, fits: &dyn Fn(usize, usize) -> bool) -> bool {
        self.free() > 0 && self.find(question, fits, &mut vec![false; self.owners.len()])
    }

    fn find(&mut self, question: usize, fits: &dyn Fn(usize, usize) -> bool, tried: &mut [bool]) -> bool {
        for answer in 0..self.owners.len() {
            if tried[answer] || !fits(question, answer) {
                continue;
            }
            tried[answer] = true;
            let free = match self.owners[answer] {
                None => true,
                Some(owner) => self.owners.len() <= TRADED_MAX && self.find(owner, fits, tried),
            };
            if free {
                self.owners[answer] = Some(question);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Pairing;

    #[test]
    fn questions_trade_answers_so_that_each_has_one() {
        let mut pairing = Pairing::of(2);
        // The first question takes either answer, the second the first alone, the third none.
        let fits = |question: usize, answer: usize| question == 0 || (question == 1 && answer == 0);
        assert!(pairing.assign(0, &fits));
        assert!(pairing.assign(1, &fits));
        assert!(!pairing.assign(2, &fits));
        assert_eq!((pairing.owners(), pairing.free()), (&[Some(1), Some(0)][..], 0));
    }
}
