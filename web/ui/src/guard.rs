//! What every answer carries, and what no request may be: security headers, no writes from other sites, and no requests
//! for a name that is not ours. The last keeps a site whose name is made to point at loopback from being one with us.
use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use crate::{App, error::Problem};

/// Scripts, styles and images come from here only; nothing is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Some(name) = name(&request)
        && !app.backend.answers_to(name)
    {
        let detail = format!("`{name}` is not known here; set the public URL to the name that people use");
        return Problem::new(StatusCode::MISDIRECTED_REQUEST, "another name", detail).into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD && is_foreign(&request) {
        return Problem::new(StatusCode::FORBIDDEN, "cross-site request", "this request came from another site")
            .into_response();
    }
    let span =
        tracing::debug_span!("request", http.request.method = %request.method(), url.path = request.uri().path());
    let mut response = next.run(request).instrument(span).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The name a request is for, without its port.
fn name(request: &Request) -> Option<&str> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => Some(&host[..colon]),
        _ => Some(host),
    }
}

/// Whether a browser says that another site sent this (W3C Fetch Metadata; else by the Origin). Clients that are no
/// browsers say nothing of the kind.
fn is_foreign(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    match header("sec-fetch-site") {
        Some(site) => !matches!(site, "same-origin" | "none"),
        None => match (header("origin"), header("host")) {
            (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, from)| from != host),
            (Some(_), None) => true,
            (None, _) => false,
        },
    }
}
