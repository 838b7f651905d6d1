-- Times are RFC 3339 text in UTC with nine digits: they sort as they read.

create table progress (
    id integer primary key check (id = 1),
    frame integer not null,
    frontier text not null,
    arrived text not null,
    lag_ms integer not null,
    slowest text not null
);
insert into progress values (1, 0, '', '', 0, '');

-- Numbered under the commit's own lock, so that a live stream never skips one.
create table changes (
    id integer primary key autoincrement,
    topic text not null,
    subject text not null,
    at text not null
);

create table incidents (
    id text primary key,
    pack text not null,
    rule text not null,
    ref text,
    kind text not null,
    severity text not null,
    severity_rank integer not null,
    status text not null,
    verdict text not null,
    network text not null,
    node text not null,
    "group" text not null,
    message text not null,
    count integer not null,
    standing integer not null,
    level integer not null,
    mode text not null,
    opened_at text not null,
    last_at text not null,
    last_seen text not null,
    resolved_at text,
    acknowledged_by text,
    backfilled integer not null,
    revision integer not null,
    component text not null,
    runbook_url text,
    labels text not null
);
create index incidents_by_case on incidents (pack, rule, network, "group");
create index incidents_by_status on incidents (status, last_at);

create table violations (
    id text primary key,
    incident text not null references incidents (id),
    at text not null,
    detected_at text not null,
    state text not null,
    key text not null,
    message text not null,
    evidence text not null,
    missing text,
    late text
);
create index violations_by_incident on violations (incident, at);

create table history (
    id integer primary key autoincrement,
    incident text not null,
    at text not null,
    what text not null,
    who text not null,
    text text not null
);
create index history_by_incident on history (incident, id);

create table breakers (
    pack text not null,
    id text not null,
    network text not null,
    scope text not null,
    state text not null,
    mode text not null,
    since text not null,
    reason text not null,
    by text not null,
    until text,
    primary key (pack, id, network, scope)
);

create table deliveries (
    id integer primary key autoincrement,
    incident text not null,
    receiver text not null,
    action text not null,
    dedup_key text not null,
    body text not null,
    state text not null,
    attempts integer not null,
    last_status integer,
    last_error text,
    created_at text not null,
    next_at text not null,
    delivered_at text
);
create index deliveries_due on deliveries (state, next_at);
create index deliveries_by_key on deliveries (receiver, dedup_key, id);

create table attempts (
    delivery integer not null references deliveries (id),
    at text not null,
    status integer,
    error text,
    latency_ms integer not null
);
create index attempts_by_delivery on attempts (delivery);

create table packs (
    name text not null,
    revision integer not null,
    yaml text not null,
    author text not null,
    origin text not null,
    at text not null,
    current integer not null,
    primary key (name, revision)
);

create table rule_health (
    pack text not null,
    rule text not null,
    exercised text not null,
    held integer not null,
    violated integer not null,
    unknown integer not null,
    why_unknown text not null,
    retracted integer not null,
    keyless integer not null,
    forgotten integer not null,
    instances integer not null,
    open integer not null,
    primary key (pack, rule)
);

create table sources (
    network text not null,
    node text not null,
    component text not null,
    last_seen text not null,
    last_ts text not null,
    lag_ms integer not null,
    events integer not null,
    primary key (network, node, component)
);

create table refused (
    id integer primary key autoincrement,
    at text not null,
    sender text not null,
    reason text not null,
    message text not null,
    records integer not null,
    sample text not null
);
