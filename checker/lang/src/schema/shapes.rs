//! What the maps of a pack hold, for the schema.

/// One map.
pub(super) struct Shape {
    /// What messages call it.
    pub(super) what: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: &'static [Field],
}

/// One field of a map.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: What,
    pub(super) about: &'static str,
    pub(super) needed: bool,
}

/// What a field holds.
pub(super) enum What {
    Text,
    Name,
    /// A boolean, or a parameter.
    Flag,
    /// A whole number, or a parameter.
    Number,
    Duration,
    Expression,
    Pattern,
    Any,
    Null,
    One(&'static [&'static str]),
    Map(&'static What),
    List(&'static What),
    /// One, or a list of them.
    Some(&'static What),
    Shape(&'static str),
    Either(&'static [What]),
}

/// Shapes whose fields are read one by one, without a common list of them.
#[cfg(test)]
pub(super) const BY_HAND: &[&str] = &["term"];

const fn need(name: &'static str, value: What, about: &'static str) -> Field {
    Field { name, value, about, needed: true }
}

const fn may(name: &'static str, value: What, about: &'static str) -> Field {
    Field { name, value, about, needed: false }
}

/// All maps.
pub(super) const SHAPES: &[Shape] = &[
    Shape {
        what: "pack",
        about: "The rules of one system.",
        fields: &[
            need("pack", What::Name, "The pack's name."),
            may("about", What::Text, "What the pack watches over."),
            may(
                "params",
                What::Map(&What::Any),
                "Values that rules read as `param.NAME` and that a site can override.",
            ),
            may(
                "topology",
                What::Map(&What::Either(&[What::Null, What::Shape("component")])),
                "Components and the channels between them.",
            ),
            may("events", What::Map(&What::Any), "The vocabulary: events with their attributes and types."),
            may("facts", What::Map(&What::Shape("fact")), "What is known from earlier events."),
            may(
                "clocks",
                What::Map(&What::Shape("clock")),
                "Time in ticks: a value that nodes report and that only rises.",
            ),
            may("lifecycle", What::Some(&What::Shape("lifecycle")), "How a node's processes start and end."),
            may(
                "derive",
                What::Map(&What::Shape("derived event")),
                "Named events made out of others, most often of plain log records.",
            ),
            may("rules", What::List(&What::Shape("rule")), "The invariants."),
            may("breakers", What::List(&What::Shape("breaker")), "Circuit breakers that violations trip."),
            may("extends", What::Text, "Only in a file of overrides, which has no `pack`."),
        ],
    },
    Shape {
        what: "override",
        about: "Overrides of a pack that somebody else wrote.",
        fields: &[
            need("extends", What::Name, "The pack that is changed."),
            may("params", What::Map(&What::Any), "Other values of parameters."),
            may(
                "rules",
                What::List(&What::Map(&What::Any)),
                "By `id`: severity, mode, enabled, labels, owner, runbook, runbook_url, message, quiet, report, group_by, forget_after, max_keys.",
            ),
            may("breakers", What::List(&What::Map(&What::Any)), "By `id`: mode, half_open_after."),
        ],
    },
    Shape {
        what: "component",
        about: "A part of a node.",
        fields: &[
            may("about", What::Text, "What it does."),
            may("match_scope", What::Some(&What::Text), "Instrumentation scopes that are this component; globs."),
            may("sends_to", What::Some(&What::Text), "Components it sends to."),
        ],
    },
    Shape {
        what: "event",
        about: "A declared event, written out.",
        fields: &[
            may("about", What::Text, "What it says."),
            may("attrs", What::Map(&What::Any), "Its attributes and their types."),
        ],
    },
    Shape {
        what: "lifecycle",
        about: "How a node's processes start and end.",
        fields: &[
            may("of", What::List(&What::Text), "The key of a process; the node by default."),
            may("started", What::Pattern, "Says that a process started."),
            may("stopped", What::Pattern, "Says that one stopped."),
            may("instance", What::Text, "The attribute that differs from process to process, such as `process.pid`."),
        ],
    },
    Shape {
        what: "fact",
        about: "What is known from earlier events.",
        fields: &[
            may("key", What::List(&What::Text), "The parts of its key."),
            may("row", What::List(&What::Text), "Further columns: as many rows hold as were set."),
            may("set_by", What::Pattern, "Sets it."),
            may("unset_by", What::Pattern, "Ends it; a shorter `key` ends all rows that agree."),
            may("value", What::Expression, "Its value."),
            may("keep", What::One(&["last", "max", "min", "count"]), "Which of several values it keeps."),
            may("expires", What::Expression, "When a row ends by itself: a duration or a time."),
            may("is", What::Expression, "Computed from the facts above it."),
            may("default", What::Any, "What it is when unset."),
            may("forget_after", What::Duration, "How long after its last change a row is forgotten."),
            may("max_keys", What::Number, "How many rows it may keep."),
        ],
    },
    Shape {
        what: "clock",
        about: "Time in ticks.",
        fields: &[
            need("event", What::Pattern, "What reports the value."),
            need("value", What::Expression, "The value."),
            may("key", What::List(&What::Text), "Its key."),
            may("quorum", What::Number, "So many nodes must have reached a value."),
            may("max_step", What::Number, "A value farther ahead needs a second node."),
        ],
    },
    Shape {
        what: "derived event",
        about: "An event made out of others.",
        fields: &[
            may("about", What::Text, "What it says."),
            need("from", What::Pattern, "What it is made of."),
            may("set", What::Map(&What::Expression), "Its attributes."),
            may("first_per", What::List(&What::Text), "Only the first event of each value of these makes it."),
        ],
    },
    Shape {
        what: "rule",
        about: "One invariant.",
        fields: &[
            need("id", What::Name, "Unique in its pack."),
            may("about", What::Text, "What holds, in a sentence."),
            may("ref", What::Text, "The requirement it implements."),
            may(
                "severity",
                What::Either(&[
                    What::One(&["critical", "high", "medium", "low", "info"]),
                    What::Text,
                    What::List(&What::Shape("severity")),
                ]),
                "How bad a violation is; a list grades by condition.",
            ),
            may(
                "key",
                What::List(&What::Text),
                "The values that tie the events of one instance together, by attribute name or `let`; `name?` may be absent.",
            ),
            may("across_networks", What::Flag, "The network is no part of the key."),
            may("never", What::Pattern, "No event matches."),
            may("always", What::Shape("always"), "Whenever an event matches, the assertion holds."),
            may("response", What::Shape("response"), "B follows A in time."),
            may("precedence", What::Shape("precedence"), "B only after A."),
            may("count", What::Shape("count"), "How many events there may be."),
            may("agreement", What::Shape("agreement"), "All voters give the same value."),
            may("consecutive", What::Shape("consecutive"), "So many failures in a row."),
            may("heartbeat", What::Shape("heartbeat"), "What was started is heard of again and again."),
            may("monotonic", What::Shape("monotonic"), "A value rises, or falls."),
            may("state_machine", What::Shape("state_machine"), "Only declared transitions."),
            may("order", What::Shape("order"), "Steps in their order."),
            may("sequence", What::Shape("sequence"), "A signature of failure is not seen."),
            may("exclusive", What::Shape("exclusive"), "At most so many hold at once."),
            may("aggregate", What::Shape("aggregate"), "What many events come to satisfies an assertion."),
            may("during", What::Shape("during"), "Only between two events of the same key."),
            may("for", What::Duration, "How long a level must last."),
            may("stale_after", What::Duration, "How long a sample stands without another."),
            may("report", What::One(&["first", "all"]), "`first`: once per key."),
            may("quiet", What::Duration, "Repeats no sooner."),
            may("slack", What::Duration, "How much the components' clocks may differ."),
            may("strict", What::Flag, "The order inside an instant is the least favourable."),
            may("by", What::Expression, "Orders the events of one instant."),
            may(
                "mode",
                What::One(&["active", "shadow", "measure"]),
                "`shadow` shows and pages nobody; `measure` opens no incident.",
            ),
            may("enabled", What::Either(&[What::Flag, What::Expression]), "Whether it is judged."),
            may("message", What::Text, "What a person is told; `{name}` is filled in."),
            may("runbook", What::Text, "What it means, what to look at first, what to do."),
            may("runbook_url", What::Text, "The same, elsewhere."),
            may("owner", What::Text, "Who looks after it."),
            may("labels", What::Map(&What::Any), "For routing alerts."),
            may(
                "group_by",
                What::List(&What::Text),
                "Parts of the key whose violations are one incident; the node by default.",
            ),
            may("forget_after", What::Duration, "How long an instance is remembered after its last event."),
            may("max_keys", What::Number, "How many instances are kept."),
            may(
                "on_restart",
                What::One(&["broken", "ended", "reset", "keep"]),
                "What a node's restart does to what is open.",
            ),
            may("emits", What::Some(&What::Shape("emits")), "Events that its verdicts make."),
            may(
                "on_silence",
                What::One(&["unknown", "violated"]),
                "What an absence is while the node that should have spoken is silent.",
            ),
            may(
                "settle",
                What::Duration,
                "For how long after a node was first heard its look-backs may go past the beginning.",
            ),
        ],
    },
    Shape {
        what: "severity",
        about: "A severity by condition; the first that matches.",
        fields: &[
            may("where", What::Expression, "The condition; without one it always matches."),
            need("is", What::One(&["critical", "high", "medium", "low", "info"]), "The severity."),
        ],
    },
    Shape {
        what: "emits",
        about: "An event that verdicts make.",
        fields: &[
            need("on", What::One(&["violated", "resolved", "retracted", "held", "close"]), "What makes it."),
            need("event", What::Text, "Its name."),
            may(
                "set",
                What::Map(&What::Expression),
                "Further attributes, over the key, terms, `at`, and events such as `then.ts`.",
            ),
        ],
    },
    Shape {
        what: "pattern",
        about: "Events.",
        fields: &[
            may("event", What::Some(&What::Text), "The name, a glob, or a list of them."),
            may("where", What::Expression, "A condition."),
            may("component", What::Text, "A component; a glob."),
            may("severity", What::Any, "The least severity of a log record."),
            may("body", What::Text, "A template such as `Persisted batch {batch_id}`."),
            may("let", What::Map(&What::Expression), "Names for expressions, usable in `key`, `where` and messages."),
            may("for_each", What::Some(&What::Shape("for_each")), "One virtual event per element."),
            may("key", What::List(&What::Text), "A shorter key: it touches every instance that agrees."),
            may("as", What::Text, "What others call this event."),
            may("if", What::Expression, "In steps of an order: whether the step is mandatory."),
            may(
                "rule",
                What::Some(&What::Text),
                "Of `invar.violated`, `invar.resolved` and `invar.retracted`: whose verdicts.",
            ),
            may("breaker", What::Some(&What::Text), "Of `invar.breaker.changed`: whose changes."),
        ],
    },
    Shape {
        what: "for_each",
        about: "One virtual event per element.",
        fields: &[need("in", What::Expression, "A list or a map."), need("as", What::Text, "The element's name.")],
    },
    Shape {
        what: "during",
        about: "Only between two events of the same key.",
        fields: &[
            may("after", What::Pattern, "Opens the span."),
            may("until", What::Pattern, "Closes it."),
            may("delay", What::Duration, "It opens so much later."),
            may("within", What::Duration, "It is open for so long."),
        ],
    },
    Shape {
        what: "always",
        about: "Whenever an event matches, the assertion holds.",
        fields: &[need("event", What::Pattern, "Which events."), need("assert", What::Expression, "What holds.")],
    },
    Shape {
        what: "response",
        about: "B follows A in time.",
        fields: &[
            need("when", What::Pattern, "What asks."),
            need("then", What::Pattern, "What answers."),
            may(
                "within",
                What::Any,
                "By when: a duration, ticks such as `4 height`, an expression, or a list of which the later counts.",
            ),
            may("by", What::Pattern, "Before this marker."),
            may("unless", What::Pattern, "Excuses it."),
            may("broken_by", What::Pattern, "Breaks it at once."),
            may("grace", What::Duration, "How long `unless` may still excuse after `broken_by`."),
            may("pair", What::Flag, "Each answer answers one question."),
            may("from", What::Shape("from"), "Answers of members."),
        ],
    },
    Shape {
        what: "from",
        about: "Whose answers are expected.",
        fields: &[
            may("each", What::Expression, "All of these members."),
            may("quorum", What::Any, "So many of them, such as `2/3`."),
            may("of", What::Expression, "The members of whom a quorum is expected."),
            may("member", What::Expression, "Whose answer it is; the node by default."),
            may("as_of", What::One(&["when", "now"]), "Members then, or at the deadline."),
            may("except", What::Some(&What::Expression), "Who is not expected."),
        ],
    },
    Shape {
        what: "precedence",
        about: "B only after A.",
        fields: &[
            need("event", What::Pattern, "What needs support."),
            need("requires", What::Either(&[What::Shape("requires"), What::Pattern]), "Its support."),
            may(
                "within",
                What::Any,
                "How far back: a duration, ticks such as `4 height`, or a list of which the farther counts.",
            ),
            may("since", What::Pattern, "Or since this event."),
            may("unless", What::Pattern, "Excuses it."),
        ],
    },
    Shape {
        what: "requires",
        about: "Part of a rule.",
        fields: &[
            may("all", What::List(&What::Pattern), "All of these."),
            may("any", What::List(&What::Pattern), "One of these."),
        ],
    },
    Shape {
        what: "count",
        about: "How many events there may be.",
        fields: &[
            need("of", What::Pattern, "What is counted."),
            may("min", What::Number, "At least."),
            may("max", What::Number, "At most."),
            may("window", What::Duration, "In any such window; a level."),
            may("per", What::Shape("per"), "Around each of these events."),
        ],
    },
    Shape {
        what: "per",
        about: "Part of a rule.",
        fields: &[
            need("when", What::Pattern, "Opens a span."),
            may("before", What::Duration, "Counts from so long before."),
            may(
                "within",
                What::Any,
                "Until so long after: a duration, ticks such as `4 height`, or a list of which the later counts.",
            ),
            may("until", What::Pattern, "Or until this event."),
        ],
    },
    Shape {
        what: "agreement",
        about: "All voters give the same value.",
        fields: &[
            need("event", What::Pattern, "The votes."),
            need("value", What::Expression, "What must be the same."),
            may("among", What::Some(&What::Expression), "Who votes; the node by default."),
            may("within", What::Duration, "When it is judged."),
            may("voters", What::Expression, "Who may vote."),
            may("assert", What::Expression, "Over `values`, `dissent` and `voters`."),
        ],
    },
    Shape {
        what: "consecutive",
        about: "So many failures in a row.",
        fields: &[
            need("fail", What::Pattern, "A failure."),
            need("ok", What::Pattern, "Ends the run."),
            need("count", What::Number, "So many in a row."),
        ],
    },
    Shape {
        what: "heartbeat",
        about: "What was started is heard of again and again.",
        fields: &[
            need("event", What::Pattern, "The heartbeat."),
            need("every", What::Duration, "At least so often."),
            may("start", What::Pattern, "Begins it."),
            may("stop", What::Pattern, "Ends it."),
            may("while", What::Pattern, "Judged at these events."),
            may("expect", What::Text, "The fact that says what is expected."),
        ],
    },
    Shape {
        what: "monotonic",
        about: "A value rises, or falls.",
        fields: &[
            need("event", What::Pattern, "Which events."),
            need("value", What::Expression, "The value."),
            need("order", What::One(&["increasing", "nondecreasing", "decreasing", "nonincreasing"]), "How it moves."),
            may("step", What::Any, "By exactly so much."),
            may("by", What::Expression, "Orders the events of one instant."),
            may("reset", What::Pattern, "Starts anew."),
        ],
    },
    Shape {
        what: "state_machine",
        about: "Only declared transitions.",
        fields: &[
            need("state", What::Any, "An expression, or a map of states and the events that enter them."),
            may("event", What::Pattern, "Which events, where `state` is an expression."),
            need("initial", What::Any, "The first state, or `any`."),
            need("transitions", What::Map(&What::List(&What::Any)), "From each state, where to."),
            may("terminal", What::List(&What::Any), "States that end it."),
            may("limits", What::Map(&What::Duration), "How long a state may last."),
        ],
    },
    Shape {
        what: "order",
        about: "Steps in their order.",
        fields: &[
            need("steps", What::List(&What::Pattern), "The steps in their order; `if` makes one conditional."),
            may("within", What::Duration, "How much later than the earlier ones."),
        ],
    },
    Shape {
        what: "sequence",
        about: "A signature of failure is not seen.",
        fields: &[
            need(
                "steps",
                What::List(&What::Either(&[What::Pattern, What::Shape("step")])),
                "The steps in their order.",
            ),
            need("within", What::Duration, "From the first to the last."),
        ],
    },
    Shape {
        what: "step",
        about: "What must not lie between two steps.",
        fields: &[need("not", What::Pattern, "The events.")],
    },
    Shape {
        what: "exclusive",
        about: "At most so many hold at once.",
        fields: &[
            need("enter", What::Pattern, "Begins to hold."),
            need("exit", What::Pattern, "Ends."),
            may("renew", What::Pattern, "Holds on."),
            may("ttl", What::Duration, "A hold lapses after."),
            need("holder", What::Expression, "Who holds."),
            may("max", What::Number, "How many at once."),
        ],
    },
    Shape {
        what: "aggregate",
        about: "What many events come to satisfies an assertion.",
        fields: &[
            need("terms", What::Map(&What::Shape("term")), "What is measured, by name."),
            may("window", What::Duration, "How far back; a level."),
            may("close", What::Pattern, "Judged once, at this event."),
            may("tumbling", What::Duration, "Judged once for each such stretch of time since 1970."),
            need("assert", What::Expression, "What holds of the terms."),
            may("each", What::Shape("each"), "Measured for each member of a group."),
            may("every", What::Duration, "How often a window is judged."),
        ],
    },
    Shape {
        what: "each",
        about: "The members of a group.",
        fields: &[
            need("in", What::Expression, "A list of members."),
            need("as", What::Text, "What the key calls a member."),
            may("of", What::Expression, "Whose event it is, where no attribute says it."),
        ],
    },
    Shape {
        what: "term",
        about: "One measure of events.",
        fields: &[
            may("count", What::Any, "How many; a pattern, or a condition with `of`."),
            may("sum", What::Expression, "The sum."),
            may("avg", What::Expression, "The mean."),
            may("min", What::Expression, "The least."),
            may("max", What::Expression, "The greatest."),
            may("first", What::Expression, "The first."),
            may("last", What::Expression, "The last."),
            may("distinct", What::Expression, "How many different ones."),
            may("increase", What::Expression, "By how much a counter rose."),
            may("slope", What::Expression, "Per second."),
            may("duration", What::Expression, "How long a condition stood at true."),
            may("p50", What::Expression, "The median."),
            may("p90", What::Expression, "The 90th percentile."),
            may("p95", What::Expression, "The 95th percentile."),
            may("p99", What::Expression, "The 99th percentile."),
            may("p999", What::Expression, "99.9 %."),
            may("of", What::Pattern, "Which events."),
            may("window", What::Duration, "A window of its own."),
            may("offset", What::Duration, "Moves the window back."),
        ],
    },
    Shape {
        what: "breaker",
        about: "A circuit breaker.",
        fields: &[
            need("id", What::Name, "Unique in its pack."),
            may("about", What::Text, "What it is for."),
            may("guards", What::Text, "The channel or component it guards: `a -> b`."),
            may("per", What::List(&What::Text), "Key parts that each have a breaker of their own."),
            need("trip", What::Shape("trip"), "What opens it."),
            may("half_open_after", What::Duration, "How long it rests."),
            may("close", What::Shape("close"), "What closes it."),
            may("mode", What::Either(&[What::One(&["advisory", "enforcing"]), What::Text]), "Whether nodes must obey."),
        ],
    },
    Shape {
        what: "trip",
        about: "What opens a breaker.",
        fields: &[
            may("rules", What::Some(&What::Text), "Whose violations."),
            may("count", What::Number, "How many."),
            may("within", What::Duration, "In what time."),
        ],
    },
    Shape {
        what: "close",
        about: "What closes a breaker.",
        fields: &[need("event", What::Pattern, "A success."), may("count", What::Number, "How many.")],
    },
];
