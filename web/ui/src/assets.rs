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
