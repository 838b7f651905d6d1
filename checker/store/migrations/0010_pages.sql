-- What the pages ask of many incidents at once, each answered in the order of an index.
create index incidents_newest on incidents (status, last_seen, id);
create index incidents_worst on incidents (status, severity_rank, severity, last_seen);
create index incidents_by_place on incidents (status, pack, rule, component, severity_rank);
create index incidents_by_node on incidents (node, status, last_seen, id);
create index incidents_by_rule on incidents (pack, rule, last_seen, id);
create index incidents_waiting on incidents (status, opened_at);
create index incidents_by_hour on incidents (substr(opened_at, 1, 13), severity);
create index incidents_by_seen on incidents (last_seen, id);
create index deliveries_by_incident on deliveries (incident, id);
