//! The yardstick: what anyone would write first. A request is decoded by `prost` into owned messages, counted and thrown
//! away; nothing is kept, so its acknowledgement means nothing.

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

async fn logs(body: Bytes) -> StatusCode {
    match ExportLogsServiceRequest::decode(body) {
        Ok(request) => {
            std::hint::black_box(&request);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// Serves until killed; says its address first.
pub(crate) fn run() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let router = Router::new().route("/v1/logs", post(logs)).layer(DefaultBodyLimit::max(64 << 20));
        axum::serve(listener, router).await?;
        Ok(())
    })
}
