//! Who looks at a page: the theme and the name they chose, which stand in cookies, so that pages are drawn right at once
//! and without JavaScript. Cookies decide how pages look and what forms suggest, never what someone may do.
use std::convert::Infallible;

use axum::{
    Form, Router,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
    routing::post,
};
use serde::Deserialize;
use url::form_urlencoded;

use crate::App;

/// How long cookies last, in seconds: a year.
const COOKIE_AGE: u32 = 31_536_000;

/// The longest name that is kept.
const NAME_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    /// `light`, `dark`, or empty: as the system says.
    pub(crate) theme: &'static str,
    /// What they called themselves last.
    pub(crate) name: String,
    /// The address they asked for, with its query.
    pub(crate) at: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let at = parts.uri.path_and_query().map_or("/", |at| at.as_str()).to_owned();
        Ok(Visitor {
            theme: theme(&cookie(&parts.headers, "theme").unwrap_or_default()),
            name: cookie(&parts.headers, "who").unwrap_or_default(),
            at,
        })
    }
}

fn theme(text: &str) -> &'static str {
    match text {
        "dark" => "dark",
        "light" => "light",
        _ => "",
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let value = found.filter(|(known, _)| *known == name).map(|(_, value)| value).next()?;
    form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, value)| value.into_owned())
}

fn set(name: &str, value: &str) -> HeaderValue {
    let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let text = format!("{name}={value}; Path=/; Max-Age={COOKIE_AGE}; SameSite=Lax");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What a person called themselves, tidied; someone who gave no name is `someone`.
pub(crate) fn name_of(given: &str) -> String {
    let name: String = given.trim().chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
    if name.is_empty() { "someone".to_owned() } else { name }
}

/// Goes on to another page and remembers what someone called themselves.
pub(crate) fn go(to: &str, name: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    if !name.trim().is_empty() {
        response.headers_mut().append(header::SET_COOKIE, set("who", &name_of(name)));
    }
    response
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chosen {
    theme: String,
    back: String,
}

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/theme", post(choose))
}

/// Keeps the theme, and goes back to a page of ours.
async fn choose(Form(chosen): Form<Chosen>) -> Response {
    let ours = chosen.back.starts_with('/') && !chosen.back.starts_with("//") && !chosen.back.contains('\\');
    let mut response = Redirect::to(if ours { &chosen.back } else { "/" }).into_response();
    response.headers_mut().append(header::SET_COOKIE, set("theme", theme(&chosen.theme)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(cookies).unwrap());
        headers
    }

    #[test]
    fn names_come_back_as_they_were_given() {
        let kept = set("who", "Zoë; =\"x\"");
        let kept = kept.to_str().unwrap().split(';').next().unwrap();
        assert_eq!(cookie(&headers(&format!("theme=dark; {kept}")), "who").as_deref(), Some("Zoë; =\"x\""));
        assert_eq!(cookie(&headers("theme=dark"), "who"), None);
    }

    #[tokio::test]
    async fn choosing_a_theme_never_leads_to_another_site() {
        for back in ["//evil.example", "https://evil.example", "/\\evil.example", ""] {
            let response = choose(Form(Chosen { theme: "dark".into(), back: back.into() })).await;
            assert_eq!(response.headers()[header::LOCATION], "/", "{back}");
        }
        let response = choose(Form(Chosen { theme: "nonsense".into(), back: "/rules?q=1".into() })).await;
        assert_eq!(response.headers()[header::LOCATION], "/rules?q=1");
        assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().starts_with("theme=;"));
    }
}
