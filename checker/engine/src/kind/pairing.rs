//! Which answer serves which question, where each serves one: questions that can be answered together are.
//!
//! Answers are given by members of a group, and a question takes one of each member at most. That is a flow through a
//! small network, grown by augmenting paths (Ford and Fulkerson 1956): a question that has got so many answers keeps so
//! many, though perhaps others. Who asks for answers in order of importance is therefore served as well as can be: the
//! first as often as possible, the second as often as possible beside it, and so on.
use alloc::{vec, vec::Vec};

/// Beyond so many answers they are taken one after the other without trading.
const TRADED_MAX: usize = 64;

/// Whose each answer is.
#[derive(Debug)]
pub(super) struct Pairing {
    /// Who gave each answer.
    givers: Vec<usize>,
    owners: Vec<Option<usize>>,
}

/// What was looked at on the way to one more answer.
struct Tried {
    answers: Vec<bool>,
    /// The questions that asked for an answer of anybody.
    questions: Vec<usize>,
}

impl Pairing {
    /// Answers, which are nobody's, by who gave them.
    pub(super) fn of(givers: Vec<usize>) -> Self {
        Pairing { owners: vec![None; givers.len()], givers }
    }

    /// The question that each answer serves.
    pub(super) fn owners(&self) -> &[Option<usize>] {
        &self.owners
    }

    /// Whether every answer is somebody's.
    pub(super) fn is_spent(&self) -> bool {
        self.owners.iter().all(Option::is_some)
    }

    /// Finds one more answer for a question, moving those of others where that helps. `fits` says whether an answer serves a
    /// question, by their numbers.
    pub(super) fn assign(&mut self, question: usize, fits: &dyn Fn(usize, usize) -> bool) -> bool {
        let mut tried = Tried { answers: vec![false; self.owners.len()], questions: vec![question] };
        !self.is_spent() && self.find(question, None, true, fits, &mut tried)
    }

    /// Finds an answer for a question that has lost one of this member: another of that member, or, where `of_anybody`, of
    /// one who has given it none.
    fn find(
        &mut self,
        question: usize,
        lost: Option<usize>,
        of_anybody: bool,
        fits: &dyn Fn(usize, usize) -> bool,
        tried: &mut Tried,
    ) -> bool {
        for answer in 0..self.owners.len() {
            let giver = self.givers[answer];
            let may_take = lost == Some(giver) || (of_anybody && !self.has_of(question, giver));
            if tried.answers[answer] || !may_take || !fits(question, answer) {
                continue;
            }
            tried.answers[answer] = true;
            let is_free = match self.owners[answer] {
                None => true,
                Some(owner) => {
                    let is_first = !tried.questions.contains(&owner);
                    if is_first {
                        tried.questions.push(owner);
                    }
                    self.owners.len() <= TRADED_MAX && self.find(owner, Some(giver), is_first, fits, tried)
                }
            };
            if is_free {
                self.owners[answer] = Some(question);
                return true;
            }
        }
        false
    }

    fn has_of(&self, question: usize, giver: usize) -> bool {
        let mut owned = self.owners.iter().zip(&self.givers);
        owned.any(|(owner, by)| *owner == Some(question) && *by == giver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_trade_answers_so_that_each_has_one() {
        let mut pairing = Pairing::of(vec![0, 0]);
        // The first question takes either answer, the second the first alone, the third none.
        let fits = |question: usize, answer: usize| question == 0 || (question == 1 && answer == 0);
        assert!(pairing.assign(0, &fits));
        assert!(pairing.assign(1, &fits));
        assert!(!pairing.assign(2, &fits));
        assert_eq!(pairing.owners(), [Some(1), Some(0)]);
        assert!(pairing.is_spent());
    }

    #[test]
    fn questions_trade_answers_of_different_members() {
        // Two of the first member, one of the second; the first question takes any, the second those of the first.
        let mut pairing = Pairing::of(vec![0, 0, 1]);
        let fits = |question: usize, answer: usize| question == 0 || answer < 2;
        assert!(pairing.assign(0, &fits));
        assert!(pairing.assign(0, &fits), "one more of the second member");
        assert!(!pairing.assign(0, &fits), "each member answers once");
        assert!(pairing.assign(1, &fits));
        assert_eq!(pairing.owners(), [Some(1), Some(0), Some(0)]);
    }

    /// All ways to give answers to questions are tried.
    fn best(questions: usize, givers: &[usize], needs: &[usize], fits: &dyn Fn(usize, usize) -> bool) -> Vec<usize> {
        let mut ways: Vec<Vec<Option<usize>>> = vec![Vec::new()];
        for answer in 0..givers.len() {
            let takers = |_: &Vec<Option<usize>>| (0..questions).filter(|at| fits(*at, answer)).map(Some).chain([None]);
            let further = ways
                .iter()
                .flat_map(|way| takers(way).map(|taker| way.iter().copied().chain([taker]).collect::<Vec<_>>()));
            ways = further.collect();
        }
        let served = |way: &Vec<Option<usize>>| -> Option<Vec<usize>> {
            let mut counts = vec![0; questions];
            let mut pairs: Vec<(usize, usize)> = Vec::new();
            for (taker, giver) in way.iter().zip(givers) {
                let Some(taker) = taker else { continue };
                if pairs.contains(&(*taker, *giver)) {
                    return None;
                }
                pairs.push((*taker, *giver));
                counts[*taker] += 1;
            }
            counts.iter().zip(needs).all(|(count, need)| count <= need).then_some(counts)
        };
        ways.iter().filter_map(served).max().unwrap_or_default()
    }

    #[test]
    fn those_who_come_first_are_served_best() {
        let mut random = 1_u64;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for _ in 0..2_000 {
            let questions = 1 + next(4) as usize;
            let givers: Vec<usize> = (0..=next(4)).map(|_| next(3) as usize).collect();
            let needs: Vec<usize> = (0..questions).map(|_| next(4) as usize).collect();
            let served: Vec<Vec<bool>> =
                (0..questions).map(|_| givers.iter().map(|_| next(2) == 0).collect()).collect();
            let fits = |question: usize, answer: usize| served[question][answer];
            let mut pairing = Pairing::of(givers.clone());
            for (question, needed) in needs.iter().enumerate() {
                (0..*needed).take_while(|_| pairing.assign(question, &fits)).for_each(drop);
            }
            let count = |question| pairing.owners().iter().filter(|owner| **owner == Some(question)).count();
            let counts: Vec<usize> = (0..questions).map(count).collect();
            assert_eq!(counts, best(questions, &givers, &needs, &fits), "{givers:?} {needs:?} {served:?}");
        }
    }
}
