//! "Did you mean …?": the known name that is fewest edits away.

/// The closest of the known names, if it is close enough to be meant.
#[must_use]
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within(name, 1 + name.chars().count() / 4, known)
}

/// The one that is all but certainly meant.
pub(crate) fn nearly<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within(name, 1 + name.chars().count() / 8, known)
}

fn within<'a>(name: &str, allowed: usize, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, counting `.`, `_` and `-` as alike, and two neighbours that changed places as one edit.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> {
        text.chars().map(|c| if matches!(c, '.' | '_' | '-') { '.' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row[j] + usize::from(x != y);
            let swapped = i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y;
            let swapped = if swapped { before[j - 1] + 1 } else { usize::MAX };
            next.push(replaced.min(swapped).min(row[j + 1] + 1).min(next[j] + 1));
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn the_closest_name_is_offered_and_a_far_one_is_not() {
        let known = ["batch.id", "batch.author", "is_remote"];
        assert_eq!(closest("batchid", known), Some("batch.id"));
        assert_eq!(closest("batch_id", known), Some("batch.id"));
        assert_eq!(closest("height", known), None);
        assert_eq!(closest("kye", ["key", "row"]), Some("key"));
    }
}
