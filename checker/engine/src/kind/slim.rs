//! Collections that mostly hold one thing, of which there are as many as instances: the first thing is given memory for
//! itself alone, where a collection would take it for four.
use alloc::{collections::VecDeque, vec::Vec};
use thin_vec::ThinVec;

pub(super) fn push<T>(to: &mut Vec<T>, item: T) {
    if to.capacity() == 0 {
        to.reserve_exact(1);
    }
    to.push(item);
}

pub(crate) fn push_thin<T>(to: &mut ThinVec<T>, item: T) {
    if to.capacity() == 0 {
        to.reserve_exact(1);
    }
    to.push(item);
}

pub(super) fn push_back<T>(to: &mut VecDeque<T>, item: T) {
    if to.capacity() == 0 {
        to.reserve_exact(1);
    }
    to.push_back(item);
}
