//! Where accepted requests go, and where refusals are told. It refuses to know what a sink does with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use wire::Signal;

use crate::counters::{Endpoint, Transport};
use crate::failure::Reason;

/// Keeps what was accepted, and the ledger of what was not.
pub trait Sink: Send + Sync + 'static {
    /// Keeps one request. Returns `Ok` only when the batch is durable, because the sender is acknowledged right after.
    ///
    /// The future may be dropped when the sender goes away; the sink may then keep the batch or not.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Notes a refusal in the ledger. Called once for each refused request, and once for a request of which some
    /// records were refused. Must not block.
    fn refused(&self, refusal: Refusal);
}

/// One accepted request.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the body is an export request of.
    pub signal: Signal,
    /// The export request as uncompressed protobuf.
    pub body: Bytes,
    /// How many events of the body were accepted.
    pub events: u32,
    /// One bit a record in the order of the body, least significant bit first; a set bit is a refused record.
    /// Empty when no record was refused.
    pub refused: Bytes,
    /// What was noted of the body while it was checked, for [`wire::Digested::read`]; empty when nothing was.
    pub notes: Bytes,
    /// Who sent it.
    pub sender: Sender,
}

/// Who sent a request, as far as the transport knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The peer's address; behind a proxy, the proxy's.
    pub address: SocketAddr,
    /// The name of the ingest token, when tokens are configured.
    pub token: Option<Arc<str>>,
}

/// Why a sink could not keep a batch. All of them ask the sender to come again.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The queue is full.
    #[error("overloaded, try again later")]
    Overloaded {
        /// When to come again; sent as whole seconds between 1 and 5.
        retry_after: Duration,
    },
    /// The sink takes nothing any more.
    #[error("shutting down")]
    Closed,
    /// The batch could not be made durable.
    #[error("storage failed: {0}")]
    Disk(String),
}

/// One entry for the ledger of refused records.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Where the request was addressed to; none for an unknown path.
    pub endpoint: Option<Endpoint>,
    /// How it came.
    pub transport: Transport,
    /// Who sent it.
    pub sender: Sender,
    /// What kind of refusal it is.
    pub reason: Reason,
    /// The message the sender was given, in English.
    pub message: String,
    /// How many records were refused; 0 where the request was refused before its records were counted.
    pub records: u32,
    /// The first bytes of the body, at most [`Refusal::SAMPLE_BYTES_MAX`]; empty where none had been read.
    pub sample: Bytes,
}

impl Refusal {
    /// How much of a refused body is kept.
    pub const SAMPLE_BYTES_MAX: usize = 1024;
}
