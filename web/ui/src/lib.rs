//! The pages and the JSON API. Pages work without JavaScript; a little of it refreshes them. Knows no journal and no
//! engine at work: what it cannot read from the store it asks a [`Backend`] for.
mod api;
mod assets;
mod backend;
mod error;
mod graph;
mod guard;
mod pages;
mod stream;
mod text;
mod timeline;
mod visitor;
pub mod words;

use std::sync::Arc;

use axum::{Router, middleware};
use store::Store;

pub use backend::{AdoptError, Backend, EventQuery, Force, FoundEvents, Receiver, Tried};

/// What every handler has.
#[derive(Clone)]
pub struct App {
    /// Incidents, breakers, deliveries, packs, health.
    pub store: Store,
    /// Everything else.
    pub backend: Arc<dyn Backend>,
}

/// All routes; binds nothing.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(pages::routes())
        .merge(visitor::routes())
        .merge(api::routes())
        .merge(stream::routes())
        .merge(assets::routes())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}
