//! Settings of `invar serve`: as written (flags, `INVAR_…` variables, a YAML file), then as meant. Defaults stand here and
//! nowhere else. A flag wins over its variable, the variable over the file.
use std::{
    fmt, fs,
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;

/// Flags of `invar serve`; each is also a variable, and a key of the file under its long name with `_` for `-`.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Where everything is kept: journal, database, checkpoints [default: ./data]
    #[arg(long, value_name = "DIR", env = "INVAR_DATA")]
    pub data: Option<PathBuf>,
    /// A folder of packs to run; a changed file becomes a new revision at the next start
    #[arg(long, value_name = "DIR", env = "INVAR_RULES")]
    pub rules: Option<PathBuf>,
    /// Where OTLP over gRPC listens [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDRESS", env = "INVAR_GRPC")]
    pub grpc: Option<String>,
    /// Where OTLP over HTTP and event lines listen [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDRESS", env = "INVAR_HTTP")]
    pub http: Option<String>,
    /// Where the dashboard and the JSON API listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "INVAR_WEB")]
    pub web: Option<String>,
    /// Permit addresses beyond loopback without tokens: whoever reaches them may read, write and send
    #[arg(long, env = "INVAR_ALLOW_OPEN")]
    #[serde(default)]
    pub allow_open: bool,
    /// Make every breaker one that nodes must obey, whatever its pack says
    #[arg(long, env = "INVAR_ENFORCE_BREAKERS")]
    #[serde(default)]
    pub enforce_breakers: bool,
    /// Tokens that may send events, `name=secret`, separated by commas; none: anyone who reaches the port
    #[arg(long, value_name = "NAME=SECRET,…", env = "INVAR_INGEST_TOKENS", hide_env_values = true)]
    pub ingest_tokens: Option<String>,
    /// How much each ingest token may send in a second, inflated, for example 10MiB [default: as much as it likes]
    #[arg(long, value_name = "SIZE", env = "INVAR_INGEST_RATE")]
    pub ingest_rate: Option<String>,
    /// A YAML file with receivers and routes: who is paged for what
    #[arg(long, value_name = "FILE", env = "INVAR_ALERTS")]
    pub alerts: Option<PathBuf>,
    /// The address people open the dashboard at; pages link to it [default: http://ADDRESS of the web]
    #[arg(long, value_name = "URL", env = "INVAR_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// How much of the journal is kept, for example 20GiB [default: 20GiB]
    #[arg(long, value_name = "SIZE", env = "INVAR_RETAIN_SIZE")]
    pub retain_size: Option<String>,
    /// How long the journal is kept, for example 7d [default: 7d]
    #[arg(long, value_name = "AGE", env = "INVAR_RETAIN_AGE")]
    pub retain_age: Option<String>,
    /// How much may wait to be judged before senders are told to come back later [default: 4GiB]
    #[arg(long, value_name = "SIZE", env = "INVAR_BACKLOG_SIZE")]
    pub backlog_size: Option<String>,
    /// For how long it may wait [default: 1h]
    #[arg(long, value_name = "AGE", env = "INVAR_BACKLOG_AGE")]
    pub backlog_age: Option<String>,
    /// The greatest request, inflated [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "INVAR_REQUEST_SIZE")]
    pub request_size: Option<String>,
    /// Send Invar's own traces and logs there over OTLP (gRPC), for example http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "INVAR_TELEMETRY")]
    pub telemetry: Option<String>,
}

/// What `invar serve` runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// See [`RawConfig::data`].
    pub data: PathBuf,
    /// See [`RawConfig::rules`].
    pub rules: Option<PathBuf>,
    /// See [`RawConfig::grpc`].
    pub grpc: SocketAddr,
    /// See [`RawConfig::http`].
    pub http: SocketAddr,
    /// See [`RawConfig::web`].
    pub web: SocketAddr,
    /// See [`RawConfig::enforce_breakers`].
    pub enforce_breakers: bool,
    /// Names and secrets.
    pub ingest_tokens: Vec<(String, String)>,
    /// How many bytes a second each of them may send, inflated; none: as many as it likes.
    pub ingest_rate: Option<NonZeroU64>,
    /// See [`RawConfig::alerts`].
    pub alerts: Option<PathBuf>,
    /// See [`RawConfig::public_url`]; empty: made from the bound address.
    pub public_url: String,
    /// Bytes.
    pub retain_bytes: u64,
    /// See [`RawConfig::retain_age`].
    pub retain_age: Duration,
    /// Bytes.
    pub backlog_bytes: u64,
    /// See [`RawConfig::backlog_age`].
    pub backlog_age: Duration,
    /// Bytes.
    pub request_bytes_max: u64,
    /// See [`RawConfig::telemetry`].
    pub telemetry: Option<String>,
}

/// All that is wrong with the settings.
#[derive(Debug)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for ConfigError {}

impl RawConfig {
    /// Adds what a file says where neither a flag nor a variable did.
    ///
    /// # Errors
    /// When the file cannot be read or does not fit.
    pub fn with_file(self, path: &std::path::Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|error| ConfigError(vec![format!("{} cannot be read: {error}", path.display())]))?;
        let file: RawConfig =
            serde_saphyr::from_str(&text).map_err(|error| ConfigError(vec![format!("{}: {error}", path.display())]))?;
        Ok(RawConfig {
            data: self.data.or(file.data),
            rules: self.rules.or(file.rules),
            grpc: self.grpc.or(file.grpc),
            http: self.http.or(file.http),
            web: self.web.or(file.web),
            allow_open: self.allow_open || file.allow_open,
            enforce_breakers: self.enforce_breakers || file.enforce_breakers,
            ingest_tokens: self.ingest_tokens.or(file.ingest_tokens),
            ingest_rate: self.ingest_rate.or(file.ingest_rate),
            alerts: self.alerts.or(file.alerts),
            public_url: self.public_url.or(file.public_url),
            retain_size: self.retain_size.or(file.retain_size),
            retain_age: self.retain_age.or(file.retain_age),
            backlog_size: self.backlog_size.or(file.backlog_size),
            backlog_age: self.backlog_age.or(file.backlog_age),
            request_size: self.request_size.or(file.request_size),
            telemetry: self.telemetry.or(file.telemetry),
        })
    }

    /// Checks every setting before it says what is wrong with any.
    ///
    /// # Errors
    /// All problems at once.
    pub fn validate(self) -> Result<Config, ConfigError> {
        let mut problems = Vec::new();
        let ingest_tokens = tokens(self.ingest_tokens.as_deref().unwrap_or_default(), &mut problems);
        let open_ingest = self.allow_open || !ingest_tokens.is_empty();
        let grpc = address("grpc", self.grpc.as_deref(), 4317, open_ingest, &mut problems);
        let http = address("http", self.http.as_deref(), 4318, open_ingest, &mut problems);
        let web = address("web", self.web.as_deref(), 8080, self.allow_open, &mut problems);
        let retain_bytes = size("retain-size", self.retain_size.as_deref(), 20 << 30, &mut problems);
        let request_bytes_max = size("request-size", self.request_size.as_deref(), 64 << 20, &mut problems);
        // No default: 0, which is no size that can be written, stands for none.
        let ingest_rate = NonZeroU64::new(size("ingest-rate", self.ingest_rate.as_deref(), 0, &mut problems));
        let backlog_bytes = size("backlog-size", self.backlog_size.as_deref(), 4 << 30, &mut problems);
        let (hour, week) = (Duration::from_secs(3_600), Duration::from_secs(7 * 86_400));
        let backlog_age = age("backlog-age", self.backlog_age.as_deref(), hour, &mut problems);
        let retain_age = age("retain-age", self.retain_age.as_deref(), week, &mut problems);
        if let Some(rules) = self.rules.as_ref().filter(|rules| !rules.exists()) {
            problems.push(format!("rules: {} does not exist", rules.display()));
        }
        if let Some(alerts) = self.alerts.as_ref().filter(|alerts| !alerts.is_file()) {
            problems.push(format!("alerts: {} is not a file", alerts.display()));
        }
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        Ok(Config {
            data: self.data.unwrap_or_else(|| PathBuf::from("data")),
            rules: self.rules,
            grpc,
            http,
            web,
            enforce_breakers: self.enforce_breakers,
            ingest_tokens,
            ingest_rate,
            alerts: self.alerts,
            public_url: self.public_url.unwrap_or_default().trim_end_matches('/').to_owned(),
            retain_bytes,
            retain_age,
            backlog_bytes,
            backlog_age,
            request_bytes_max,
            telemetry: self.telemetry,
        })
    }
}

impl Config {
    /// The settings as a file for `--config`, secrets left out; `allow_open` is told apart, as it is gone once it was asked.
    #[must_use]
    pub fn as_file(&self, allow_open: bool) -> String {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let tokens: Vec<&str> = self.ingest_tokens.iter().map(|(name, _)| name.as_str()).collect();
        let lines: [(&str, Option<String>, &str); 17] = [
            ("data", Some(self.data.display().to_string()), "journal, database, checkpoints"),
            ("rules", path(&self.rules), "a folder of packs"),
            ("grpc", Some(self.grpc.to_string()), "OTLP over gRPC"),
            ("http", Some(self.http.to_string()), "OTLP over HTTP, and event lines"),
            ("web", Some(self.web.to_string()), "the dashboard and the JSON API"),
            ("allow_open", Some(allow_open.to_string()), "addresses beyond loopback without tokens"),
            ("enforce_breakers", Some(self.enforce_breakers.to_string()), "nodes must obey every breaker"),
            ("ingest_tokens", None, "name=secret, separated by commas"),
            ("ingest_rate", self.ingest_rate.map(|rate| rate.to_string()), "bytes a second of each token, inflated"),
            ("alerts", path(&self.alerts), "a file with receivers and routes"),
            (
                "public_url",
                Some(self.public_url.clone()).filter(|url| !url.is_empty()),
                "where people open the dashboard",
            ),
            ("retain_size", Some(self.retain_bytes.to_string()), "how much of the journal is kept, in bytes"),
            ("retain_age", Some(format!("{}s", self.retain_age.as_secs())), "for how long"),
            ("backlog_size", Some(self.backlog_bytes.to_string()), "how much may wait to be judged, in bytes"),
            ("backlog_age", Some(format!("{}s", self.backlog_age.as_secs())), "for how long it may"),
            ("request_size", Some(self.request_bytes_max.to_string()), "the greatest request, inflated, in bytes"),
            ("telemetry", self.telemetry.clone(), "where Invar's own traces and logs go, OTLP over gRPC"),
        ];
        let mut file = String::new();
        for (name, value, about) in lines {
            let line = match value {
                Some(value) => format!("{name}: {}", quoted(&value)),
                None => format!("# {name}:"),
            };
            file.push_str(&format!("{line:<44} # {about}\n"));
        }
        if !tokens.is_empty() {
            file.push_str(&format!("# tokens are set for: {}\n", tokens.join(", ")));
        }
        file
    }
}

/// A YAML scalar that is read back as that text.
fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) && !text.is_empty();
    if plain { text.to_owned() } else { format!("{text:?}") }
}

fn address(name: &str, text: Option<&str>, port: u16, open: bool, problems: &mut Vec<String>) -> SocketAddr {
    let default = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port);
    let Some(text) = text else { return default };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() || open => address,
        Ok(address) => {
            problems.push(format!(
                "{name}: {address} can be reached from elsewhere and nothing asks who calls; stay on 127.0.0.1, put a proxy \
                 before it, or say --allow-open"
            ));
            address
        }
        Err(_) => {
            problems.push(format!("{name}: `{text}` is not an address; write one like 127.0.0.1:{port}"));
            default
        }
    }
}

fn tokens(text: &str, problems: &mut Vec<String>) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        match token.split_once('=') {
            Some((name, secret)) if !name.is_empty() && secret.len() >= 16 => {
                tokens.push((name.to_owned(), secret.to_owned()));
            }
            Some((name, _)) => {
                problems.push(format!("ingest-tokens: the secret of `{name}` is shorter than 16 characters"));
            }
            None => problems.push("ingest-tokens: write name=secret, separated by commas".to_owned()),
        }
    }
    tokens
}

fn size(name: &str, text: Option<&str>, default: u64, problems: &mut Vec<String>) -> u64 {
    let Some(text) = text else { return default };
    parse_size(text).unwrap_or_else(|| {
        problems.push(format!("{name}: `{text}` is not a size; write a number and KiB, MiB, GiB or TiB"));
        default
    })
}

fn age(name: &str, text: Option<&str>, default: Duration, problems: &mut Vec<String>) -> Duration {
    let Some(text) = text else { return default };
    parse_duration(text).unwrap_or_else(|| {
        problems.push(format!(
            "{name}: `{text}` is not a length of time; write a number and a unit, for example 7d or 12h"
        ));
        default
    })
}

/// `512MiB`, `20GiB`, `1000` (bytes).
fn parse_size(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// `90s`, `12h`, `7d`.
fn parse_duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_loopback_and_a_week() {
        let config = RawConfig::default().validate().unwrap();
        assert_eq!(config.web.to_string(), "127.0.0.1:8080");
        assert_eq!(config.retain_age, Duration::from_secs(604_800));
        assert_eq!(config.request_bytes_max, 64 << 20);
    }

    #[test]
    fn every_problem_is_said_at_once() {
        let raw = RawConfig {
            grpc: Some("0.0.0.0:4317".into()),
            http: Some("nonsense".into()),
            retain_size: Some("many".into()),
            retain_age: Some("7".into()),
            ingest_tokens: Some("a=short,b".into()),
            ..RawConfig::default()
        };
        let said = raw.validate().unwrap_err().to_string();
        for part in
            ["grpc: 0.0.0.0:4317", "http: `nonsense`", "retain-size", "retain-age", "`a` is shorter", "name=secret"]
        {
            assert!(said.contains(part), "{part} is missing in:\n{said}");
        }
    }

    #[test]
    fn a_token_opens_the_ingest_ports_but_not_the_web() {
        let raw = RawConfig {
            grpc: Some("0.0.0.0:4317".into()),
            web: Some("0.0.0.0:8080".into()),
            ingest_tokens: Some("node=0123456789abcdef".into()),
            ..RawConfig::default()
        };
        let said = raw.validate().unwrap_err().to_string();
        assert!(!said.contains("grpc") && said.contains("web: 0.0.0.0:8080"), "{said}");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("20GiB"), Some(20 << 30));
        assert_eq!(parse_size("5"), Some(5));
        assert_eq!(parse_size("0"), None);
        assert_eq!(parse_size("5 parsecs"), None);
    }
}
