//! The dead man's switch: a watcher elsewhere that is told all the time that Invar is at work, and calls somebody when it
//! is not told any more. No page can say that of whoever sends the pages.
use std::time::Duration;

use crate::{config::Alive, send};

/// Tells the watcher once.
///
/// # Errors
/// What went wrong, without the address, which may be a secret.
pub async fn tell(alive: &Alive) -> Result<(), String> {
    let (client, url) = send::client(&alive.url, alive.allow_private).await.map_err(|(error, _)| error)?;
    let reply = client.get(url).send().await.map_err(|error| send::describe(&error))?;
    let status = reply.status();
    if status.is_success() { Ok(()) } else { Err(format!("HTTP {}", status.as_u16())) }
}

impl Alive {
    /// How often the watcher is told.
    #[must_use]
    pub fn every(&self) -> Duration {
        Duration::from_secs(self.every_seconds.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, http::StatusCode, routing::get};

    #[tokio::test]
    async fn the_watcher_is_told_and_its_refusal_is_heard() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            Router::new().route("/alive", get(|| async { "ok" })).route("/gone", get(|| async { StatusCode::GONE }));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let alive = |path: &str, allow_private| Alive {
            url: format!("http://{address}{path}"),
            every_seconds: 60,
            allow_private,
        };
        assert_eq!(tell(&alive("/alive", true)).await, Ok(()));
        assert_eq!(tell(&alive("/gone", true)).await, Err("HTTP 410".to_owned()));
        assert!(tell(&alive("/alive", false)).await.unwrap_err().contains("inside the network"));
        server.abort();
    }
}
