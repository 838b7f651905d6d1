//! Requests to send: all of one size, all different. A request is encoded once; what differs from one to the next (times
//! and ids, all of fixed width) is written into a copy of it.

use std::io::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// How requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, level 6.
    Gzip,
    /// zstd, level 3.
    Zstd,
}

/// Which events requests hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// Of names that no rule reads, as most of what a node logs.
    Unnamed,
    /// Pairs that open and close instances of the shipped rules; every key is new.
    Judged,
    /// A third are such pairs, the others are of names that no rule reads.
    Third,
    /// The first ones of such pairs: every key stays open.
    Opening,
}

/// See the module.
pub struct Load {
    form: Form,
    encoding: Encoding,
    records: usize,
    template: Vec<u8>,
    /// Where each record's time stands.
    times: Vec<usize>,
    /// Where ids stand, and which.
    ids: Vec<(usize, usize)>,
}

/// An id in the template: sixteen digits that occur nowhere else.
fn id_mark(number: usize) -> String {
    format!("f{number:015x}")
}

/// A time in the template, of nineteen decimal digits.
fn time_mark(number: usize) -> u64 {
    1_111_111_111_000_000_000 + number as u64
}

impl Load {
    /// Requests of so many records each.
    ///
    /// # Panics
    /// When the encoder leaves out what it was given.
    #[must_use]
    pub fn new(form: Form, encoding: Encoding, events: Events, records: usize) -> Self {
        let request = request(events, records);
        let template = match form {
            Form::Protobuf => request.encode_to_vec(),
            Form::Json => serde_json::to_vec(&request).unwrap_or_default(),
        };
        let find = |from: usize, wanted: &[u8]| {
            let found = template[from..].windows(wanted.len()).position(|window| window == wanted);
            found.map_or_else(|| panic!("the template lost {wanted:?}"), |at| from + at)
        };
        let (mut times, mut ids, mut from) = (Vec::new(), Vec::new(), 0);
        for record in 0..records {
            let mark = time_mark(record);
            let at = match form {
                Form::Protobuf => find(from, &mark.to_le_bytes()),
                Form::Json => find(from, mark.to_string().as_bytes()),
            };
            times.push(at);
            let id = id_of(events, record);
            from = find(at, id_mark(id).as_bytes());
            ids.push((from, id));
        }
        Self { form, encoding, records, template, times, ids }
    }

    /// Records in one request.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// How requests are written.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// How requests are compressed.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The request of that number, its events happening now.
    ///
    /// # Panics
    /// When a compressor fails.
    #[must_use]
    pub fn body(&self, number: usize, now: u64) -> Vec<u8> {
        let mut body = self.template.clone();
        for (record, at) in self.times.iter().enumerate() {
            let time = now + record as u64;
            match self.form {
                Form::Protobuf => body[*at..at + 8].copy_from_slice(&time.to_le_bytes()),
                Form::Json => body[*at..at + 19].copy_from_slice(time.to_string().as_bytes()),
            }
        }
        for (at, id) in &self.ids {
            let mut left = (number * self.records + id) as u64;
            for digit in body[*at..at + 16].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(left & 15) as usize];
                left >>= 4;
            }
        }
        match self.encoding {
            Encoding::Identity => body,
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                match encoder.write_all(&body).and_then(|()| encoder.finish()) {
                    Ok(compressed) => compressed,
                    Err(error) => panic!("gzip: {error}"),
                }
            }
            Encoding::Zstd => zstd::encode_all(&*body, 3).unwrap_or_else(|error| panic!("zstd: {error}")),
        }
    }
}

/// The id that a record bears; the two of a pair share one.
fn id_of(events: Events, record: usize) -> usize {
    match events {
        Events::Judged => record / 2,
        Events::Third if record.is_multiple_of(3) => record / 6 * 6,
        Events::Unnamed | Events::Third | Events::Opening => record,
    }
}

/// The event of a record.
fn name_of(events: Events, record: usize) -> &'static str {
    const PAIR: [&str; 2] = ["quorum_store.batch.generator_notified", "quorum_store.batch.tracked"];
    match events {
        Events::Judged => PAIR[record % 2],
        Events::Opening => PAIR[0],
        Events::Third if record.is_multiple_of(3) => PAIR[record / 3 % 2],
        Events::Unnamed | Events::Third => "consensus.round.message_received",
    }
}

/// What a record weighs.
#[must_use]
pub fn described(records: usize) -> String {
    let bytes = |events, form| Load::new(form, Encoding::Identity, events, records).template.len() / records;
    format!(
        "{records} records a request; a record has {} bytes in protobuf ({} where it is judged), {} in JSON",
        bytes(Events::Unnamed, Form::Protobuf),
        bytes(Events::Judged, Form::Protobuf),
        bytes(Events::Unnamed, Form::Json)
    )
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn request(events: Events, records: usize) -> ExportLogsServiceRequest {
    let log_records = (0..records).map(|record| log_record(events, record)).collect();
    let resource = Resource {
        attributes: vec![
            text("service.name", "aptos-node"),
            text("service.instance.id", "validator-3"),
            text("deployment.environment.name", "testnet"),
            attribute("process.pid", Value::IntValue(4711)),
        ],
        ..Resource::default()
    };
    let scope =
        InstrumentationScope { name: "aptos_consensus::quorum_store::batch_coordinator".into(), ..Default::default() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }],
    }
}

fn log_record(events: Events, record: usize) -> LogRecord {
    let id = id_mark(id_of(events, record));
    let name = name_of(events, record);
    let time = time_mark(record);
    LogRecord {
        time_unix_nano: time,
        // Not the time itself: marks must be found once.
        observed_time_unix_nano: 1_111_111_112_000_000_000,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue("a batch was handed on to the next component".to_owned())),
        }),
        attributes: vec![
            text("batch.id", id),
            text("batch.author", "0x8f2a61c07be94d5533aa10cc90e7f4b2"),
            text("batch.digest", "0x51d0e1f29b7c44aa8a2b7e1f0c9d3e5a"),
            attribute("epoch", Value::IntValue(1_204)),
            text("worker", "worker-7"),
            attribute("num_txns", Value::IntValue(118)),
            attribute("num_bytes", Value::IntValue(71_204)),
            attribute("is_remote", Value::BoolValue(true)),
        ],
        trace_id: vec![0x5b; 16],
        span_id: vec![0xee; 8],
        event_name: name.to_owned(),
        ..LogRecord::default()
    }
}
