//! Invar counts itself, in Prometheus' terms.
use otlp::{Endpoint, Outcome, Transport};
use prometheus::{Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder};

use crate::backend::Node;

/// All metrics of one node.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    records: IntCounterVec,
    refused: IntCounterVec,
    tolerated: IntCounterVec,
    in_flight: Gauge,
    connections: Gauge,
    events: IntCounterVec,
    lag: Gauge,
    backlog_bytes: Gauge,
    backlog_seconds: Gauge,
    frontier: Gauge,
    judged: Gauge,
    journaled: Gauge,
    lost: Gauge,
    violations: IntCounterVec,
    unknown: IntCounterVec,
    incidents: GaugeVec,
    breakers: GaugeVec,
    attempts: IntCounterVec,
    pending: Gauge,
    commits: Histogram,
    rules_refused: Gauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When two metrics have one name: a mistake in this file.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<Gauge> {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<GaugeVec> {
            let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let commits = Histogram::with_opts(
            HistogramOpts::new("invar_store_commit_seconds", "How long commits of verdicts took.")
                .buckets(prometheus::exponential_buckets(0.000_5, 2.0, 14)?),
        )?;
        registry.register(Box::new(commits.clone()))?;
        let build = GaugeVec::new(Opts::new("invar_build_info", "The running version."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        registry.register(Box::new(build))?;
        Ok(Metrics {
            requests: counter(
                "invar_ingest_requests_total",
                "Requests answered.",
                &["endpoint", "transport", "outcome"],
            )?,
            records: counter("invar_ingest_records_total", "Events accepted and durable.", &["signal"])?,
            refused: counter("invar_ingest_refused_records_total", "Records or whole requests refused.", &["reason"])?,
            tolerated: counter(
                "invar_ingest_tolerated_total",
                "Mistakes of senders of OTLP JSON that were taken all the same.",
                &["mistake"],
            )?,
            in_flight: gauge("invar_ingest_in_flight_bytes", "Bytes of requests not yet answered.")?,
            connections: gauge("invar_ingest_connections", "Connections open.")?,
            events: counter("invar_checker_events_total", "Events judged or set aside.", &["outcome"])?,
            rules_refused: gauge(
                "invar_rules_files_refused",
                "1 while the rules on disk have mistakes and those in force stay, else 0.",
            )?,
            backlog_bytes: gauge("invar_backlog_bytes", "What has been acknowledged and not been judged.")?,
            backlog_seconds: gauge("invar_backlog_seconds", "How long ago the oldest of it was acknowledged.")?,
            lag: gauge("invar_checker_lag_seconds", "How far the frontier is behind the latest arrival.")?,
            frontier: gauge(
                "invar_checker_frontier_timestamp_seconds",
                "Everything that happened before this has been judged; 0 before anyone was heard.",
            )?,
            judged: gauge("invar_checker_frame", "The last frame judged.")?,
            journaled: gauge("invar_journal_durable_frame", "The last frame on disk.")?,
            lost: gauge(
                "invar_journal_lost_frames",
                "Frames of the journal that are damaged and were not judged, since the start of this process.",
            )?,
            violations: counter("invar_violations_total", "Violations found.", &["pack", "rule", "severity"])?,
            unknown: counter("invar_rule_unknown_total", "Verdicts that could not be given.", &["pack", "rule"])?,
            incidents: gauges("invar_incidents_open", "Open incidents.", &["severity"])?,
            breakers: gauges(
                "invar_breakers_not_closed",
                "Breakers that are open or half-open.",
                &["pack", "breaker"],
            )?,
            attempts: counter("invar_deliveries_total", "Attempts to send a page.", &["receiver", "outcome"])?,
            pending: gauge("invar_deliveries_pending", "Pages waiting to be accepted.")?,
            commits,
            registry,
        })
    }

    pub(crate) fn refused(&self, reason: &str, records: u32) {
        self.refused.with_label_values(&[reason]).inc_by(u64::from(records.max(1)));
    }

    pub(crate) fn attempted(&self, receiver: &str, accepted: bool) {
        let outcome = if accepted { "accepted" } else { "failed" };
        self.attempts.with_label_values(&[receiver, outcome]).inc();
    }

    /// Prometheus' text format: content type and body.
    pub(crate) async fn render(&self, node: &Node) -> (String, String) {
        self.collect(node).await;
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        if let Err(error) = encoder.encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be encoded");
        }
        (encoder.format_type().to_owned(), String::from_utf8(text).unwrap_or_default())
    }

    /// Brings the numbers that others keep up to date.
    async fn collect(&self, node: &Node) {
        let set = |counter: prometheus::IntCounter, value: u64| counter.inc_by(value.saturating_sub(counter.get()));
        self.rules_refused.set(f64::from(u8::from(node.rules_trouble.borrow().is_some())));
        let counters = node.otlp.counters();
        for endpoint in Endpoint::ALL {
            for transport in [Transport::Grpc, Transport::HttpProtobuf, Transport::HttpJson] {
                for outcome in Outcome::ALL {
                    let labels = [endpoint.as_str(), transport.as_str(), outcome.as_str()];
                    set(
                        self.requests.with_label_values(&labels),
                        counters.requests(Some(endpoint), transport, outcome),
                    );
                }
            }
        }
        set(self.records.with_label_values(&["all"]), counters.records());
        for (mistake, count) in counters.warnings() {
            set(self.tolerated.with_label_values(&[mistake]), count);
        }
        self.in_flight.set(node.otlp.in_flight_bytes() as f64);
        self.connections.set(counters.connections() as f64);
        self.journaled.set(*node.journal.durable().borrow() as f64);
        let backlog = node.backlog.size(*node.shared.judged.borrow(), runtime::clock::now());
        self.backlog_bytes.set(backlog.bytes as f64);
        self.backlog_seconds.set(backlog.age.as_secs_f64());
        self.lag.set(crate::node::lag(&node.shared).as_secs_f64());
        if let Ok(mut status) = node.shared.status.write() {
            self.frontier.set(status.frontier.0 as f64 / 1e9);
            let census = status.census;
            let judged = census.events - census.duplicates - census.too_late - census.future;
            for (outcome, value) in [
                ("judged", judged),
                ("duplicate", census.duplicates),
                ("late", census.late),
                ("too_late", census.too_late),
                ("future", census.future),
            ] {
                set(self.events.with_label_values(&[outcome]), value);
            }
            self.judged.set(status.frame as f64);
            self.lost.set(status.lost_frames as f64);
            for ((pack, rule, severity), count) in &status.violations {
                set(self.violations.with_label_values(&[pack.as_str(), rule.as_str(), severity]), *count);
            }
            for ((pack, rule), count) in &status.unknown {
                set(self.unknown.with_label_values(&[pack.as_str(), rule.as_str()]), *count);
            }
            status.commits.drain(..).for_each(|seconds| self.commits.observe(seconds));
        }
        if let Ok(open) = node.store.open_by_severity().await {
            for severity in ["critical", "high", "medium", "low", "info"] {
                let count = open.iter().find(|(name, _, _)| name == severity).map_or(0, |(_, count, _)| *count);
                self.incidents.with_label_values(&[severity]).set(count as f64);
            }
        }
        if let Ok(rows) = node.store.breakers().await {
            self.breakers.reset();
            for row in rows {
                let gauge = self.breakers.with_label_values(&[&row.pack, &row.id]);
                gauge.add(if row.state == "closed" { 0.0 } else { 1.0 });
            }
        }
        if let Ok(pending) = node.store.count_deliveries("pending").await {
            self.pending.set(pending as f64);
        }
    }
}
