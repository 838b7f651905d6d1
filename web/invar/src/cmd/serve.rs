//! `invar serve`: all roles in one process.
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Outcome;
use crate::{config::RawConfig, node, telemetry};

/// Receives events over OpenTelemetry, keeps them, checks the rules, shows what is broken, pages people.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  invar serve --data /var/lib/invar --rules /etc/invar/rules --alerts /etc/invar/alerts.yaml\n\n\
                        Then point an OpenTelemetry SDK or Collector at 127.0.0.1:4317 (gRPC) or :4318 (HTTP) and open http://127.0.0.1:8080."
)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Flags, variables, and the file that stands behind them.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// A YAML file with the settings below, under their long names with `_` for `-`
    #[arg(long, value_name = "FILE", env = "INVAR_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: RawConfig,
}

impl Settings {
    /// What they come to together.
    ///
    /// # Errors
    /// When the file cannot be read or does not fit.
    pub fn gather(self) -> anyhow::Result<RawConfig> {
        Ok(match &self.config {
            Some(path) => self.flags.with_file(path)?,
            None => self.flags,
        })
    }
}

/// Runs the command.
///
/// # Errors
/// When settings are wrong, a port is taken, or the data directory cannot be used.
pub fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let config = arguments.settings.gather()?.validate()?;
    let alerts = match &config.alerts {
        Some(path) => read_alerts(path)?,
        None => alert::Config::default(),
    };
    use_ring();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let telemetry = telemetry::start(config.telemetry.as_deref())?;
        let running = node::start(&config, alerts).await?;
        println!("Invar is running.");
        println!("  dashboard    http://{}", running.web);
        println!("  OTLP gRPC    {}", running.grpc);
        println!("  OTLP HTTP    http://{}", running.http);
        println!("  data         {}", config.data.display());
        let failed = running.failed.clone();
        tokio::select! {
            () = asked_to_stop() => tracing::info!("stopping"),
            () = failed.cancelled() => {}
        }
        let stopped = running.stop().await;
        telemetry.stop();
        stopped.map(|()| Outcome::Fine)
    })
}

/// Reads receivers and routes.
///
/// # Errors
/// When the file cannot be read or does not fit.
pub fn read_alerts(path: &Path) -> anyhow::Result<alert::Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let config: alert::Config =
        serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    let problems = config.problems();
    if !problems.is_empty() {
        bail!("{}:\n  - {}", path.display(), problems.join("\n  - "));
    }
    Ok(config)
}

/// One crypto provider for all of TLS.
pub fn use_ring() {
    // A second call in one process finds it installed: that is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Waits for SIGTERM or Ctrl-C.
pub async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
