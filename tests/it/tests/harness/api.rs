//! A small client: of the JSON API, and of what listens beside it over HTTP.
use std::sync::LazyLock;

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

/// One client for all: it keeps connections of one test's process only.
pub(crate) static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    // Installed twice it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(super::PATIENCE).redirect(reqwest::redirect::Policy::none()).build().unwrap()
});

/// An answer, whatever it is.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON, when the status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// The problem (RFC 9457) that the answer must be.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["status"], status, "{body}");
        for field in ["title", "detail"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "no {field} in {body}");
        }
        body
    }
}

/// The JSON API of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    base: String,
}

impl Api {
    pub(crate) fn new(base: String) -> Self {
        Api { base }
    }

    /// Its address, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Asks anything, with headers.
    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        request(method, &format!("{}{path}", self.base), headers, body).await
    }

    /// Asks for a path and takes what comes.
    pub(crate) async fn look(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[], Vec::new()).await
    }

    /// A path's JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self.look(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// A path's text.
    pub(crate) async fn text(&self, path: &str) -> String {
        self.look(path).await.text()
    }

    /// The items of a list: of its first page.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let mut list = self.get(path).await;
        assert!(list.get("next").is_some(), "{path} says nothing of a next page: {list}");
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("{path} has no items: {other}"),
        }
    }

    /// The items of all pages of a list.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = match cursor.as_str() {
                "" => self.get(path).await,
                cursor => self.get(&format!("{path}{joint}cursor={cursor}")).await,
            };
            found.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return found,
            }
        }
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        let json = [("content-type", "application/json")];
        self.ask(Method::POST, path, &json, body.to_string().into_bytes()).await
    }
}

/// One request.
pub(crate) async fn request(method: Method, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    try_request(method, url, headers, body).await.unwrap_or_else(|error| panic!("{url} did not answer: {error:?}"))
}

/// One request to something that may be gone.
pub(crate) async fn try_request(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> reqwest::Result<Reply> {
    let mut request = HTTP.request(method, url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, body: response.bytes().await?.to_vec() })
}
