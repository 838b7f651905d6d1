//! The receivers' doors, without sockets: the real HTTP handler and the real gRPC service, over the simulated journal. Requests
//! come in whatever form senders have for them, and replies are read as senders read them.
use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use journal::{AppendError, Entry, Journal, Kind};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use otlp::{App, Batch, Refusal, ReplyBody, Settings, Sink, SinkError, Tokens, answer_grpc, answer_http};
use prost::Message;

use super::{faults::Chance, sender::Request as Export};

/// What a request is written in, and the way it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Grpc,
    Protobuf,
    Json,
    Lines,
}

/// How it is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// How one attempt at a request is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
    /// In how many pieces the body comes.
    pub(crate) pieces: usize,
}

impl Manner {
    /// One as good as any other.
    pub(crate) fn any(chance: &mut Chance) -> Self {
        let form = [Form::Grpc, Form::Protobuf, Form::Json, Form::Lines][chance.below(4) as usize];
        let encoding = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd][chance.below(3) as usize];
        Manner { form, encoding, pieces: [1, 1, 2, 7][chance.below(4) as usize] }
    }
}

/// What a sender learns of its request.
pub(crate) enum Answer {
    /// It is kept: in that frame, as that body.
    Kept { frame: u64, body: Bytes },
    /// To be sent again.
    Again(String),
    /// What no receiver may say.
    Wrong(String),
}

/// The receivers of one process.
#[derive(Clone)]
pub(crate) struct Door {
    app: App,
    sink: Arc<ToJournal>,
}

impl Door {
    pub(crate) fn new(journal: Journal) -> Self {
        let sink = Arc::new(ToJournal { journal, kept: Mutex::default() });
        Door { app: App::new(sink.clone(), Settings::default(), Tokens::open()), sink }
    }

    /// Sends a request; nothing is under way before it is polled.
    pub(crate) fn send(&self, sender: usize, export: &Export, manner: Manner) -> impl Future<Output = Answer> + use<> {
        let Door { app, sink } = self.clone();
        let address = SocketAddr::from(([10, 0, 0, sender as u8 + 1], 40_000));
        let (request, refused) = (written(export, manner), export.refused() as i64);
        async move {
            sink.kept.lock().unwrap().remove(&address);
            let told = match manner.form {
                Form::Grpc => of_grpc(answer_grpc(app, address, request).await).await,
                form => of_http(form, answer_http(app, address, request).await).await,
            };
            let kept = sink.kept.lock().unwrap().remove(&address);
            match (told, kept) {
                (Ok(rejected), Some((frame, body))) if rejected == refused => Answer::Kept { frame, body },
                (Ok(rejected), Some(_)) => Answer::Wrong(format!("{rejected} records were refused, not {refused}")),
                (Ok(_), None) => Answer::Wrong("acknowledged, and not kept".to_owned()),
                (Err(Told::Again(why)), _) => Answer::Again(why),
                (Err(Told::Wrong(why)), _) => Answer::Wrong(why),
            }
        }
    }
}

/// The sink of the receivers; knows until the sender is told where its request is kept.
struct ToJournal {
    journal: Journal,
    kept: Mutex<HashMap<SocketAddr, (u64, Bytes)>>,
}

impl Sink for ToJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<(), SinkError>> {
        let Batch { body, events, refused, notes, sender, .. } = batch;
        let appended = self.journal.append(Entry { kind: Kind::LOGS, body: body.clone(), events, refused, notes });
        Box::pin(async move {
            match appended.await {
                Ok(appended) => {
                    self.kept.lock().unwrap().insert(sender.address, (appended.frame, body));
                    Ok(())
                }
                Err(AppendError::Full(_)) => Err(SinkError::Overloaded { retry_after: Duration::from_secs(2) }),
                Err(AppendError::Closed) => Err(SinkError::Closed),
                Err(error) => Err(SinkError::Disk(error.to_string())),
            }
        })
    }

    fn refused(&self, _: Refusal) {}
}

type Pieces = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// The request as it would stand on a wire.
fn written(export: &Export, manner: Manner) -> Request<Pieces> {
    let message = match manner.form {
        Form::Grpc | Form::Protobuf => export.body.to_vec(),
        Form::Json => export.json(),
        Form::Lines => export.event_lines(),
    };
    let (name, mut body) = match manner.encoding {
        Encoding::Identity => ("identity", message),
        Encoding::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&message).unwrap();
            ("gzip", gzip.finish().unwrap())
        }
        Encoding::Zstd => ("zstd", zstd::encode_all(&*message, 1).unwrap()),
    };
    let (path, content_type, encoded_by) = match manner.form {
        Form::Grpc => {
            let mut framed = vec![u8::from(manner.encoding != Encoding::Identity)];
            framed.extend((body.len() as u32).to_be_bytes());
            framed.append(&mut body);
            body = framed;
            ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "application/grpc", "grpc-encoding")
        }
        Form::Protobuf => ("/v1/logs", "application/x-protobuf", "content-encoding"),
        Form::Json => ("/v1/logs", "application/json", "content-encoding"),
        Form::Lines => ("/v1/events", "application/x-ndjson", "content-encoding"),
    };
    let piece = body.len().div_ceil(manner.pieces).max(1);
    let pieces = body.chunks(piece).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))));
    let pieces = StreamBody::new(stream::iter(pieces.collect::<Vec<_>>()));
    let request = Request::post(path).header("content-type", content_type).header(encoded_by, name);
    request.body(pieces).unwrap()
}

/// What a reply says that is no acknowledgement.
enum Told {
    Again(String),
    Wrong(String),
}

/// How many records were refused of a request that is acknowledged.
async fn of_http(form: Form, reply: Response<ReplyBody>) -> Result<i64, Told> {
    let (head, body) = reply.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let said = || format!("{} {:?} {}", head.status, head.headers, String::from_utf8_lossy(&body));
    match head.status.as_u16() {
        200 if form == Form::Protobuf => rejected(&body).ok_or_else(|| Told::Wrong(said())),
        200 => {
            let reply: serde_json::Value = serde_json::from_slice(&body).map_err(|_| Told::Wrong(said()))?;
            let partial = &reply["partialSuccess"]["rejectedLogRecords"];
            Ok(partial.as_str().map_or(0, |number| number.parse().unwrap_or(-1)))
        }
        503 if delay(&head.headers).is_some_and(|seconds| (1..=5).contains(&seconds)) => Err(Told::Again(said())),
        _ => Err(Told::Wrong(said())),
    }
}

fn delay(headers: &HeaderMap) -> Option<u64> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok()
}

/// See [`of_http`].
async fn of_grpc(reply: Response<ReplyBody>) -> Result<i64, Told> {
    let (head, body) = reply.into_parts();
    let collected = body.collect().await.unwrap();
    let mut headers = head.headers;
    headers.extend(collected.trailers().cloned().unwrap_or_default());
    let message = collected.to_bytes();
    let said = || format!("{} {headers:?}", head.status);
    let status = headers.get("grpc-status").and_then(|status| status.to_str().ok());
    match (head.status.as_u16(), status) {
        (200, Some("0")) => message.get(5..).and_then(rejected).ok_or_else(|| Told::Wrong(said())),
        (200, Some("14")) if headers.contains_key("grpc-status-details-bin") => Err(Told::Again(said())),
        _ => Err(Told::Wrong(said())),
    }
}

fn rejected(message: &[u8]) -> Option<i64> {
    let reply = ExportLogsServiceResponse::decode(message).ok()?;
    Some(reply.partial_success.map_or(0, |partial| partial.rejected_log_records))
}
