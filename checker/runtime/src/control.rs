//! Control frames: what people decide that verdicts depend on, journaled so that the checker meets it at one position and a
//! restart meets it at the same one.
use serde::{Deserialize, Serialize};

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// A process has begun to accept events; what came before it, if anything, came to another one.
    Started,
    /// From here on this is the pack of that name. It compiled when it was journaled.
    Adopt {
        /// The pack's name.
        pack: String,
        /// Its revision in the store.
        revision: i64,
        /// Its text.
        yaml: String,
    },
    /// From here on there is no pack of that name.
    Drop {
        /// The pack's name.
        pack: String,
    },
    /// Someone opened or closed a breaker.
    Force {
        /// The breaker's pack; empty: the only one that has it.
        #[serde(default)]
        pack: String,
        /// The breaker's id.
        breaker: String,
        /// The network of its scope.
        #[serde(default)]
        network: String,
        /// The scope's other parts, by name.
        #[serde(default)]
        scope: Vec<(String, String)>,
        /// Open (else closed).
        open: bool,
        /// Until when it stays open, ns since the epoch; none: until someone closes it.
        until: Option<u64>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
}

impl Control {
    /// The body of a control frame.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a control frame's body; none when it is of a kind this build does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_read_back_as_they_were_written() {
        let force = Control::Force {
            pack: "p".into(),
            breaker: "b".into(),
            network: String::new(),
            scope: vec![("node".into(), "n1".into())],
            open: true,
            until: Some(7),
            reason: "drill".into(),
            by: "operator".into(),
        };
        for control in [Control::Started, force, Control::Drop { pack: "p".into() }] {
            assert_eq!(Control::from_body(&control.to_body()), Some(control));
        }
        assert_eq!(Control::from_body(b"{\"control\":\"later\"}"), None);
    }
}
