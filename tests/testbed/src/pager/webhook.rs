//! A receiver of Standard Webhooks with the symmetric scheme `v1`.
//!
//! Source: the Standard Webhooks specification 1.0.0. It refuses what its reference libraries refuse: a wrong
//! signature, and a time more than five minutes off. A message that comes again under its id is accepted and not
//! handled twice. The asymmetric scheme `v1a` is not spoken.

use std::{collections::HashSet, time::SystemTime};

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::server::Outcome;

/// How far a sender's clock may be off, in seconds.
const TOLERANCE_S: u64 = 300;
/// Ids remembered at most.
const IDS_MAX: usize = 100_000;

/// A receiver and what it has handled.
#[derive(Debug)]
pub(super) struct Endpoint {
    secret: Vec<u8>,
    handled: HashSet<String>,
}

/// Why a message is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unverified {
    #[error("header `{0}` is missing or not text")]
    Header(&'static str),
    #[error("header `webhook-id` contains a dot")]
    Id,
    #[error("header `webhook-timestamp` is not a number of seconds")]
    Timestamp,
    #[error("the message is {0} s off, more than {TOLERANCE_S} s")]
    Stale(u64),
    #[error("no signature of version v1 is right")]
    Signature,
}

impl Endpoint {
    /// A receiver with a secret written `whsec_<base64>`; `None` when it is not.
    pub(super) fn new(secret: &str) -> Option<Endpoint> {
        let secret = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
        Some(Endpoint { secret, handled: HashSet::new() })
    }

    pub(super) fn receive(&mut self, headers: &HeaderMap, body: &[u8], now: SystemTime) -> (u16, String, Outcome) {
        match self.verify(headers, body, now) {
            Err(error) => {
                let error = error.to_string();
                (401, error.clone(), Outcome::Refused { errors: vec![error] })
            }
            Ok(id) if self.handled.contains(&id) => (200, String::new(), Outcome::Duplicate),
            Ok(id) => {
                if self.handled.len() < IDS_MAX {
                    self.handled.insert(id);
                }
                (200, String::new(), Outcome::Verified)
            }
        }
    }

    /// The id of a message that is what it says.
    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Result<String, Unverified> {
        let header = |name: &'static str| {
            headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Unverified::Header(name))
        };
        let id = header("webhook-id")?;
        let timestamp = header("webhook-timestamp")?;
        let signatures = header("webhook-signature")?;
        if id.contains('.') {
            return Err(Unverified::Id);
        }
        let sent: u64 = timestamp.parse().map_err(|_| Unverified::Timestamp)?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if now.abs_diff(sent) > TOLERANCE_S {
            return Err(Unverified::Stale(now.abs_diff(sent)));
        }
        let believed = signatures
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|signature| STANDARD.decode(signature).ok())
            .any(|signature| self.mac(id, timestamp, body).is_some_and(|mac| mac.verify_slice(&signature).is_ok()));
        if believed { Ok(id.to_owned()) } else { Err(Unverified::Signature) }
    }

    /// The signature in the making; compared in constant time.
    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SENT: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn verify(signatures: &str, off_s: u64, body: &[u8]) -> Result<String, Unverified> {
        // The test vector of the reference libraries.
        let endpoint = Endpoint::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
        headers.insert("webhook-timestamp", SENT.into());
        headers.insert("webhook-signature", signatures.parse().unwrap());
        endpoint.verify(&headers, body, SystemTime::UNIX_EPOCH + Duration::from_secs(SENT + off_s))
    }

    #[test]
    fn reference_vector_is_believed_within_five_minutes() {
        let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert!(verify(right, 0, BODY).is_ok());
        assert!(verify(&format!("v1a,abc v1,AAAA {right}"), 300, BODY).is_ok(), "one of several is enough");
        assert_eq!(verify(right, 301, BODY), Err(Unverified::Stale(301)));
        assert_eq!(verify(right, 0, br#"{"test": 2432232315}"#), Err(Unverified::Signature));
        assert_eq!(verify(&right.replace("v1,", "v1a,"), 0, BODY), Err(Unverified::Signature));
        assert_eq!(verify("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", 0, BODY), Err(Unverified::Signature));
    }
}
