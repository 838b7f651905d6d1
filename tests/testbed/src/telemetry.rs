//! How a node reports: `tracing` events go through the OpenTelemetry bridge to an OTLP exporter, under the resource of
//! one process of one node. Events that carry lists go straight to the same logger, because `tracing` has no lists.
//!
//! Only the events of the systems pass; what the libraries beneath them log is not the node's to report.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity},
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, RetryPolicy, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{BatchConfigBuilder, BatchLogProcessor, LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider},
};
use tokio::{sync::Notify, time::Instant};
use tracing::Dispatch;
use tracing_subscriber::{Layer, filter::filter_fn, layer::SubscriberExt};

use crate::{Config, Protocol, System};

/// Records that wait for the exporter; beyond, the SDK drops and counts them.
const QUEUE_RECORDS_MAX: usize = 16_384;
/// Which of the systems' components log in words as well, as their originals do.
const IN_WORDS: [&str; 2] = ["parallel_executor", "parallel_chain_state"];
/// What the names of the systems' own events begin with.
const OURS: [&str; 7] =
    ["quorum_store.", "obyte.", "pocket.", "malachite.", "tos.", "ultramarine.", "circuit_breaker."];
/// What a [`Recorder`] keeps; more would be a test that forgot to stop.
const RECORDS_MAX: usize = 2_000_000;

/// Records that did not reach their receiver.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The exporter could not be built from the configuration.
    #[error("no exporter for {node}: {source}")]
    Build {
        /// The node that cannot report.
        node: String,
        /// What is wrong.
        source: ExporterBuildError,
    },
    /// The last records could not be delivered.
    #[error("{node} could not deliver its last records: {reason}")]
    Flush {
        /// The node that lost them.
        node: String,
        /// The exporter's word.
        reason: String,
    },
}

/// The reporting of one process of one node.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    node: String,
    provider: SdkLoggerProvider,
    logger: SdkLogger,
    dispatch: Dispatch,
    cut: Arc<AtomicBool>,
}

impl Telemetry {
    /// Opens the reporting of a process. Must be called inside a tokio runtime, which gRPC runs on.
    pub(crate) fn open(config: &Config, system: System, node: &str, pid: i64) -> Result<Telemetry, ExportError> {
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", system.service()),
                KeyValue::new("service.instance.id", node.to_owned()),
                KeyValue::new("deployment.environment.name", config.network.clone()),
                KeyValue::new("process.pid", pid),
            ])
            .build();
        let cut = Arc::new(AtomicBool::new(false));
        let builder = SdkLoggerProvider::builder().with_resource(resource);
        let provider = if let Some(recorder) = &config.recorder {
            let memory = Memory { recorder: recorder.clone(), node: String::new(), pid: 0 };
            builder.with_log_processor(Line { cut: Arc::clone(&cut), inner: memory }).build()
        } else {
            let exporter = exporter(config).map_err(|source| ExportError::Build { node: node.to_owned(), source })?;
            let batches = BatchConfigBuilder::default()
                .with_scheduled_delay(config.batch_delay)
                .with_max_queue_size(QUEUE_RECORDS_MAX)
                .build();
            let inner = BatchLogProcessor::builder(exporter).with_batch_config(batches).build();
            builder.with_log_processor(Line { cut: Arc::clone(&cut), inner }).build()
        };
        let ours = filter_fn(|event| {
            let named = || OURS.iter().any(|prefix| event.name().starts_with(prefix));
            event.is_event() && (named() || IN_WORDS.contains(&event.target()))
        });
        let bridge = OpenTelemetryTracingBridge::new(&provider).with_filter(ours);
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(bridge));
        Ok(Telemetry { node: node.to_owned(), logger: provider.logger(""), provider, dispatch, cut })
    }

    /// Where the process's tasks log to.
    pub(crate) fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// Reports an event whose attributes `tracing` cannot express, under the component's name as scope.
    pub(crate) fn record<const N: usize>(
        &self,
        scope: &'static str,
        name: &'static str,
        attributes: [(&'static str, AnyValue); N],
    ) {
        let mut record = self.logger.create_log_record();
        // The exporter takes the scope's name from the target, as it does for bridged events.
        record.set_target(scope);
        record.set_event_name(name);
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        record.add_attributes(attributes);
        self.logger.emit(record);
    }

    /// From now on nothing of what the process reports leaves it.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// The line works again; what was reported meanwhile stays lost.
    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }

    /// Delivers what still waits and closes the line.
    pub(crate) async fn close(self) -> Result<(), ExportError> {
        let node = self.node.clone();
        // The SDK blocks its caller until the exporter's thread has answered.
        let closed = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        let reason = match closed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(ExportError::Flush { node, reason })
    }
}

/// An attribute that is a list of strings.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> AnyValue {
    AnyValue::ListAny(Box::new(items.into_iter().map(|item| AnyValue::from(item.to_owned())).collect()))
}

/// A length as an OTLP integer.
pub(crate) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn exporter(config: &Config) -> Result<LogExporter, ExporterBuildError> {
    let base = config.endpoint.trim_end_matches('/');
    // Without a policy the Rust exporter gives up at the first refusal.
    match config.protocol {
        Protocol::Grpc => LogExporter::builder()
            .with_tonic()
            .with_endpoint(base)
            .with_retry_policy(RetryPolicy::recommended())
            .build(),
        Protocol::Http => LogExporter::builder()
            .with_http()
            .with_endpoint(format!("{base}/v1/logs"))
            .with_retry_policy(RetryPolicy::recommended())
            .build(),
    }
}

/// A processor behind a line that can be cut, as the last records of a killed process are.
#[derive(Debug)]
struct Line<P> {
    cut: Arc<AtomicBool>,
    inner: P,
}

impl<P: LogProcessor> LogProcessor for Line<P> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if !self.cut.load(Ordering::Relaxed) {
            self.inner.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// One event that a node reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// When, since the recorder was made, on tokio's clock.
    pub at: Duration,
    /// The node, from `service.instance.id`.
    pub node: String,
    /// Its process, from `process.pid`.
    pub pid: i64,
    /// The component: the name of the instrumentation scope as it is exported.
    pub scope: String,
    /// The event's name.
    pub name: String,
    /// What it says in words; empty when it says nothing but its attributes.
    pub body: String,
    /// Its attributes; their types are kept.
    pub attributes: BTreeMap<String, serde_json::Value>,
}

impl Recorded {
    /// An attribute; `Null` when it is absent.
    #[must_use]
    pub fn get(&self, attribute: &str) -> &serde_json::Value {
        self.attributes.get(attribute).unwrap_or(&serde_json::Value::Null)
    }

    /// An attribute that is a string; empty when it is not.
    #[must_use]
    pub fn text(&self, attribute: &str) -> &str {
        self.get(attribute).as_str().unwrap_or_default()
    }

    /// An attribute that is an integer.
    #[must_use]
    pub fn int(&self, attribute: &str) -> Option<i64> {
        self.get(attribute).as_i64()
    }
}

/// Keeps what all nodes report, instead of sending it.
#[derive(Clone, Debug)]
pub struct Recorder {
    start: Instant,
    shelf: Arc<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    records: Mutex<Vec<Recorded>>,
    grown: Notify,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder { start: Instant::now(), shelf: Arc::default() }
    }
}

impl Recorder {
    /// Everything so far, in the order it was reported.
    #[must_use]
    pub fn records(&self) -> Vec<Recorded> {
        self.shelf.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `wanted` holds of everything so far; false when it does not within `limit`.
    pub async fn until(&self, limit: Duration, wanted: impl Fn(&[Recorded]) -> bool) -> bool {
        let found = async {
            loop {
                let grown = self.shelf.grown.notified();
                if wanted(&self.shelf.records.lock().unwrap_or_else(PoisonError::into_inner)) {
                    return;
                }
                grown.await;
            }
        };
        tokio::time::timeout(limit, found).await.is_ok()
    }
}

/// Puts records on the recorder's shelf.
#[derive(Debug)]
struct Memory {
    recorder: Recorder,
    node: String,
    pid: i64,
}

impl LogProcessor for Memory {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        let recorded = Recorded {
            at: self.recorder.start.elapsed(),
            node: self.node.clone(),
            pid: self.pid,
            scope: record.target().map_or_else(|| scope.name().to_owned(), ToString::to_string),
            name: record.event_name().unwrap_or_default().to_owned(),
            body: record.body().map(json).and_then(|body| body.as_str().map(str::to_owned)).unwrap_or_default(),
            attributes: record.attributes_iter().map(|(key, value)| (key.to_string(), json(value))).collect(),
        };
        let mut records = self.recorder.shelf.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < RECORDS_MAX {
            records.push(recorded);
        }
        drop(records);
        self.recorder.shelf.grown.notify_waiters();
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        let text = |key: &'static str| resource.get(&key.into()).map(|value| value.to_string()).unwrap_or_default();
        self.node = text("service.instance.id");
        self.pid = text("process.pid").parse().unwrap_or_default();
    }
}

fn json(value: &AnyValue) -> serde_json::Value {
    match value {
        AnyValue::Int(int) => (*int).into(),
        AnyValue::Double(double) => (*double).into(),
        AnyValue::Boolean(boolean) => (*boolean).into(),
        AnyValue::String(text) => text.as_str().into(),
        AnyValue::ListAny(items) => items.iter().map(json).collect(),
        AnyValue::Map(entries) => {
            entries.iter().map(|(key, value)| (key.to_string(), json(value))).collect::<serde_json::Map<_, _>>().into()
        }
        other => format!("{other:?}").into(),
    }
}
