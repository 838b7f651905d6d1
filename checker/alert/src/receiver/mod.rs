//! How each kind of receiver wants to be told. Pure: requests out, no sending.
pub mod pagerduty;
pub mod slack;
pub mod webhook;

/// Cuts text to so many characters and says so with `…`.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters - 1).chain(['…']).collect()
}
