//! Ingest tokens: who may send. It refuses to hold a token in clear: only SHA-256 digests are kept.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// One token as configured.
#[derive(Clone, Debug)]
pub struct Token {
    /// The name under which its use is reported.
    pub name: Arc<str>,
    /// The SHA-256 digest of the secret.
    pub digest: [u8; 32],
    /// Whether it may send events; a known token without this right is answered 403.
    pub may_ingest: bool,
}

impl Token {
    /// A token from its secret, which is digested at once.
    pub fn from_secret(name: &str, secret: &str, may_ingest: bool) -> Self {
        Self { name: name.into(), digest: digest(secret), may_ingest }
    }
}

/// All configured tokens. With none, everybody may send.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Looked up by digest: how long a lookup takes tells nothing about a secret whose digest cannot be inverted.
    by_digest: HashMap<[u8; 32], Token>,
}

impl Tokens {
    /// No token is configured: everybody may send. Only fit for a listener on loopback.
    pub fn open() -> Self {
        Self::default()
    }

    /// These tokens and no others.
    pub fn new(tokens: impl IntoIterator<Item = Token>) -> Self {
        Self { by_digest: tokens.into_iter().map(|token| (token.digest, token)).collect() }
    }

    /// Whether everybody may send.
    pub fn is_open(&self) -> bool {
        self.by_digest.is_empty()
    }

    /// The name of the token in an `Authorization: Bearer …` header (RFC 6750), or why it does not allow sending.
    pub(crate) fn authorize(&self, header: Option<&http::HeaderValue>) -> Result<Option<Arc<str>>, Failure> {
        if self.is_open() {
            return Ok(None);
        }
        let secret = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim());
        let Some(secret) = secret else {
            return Err(Failure::unauthenticated("an ingest token is needed: send `Authorization: Bearer TOKEN`"));
        };
        match self.by_digest.get(&digest(secret)) {
            Some(token) if token.may_ingest => Ok(Some(Arc::clone(&token.name))),
            Some(token) => Err(Failure::forbidden(format!("the token `{}` has no right to send events", token.name))),
            None => Err(Failure::unauthenticated("the ingest token is not known")),
        }
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
