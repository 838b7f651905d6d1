//! The pager stand-in, and the settings that make Invar call it.
use std::net::SocketAddr;

use testbed::pager::{Call, Mount, PagerStandIn, Received, WEBHOOK_SECRET};

use super::{Invar, PATIENCE, eventually};

/// PagerDuty and a signed webhook, both in miniature.
pub(crate) struct Pager {
    address: SocketAddr,
    received: Received,
}

impl Pager {
    pub(crate) async fn start() -> Self {
        let (address, received) = PagerStandIn::start().await.unwrap();
        Pager { address, received }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Receivers `pagerduty` and `webhook`; everything goes to both.
    pub(crate) fn alerts(&self) -> String {
        let address = self.address;
        format!(
            "receivers:\n  \
               - name: pagerduty\n    allow_private: true\n    pagerduty:\n      \
                   routing_key: 0123456789abcdef0123456789abcdef\n      url: http://{address}/v2/enqueue\n  \
               - name: webhook\n    allow_private: true\n    webhook:\n      \
                   url: http://{address}/webhook\n      secret: {WEBHOOK_SECRET}\n\
             routes:\n  - receivers: [pagerduty, webhook]\n"
        )
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.received.all()
    }

    /// The calls about an incident, of one receiver.
    pub(crate) fn about(&self, incident: &str, mount: Mount) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.mount == mount && about(call) == Some(incident)).collect()
    }

    /// Waits until a receiver was called `count` times about an incident.
    pub(crate) async fn expect_calls(&self, invar: &Invar, incident: &str, mount: Mount, count: usize) -> Vec<Call> {
        let found = eventually(PATIENCE, async || {
            let calls = self.about(incident, mount);
            (calls.len() >= count).then_some(calls)
        })
        .await;
        let Some(calls) = found else {
            let calls: Vec<String> = self.calls().iter().map(ToString::to_string).collect();
            panic!("{mount:?} was not called {count} times about {incident}; calls: {calls:#?}\n{}", invar.log());
        };
        calls
    }
}

/// The incident a call is about: a webhook says it, a page links to it. An acknowledgement or a resolve of PagerDuty's has
/// nothing but its key.
pub(crate) fn about(call: &Call) -> Option<&str> {
    let link = || call.body.pointer("/client_url")?.as_str()?.rsplit_once("/incidents/").map(|(_, id)| id);
    call.body.pointer("/data/id").and_then(|id| id.as_str()).or_else(link)
}
