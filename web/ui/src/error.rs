//! What goes wrong, as a page or as `application/problem+json` (RFC 9457), whichever was asked for.
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{Method, StatusCode, Uri, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use store::StoreError;

/// A problem of the API.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    pub(crate) more: Json,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, title, detail: detail.into(), more: Json::Null }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({"title": self.title, "status": self.status.as_u16(), "detail": self.detail});
        if let (Json::Object(body), Json::Object(more)) = (&mut body, self.more) {
            body.extend(more);
        }
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Problem::new(StatusCode::NOT_FOUND, "not found", "there is nothing of that name"),
            StoreError::Conflict { .. } => Problem::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            other => {
                tracing::error!(error = %other, "a request failed");
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage", other.to_string())
            }
        }
    }
}

/// A problem on a page.
#[derive(Debug)]
pub(crate) struct PageError(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let page = super::pages::ErrorPage::new(self.0.as_u16(), &self.1);
        let body = askama::Template::render(&page).unwrap_or_else(|_| "error".to_owned());
        (self.0, Html(body)).into_response()
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        let problem = Problem::from(error);
        PageError(problem.status, problem.detail)
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page could not be drawn");
        PageError(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be drawn".to_owned())
    }
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") {
        Problem::new(StatusCode::NOT_FOUND, "not found", format!("{path} does not exist; see /api/openapi.json"))
            .into_response()
    } else {
        PageError(StatusCode::NOT_FOUND, format!("There is no page at {path}.")).into_response()
    }
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") {
        let detail = format!("{path} does not take {method}; see /api/openapi.json");
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", detail).into_response()
    } else {
        PageError(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}.")).into_response()
    }
}

/// The parameters of an API's address; what does not fit is a problem.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Params(asked)),
            Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, "parameters", error.body_text())),
        }
    }
}

/// The JSON an API is sent; an empty body is an empty object, what does not fit is a problem.
pub(crate) struct Sent<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| Problem::new(error.status(), "body", error.body_text()))?;
        if body.is_empty() {
            return Ok(Sent(T::default()));
        }
        serde_json::from_slice(&body).map(Sent).map_err(|error| {
            let detail = format!("the body is not the JSON that is expected here: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "body", detail)
        })
    }
}
