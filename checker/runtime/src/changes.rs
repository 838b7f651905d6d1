//! What the engine says, as changes of the database: violations with their evidence frozen, what became of others, and
//! breakers.
use engine::{BreakerChange, Mode, Output, Program, Violation};
use event::Position;
use serde_json::{Map, Value as Json};
use store::{BreakerUpdate, Change, NewViolation};

use crate::{
    evidence::{Bodies, Picked},
    freeze::{self, Evidence},
    json,
};

/// A storm's violations beyond so many in one step are counted by the engine's tally, and sampled for the incident.
const OUTPUTS_FROZEN_PER_STEP: usize = 2_000;

/// The changes that follow from what was said in one step; what a rule only measures is none.
pub(crate) fn of(program: &Program, outputs: Vec<Output>, evidence: &mut Picked<impl Bodies>) -> Vec<Change> {
    let said: Vec<(Output, bool)> = graded(program, outputs);
    let cited = said.iter().flat_map(|(output, whole)| cited(output, *whole)).collect();
    evidence.gather(cited);
    let change = |(output, whole)| match output {
        Output::Violated(violation) => Change::Violated(Box::new(new(program, &violation, whole, evidence))),
        Output::Retracted { id, .. } => Change::Retracted { violation: id.to_string() },
        Output::Resolved { id, at, .. } => Change::Resolved { violation: id.to_string(), at },
        Output::LateResolved { id, by, .. } => {
            let event = evidence.event(by.event.position).unwrap_or_default();
            Change::LateResolved { violation: id.to_string(), event: json::evidence(&by.role, &event) }
        }
        Output::Breaker(change) => Change::Breaker(update(change)),
    };
    said.into_iter().map(change).collect()
}

/// What is to be told, and of violations whether with their evidence.
fn graded(program: &Program, outputs: Vec<Output>) -> Vec<(Output, bool)> {
    let mut frozen = 0;
    let told = outputs.into_iter().filter_map(|output| {
        let Output::Violated(violation) = &output else { return Some((output, true)) };
        let (_, rule) = program.rule(violation.rule);
        if rule.mode == Mode::Measure {
            return None;
        }
        frozen += 1;
        // What grades the severity stands in the evidence.
        let whole = frozen <= OUTPUTS_FROZEN_PER_STEP || !rule.grades.is_empty();
        Some((output, whole))
    });
    told.collect()
}

/// Where the events stand that are asked for.
fn cited(output: &Output, whole: bool) -> Vec<Position> {
    match output {
        Output::Violated(violation) if whole => freeze::cited(violation).collect(),
        Output::LateResolved { by, .. } => vec![by.event.position],
        _ => Vec::new(),
    }
}

fn new(program: &Program, violation: &Violation, whole: bool, evidence: &mut dyn Evidence) -> NewViolation {
    let (pack, rule) = program.rule(violation.rule);
    let bare = Violation { evidence: Vec::new(), ..violation.clone() };
    let frozen = freeze::freeze(program, if whole { violation } else { &bare }, evidence);
    let labels = rule.labels.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    NewViolation {
        id: violation.id.to_string(),
        pack: pack.name.clone(),
        rule: rule.id.clone(),
        reference: rule.reference.clone(),
        kind: rule.kind.name().to_owned(),
        severity: frozen.severity,
        shadow: rule.mode == Mode::Shadow,
        network: violation.network.clone(),
        node: frozen.node,
        component: frozen.component,
        group: frozen.group,
        key: Json::Object(frozen.key),
        message: frozen.message,
        at: violation.at,
        evidence: Json::Array(frozen.evidence),
        missing: frozen.missing,
        level: violation.level,
        grown: violation.grown,
        backfilled: false,
        revision: 0,
        runbook_url: rule.runbook_url.clone(),
        labels: Json::Object(labels.collect()),
    }
}

fn update(change: BreakerChange) -> BreakerUpdate {
    let scope: Map<String, Json> =
        change.scope.iter().filter_map(|(name, value)| Some((name.clone(), json::value(value.as_ref()?)))).collect();
    tracing::warn!(
        breaker = change.id,
        state = change.state.as_str(),
        scope = %Json::Object(scope.clone()),
        reason = change.reason,
        "a breaker changed"
    );
    BreakerUpdate {
        pack: change.pack,
        id: change.id,
        network: change.network,
        scope: Json::Object(scope),
        state: change.state.as_str().to_owned(),
        enforcing: change.enforcing,
        since: change.since.to_string(),
        reason: change.reason,
        by: change.by,
        until: change.until.map(|until| until.to_string()),
    }
}
