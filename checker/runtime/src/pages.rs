//! Planning pages: which messages follow from what becomes of an incident. Sends nothing; see `courier`.
use alert::{Action, Planned, Subject};
use serde_json::json;
use store::{IncidentRow, NewDelivery, Planner, Transition};

/// Plans by a configuration of receivers and routes.
pub struct Pages {
    config: alert::Config,
}

impl Pages {
    /// A planner for these receivers.
    #[must_use]
    pub fn new(config: alert::Config) -> Self {
        Pages { config }
    }
}

impl Planner for Pages {
    fn plan(&self, incident: &IncidentRow, transition: Transition) -> Vec<NewDelivery> {
        let action = match transition {
            Transition::Opened | Transition::Reopened => Action::Trigger,
            Transition::Acknowledged => Action::Acknowledge,
            Transition::Resolved | Transition::LateResolved | Transition::Retracted => Action::Resolve,
        };
        let subject = Subject {
            pack: incident.pack.clone(),
            rule: incident.rule.clone(),
            severity: incident.severity.clone(),
            network: incident.network.clone(),
            node: incident.node.clone(),
            labels: serde_json::from_value(incident.labels.clone()).unwrap_or_default(),
            group: incident.group.clone(),
            silent: incident.mode != "active" || incident.backfilled,
        };
        let delivery = |planned: Planned| NewDelivery {
            receiver: planned.receiver,
            action: action.as_str().to_owned(),
            dedup_key: planned.dedup_key,
            body: json!({"incident": incident.id}),
        };
        alert::plan(&self.config, &subject).into_iter().map(delivery).collect()
    }
}
