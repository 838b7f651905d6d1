//! Invar watched like any node: what it exports over OpenTelemetry arrives at another Invar.
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Line, eventually, now_ms};

/// How long exporters gather before they send (the SDK's default is 5 s), and some.
const EXPORTED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn its_own_spans_and_logs_arrive_at_another_invar() {
    let watcher_home = Home::new();
    let watcher = watcher_home.start().await;
    let home = Home::new().flag("--telemetry").flag(&format!("http://{}", watcher.grpc));
    let watched = home.start().await;
    watched.send(&[Line::new("n1", "c", "something.happened", json!({"x": 1})).at(now_ms())]).await;

    // A span of the request that brought the event, one of what followed, and a line of its log, which has no name of its own.
    for event in ["receive", "commit", "log"] {
        let found = eventually(EXPORTED_WITHIN, async || {
            let items = watcher.api.items(&format!("/api/v1/events?event={event}")).await;
            items.into_iter().find(|item: &Value| {
                let lasted = item["attrs"]["span.duration"].as_i64().is_some_and(|nanos| nanos > 0);
                lasted || item["body"].as_str().is_some_and(|body| body.contains("journal is open"))
            })
        })
        .await;
        let Some(found) = found else {
            let all = watcher.api.items("/api/v1/events").await;
            panic!("no `{event}` arrived: {all:#?}\n{}", watched.log());
        };
        assert_ne!(found["node"], "", "{found}");
    }
    watched.stop().await;
    watcher.stop().await;
}
