//! Styles and scripts, in the binary, under names that change with their content.
use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::App;

const STYLE: &str = include_str!("../static/style.css");
const SCRIPT: &str = include_str!("../static/app.js");

/// FNV-1a at compile time: what makes an asset's address change with its content.
const fn version(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

/// The style sheet's address.
pub(crate) fn style() -> String {
    format!("/static/{:016x}.css", version(STYLE))
}

/// The script's address.
pub(crate) fn script() -> String {
    format!("/static/{:016x}.js", version(SCRIPT))
}

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/static/{name}", get(asset)).route("/favicon.svg", get(icon))
}

async fn asset(Path(name): Path<String>) -> Response {
    let address = format!("/static/{name}");
    let (kind, text) = if address == style() {
        ("text/css; charset=utf-8", STYLE)
    } else if address == script() {
        ("text/javascript; charset=utf-8", SCRIPT)
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")], text)
        .into_response()
}

async fn icon() -> Response {
    let icon = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#0f766e'/>\
                <path d='M7 10h18M7 16h18M7 22h18' stroke='#fff' stroke-width='3' stroke-linecap='round'/></svg>";
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")], icon).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The colours of a theme, by name.
    fn colours(selector: &str) -> BTreeMap<&'static str, &'static str> {
        let start =
            STYLE.find(&format!("{selector}{{")).unwrap_or_else(|| panic!("no {selector}")) + selector.len() + 1;
        let block = &STYLE[start..start + STYLE[start..].find('}').unwrap()];
        block.split(';').filter_map(|pair| pair.strip_prefix("--")?.split_once(':')).collect()
    }

    /// Relative luminance, WCAG 2.2.
    fn luminance(colour: &str) -> f64 {
        let digits: Vec<char> = colour.trim_start_matches('#').chars().collect();
        let channel = |at: usize| {
            let pair: String = match digits.len() {
                3 => [digits[at], digits[at]].iter().collect(),
                _ => digits[at * 2..at * 2 + 2].iter().collect(),
            };
            let value = f64::from(u8::from_str_radix(&pair, 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_on_every_ground_of_both_themes() {
        for theme in [":root", ":root[data-theme=dark]"] {
            let colours = colours(theme);
            for text in ["ink", "dim", "accent", "critical", "high", "medium", "low", "info", "good"] {
                for ground in ["bg", "panel", "raised", "wash"] {
                    let found = contrast(colours[text], colours[ground]);
                    assert!(found >= 4.5, "{theme}: {text} on {ground} has a contrast of {found:.2}");
                }
            }
            for (text, ground, least) in [("on", "accent", 4.5), ("panel", "critical", 4.5), ("edge", "panel", 3.0)] {
                let found = contrast(colours[text], colours[ground]);
                assert!(found >= least, "{theme}: {text} on {ground} has a contrast of {found:.2}");
            }
        }
    }

    #[test]
    fn styles_and_script_stay_small() {
        assert!(STYLE.len() <= 16 * 1024, "the style sheet has {} bytes", STYLE.len());
        assert!(SCRIPT.len() <= 20 * 1024, "the script has {} bytes", SCRIPT.len());
    }
}
