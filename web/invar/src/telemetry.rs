//! Invar's own logs and traces: to the terminal, and over OTLP when asked.
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, logs::SdkLoggerProvider, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// The crates whose logs and spans are exported.
const OURS: [&str; 7] = ["invar", "runtime", "journal", "otlp", "ui", "alert", "store"];

/// What must be flushed before the process ends.
pub struct Telemetry {
    logs: Option<SdkLoggerProvider>,
    traces: Option<SdkTracerProvider>,
}

/// Starts logging: `INVAR_LOG` chooses what is said (`info` by default), `endpoint` where it is exported to.
///
/// # Errors
/// When the exporter cannot be built.
pub fn start(endpoint: Option<&str>) -> anyhow::Result<Telemetry> {
    let filter = || {
        EnvFilter::try_from_env("INVAR_LOG")
            .unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,opentelemetry=warn,opentelemetry_sdk=warn"))
    };
    let terminal =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_filter(filter());
    let registry = tracing_subscriber::registry().with(terminal);
    let Some(endpoint) = endpoint else {
        registry.try_init()?;
        return Ok(Telemetry { logs: None, traces: None });
    };
    // Who watches Invar tells its instances and their restarts apart by these, as for any node.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let resource = Resource::builder()
        .with_service_name("invar")
        .with_attribute(KeyValue::new("service.instance.id", host.trim().to_owned()))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .build();
    let logs = opentelemetry_otlp::LogExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let logs = SdkLoggerProvider::builder().with_batch_exporter(logs).with_resource(resource.clone()).build();
    let traces = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let traces = SdkTracerProvider::builder().with_batch_exporter(traces).with_resource(resource).build();
    // What the exporter itself says must not be exported: it would never end.
    let ours = |level: &str| EnvFilter::new(OURS.map(|name| format!("{name}={level}")).join(","));
    registry
        .with(OpenTelemetryTracingBridge::new(&logs).with_filter(ours("info")))
        .with(tracing_opentelemetry::layer().with_tracer(traces.tracer("invar")).with_filter(ours("debug")))
        .try_init()?;
    Ok(Telemetry { logs: Some(logs), traces: Some(traces) })
}

impl Telemetry {
    /// Sends what waits.
    pub fn stop(self) {
        let logs = self.logs.map(|logs| logs.shutdown());
        let traces = self.traces.map(|traces| traces.shutdown());
        for error in [logs.and_then(Result::err), traces.and_then(Result::err)].into_iter().flatten() {
            tracing::debug!(%error, "the last telemetry was not exported");
        }
    }
}
