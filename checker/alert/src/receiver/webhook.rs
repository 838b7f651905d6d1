//! Signed webhooks (Standard Webhooks 1.0.0: HMAC-SHA256, `v1`).
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use crate::plan::Action;

/// The key of a `whsec_` secret.
#[must_use]
pub fn key(secret: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// The signature of `<id>.<timestamp>.<body>`; `timestamp` in whole Unix seconds, of the attempt.
#[must_use]
pub fn signature(secret: &str, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret)?).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// The body of one message.
#[must_use]
pub fn body(action: Action, incident: &Json) -> Json {
    let kind = match action {
        Action::Trigger => "incident.opened",
        Action::Acknowledge => "incident.acknowledged",
        Action::Resolve => match incident["status"].as_str() {
            Some("late_resolved") => "incident.late_resolved",
            _ => "incident.resolved",
        },
    };
    json!({"type": kind, "timestamp": incident["last_at"], "data": incident})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_test_vector_is_signed_as_it_says() {
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn secrets_of_another_form_are_refused() {
        assert_eq!(key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), None);
        assert_eq!(key("whsec_c2hvcnQ="), None);
    }
}
