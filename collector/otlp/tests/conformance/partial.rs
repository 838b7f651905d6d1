//! Requests of which some records are refused: acknowledged, never to be sent again, and said in the reply and the ledger.

use otlp::{Outcome, Reason, Transport};

use crate::bodies::{log_request, span_request};
use crate::harness::Harness;
use crate::wires::{Export, Wire, send};

/// One attribute more than a record may have.
const TOO_MANY: usize = 1025;

#[tokio::test]
async fn one_bad_record_of_three_is_refused_alone() {
    let exports = [
        (Export::Logs(log_request(&[0, TOO_MANY, 1])), 2, vec![0b010]),
        // Each span is an event, and so is the one inside it: the second span's two are refused.
        (Export::Traces(span_request(&[0, TOO_MANY, 1])), 4, vec![0b1100]),
    ];
    for (export, events, refused) in exports {
        for wire in Wire::ALL {
            let harness = Harness::start().await;
            let reply = send(&harness, wire, &export).await;
            let (rejected, message) = reply.partial(&export).expect("a partial success");
            assert_eq!(rejected, 1, "{wire:?}");
            assert!(message.contains("1 of 3 records") && message.contains("1025 attributes"), "{message}");

            let batches = harness.sink.batches.lock().unwrap();
            assert_eq!(batches.len(), 1);
            assert_eq!((batches[0].events, &batches[0].refused[..]), (events, &refused[..]), "{wire:?}");
            let refusals = harness.sink.refusals.lock().unwrap();
            assert_eq!(refusals.len(), 1);
            assert_eq!((refusals[0].reason, refusals[0].records, &refusals[0].message), (Reason::Records, 1, &message));
            let transport = match wire {
                Wire::Grpc => Transport::Grpc,
                Wire::Protobuf => Transport::HttpProtobuf,
                Wire::Json => Transport::HttpJson,
            };
            let counters = harness.app.counters();
            assert_eq!(counters.requests(refusals[0].endpoint, transport, Outcome::Partial), 1);
            assert_eq!((counters.records(), counters.records_refused()), (u64::from(events), 1));
        }
    }
}

#[tokio::test]
async fn a_request_of_bad_records_only_is_kept_for_the_verdicts_that_miss_them() {
    let exports = [
        (Export::Logs(log_request(&[TOO_MANY; 2])), 0b0011),
        // Each span and the event inside it.
        (Export::Traces(span_request(&[TOO_MANY; 2])), 0b1111),
    ];
    for (export, refused) in exports {
        for wire in Wire::ALL {
            let harness = Harness::start().await;
            let reply = send(&harness, wire, &export).await;
            assert_eq!(reply.partial(&export).map(|(rejected, _)| rejected), Some(2), "{wire:?}");
            assert_eq!(harness.events(), 0);
            assert_eq!(harness.sink.batches.lock().unwrap()[0].refused[..], [refused]);
            assert_eq!(harness.sink.refusals.lock().unwrap()[0].records, 2);
        }
    }
}

#[tokio::test]
async fn a_crowded_resource_costs_its_own_records_and_not_those_of_others() {
    let mut request = log_request(&[0, 0]);
    let mut crowded = request.resource_logs[0].clone();
    let attributes =
        log_request(&[TOO_MANY]).resource_logs.remove(0).scope_logs.remove(0).log_records.remove(0).attributes;
    crowded.resource = Some(opentelemetry_proto::tonic::resource::v1::Resource { attributes, ..Default::default() });
    request.resource_logs.insert(0, crowded);
    let export = Export::Logs(request);
    for wire in Wire::ALL {
        let harness = Harness::start().await;
        let (rejected, message) = send(&harness, wire, &export).await.partial(&export).expect("a partial success");
        assert_eq!(rejected, 2, "{wire:?}");
        assert!(message.contains("its resource has 1025 attributes"), "{message}");
        assert_eq!(harness.events(), 2);
        assert_eq!(harness.sink.batches.lock().unwrap()[0].refused[..], [0b0011]);
    }
}

#[tokio::test]
async fn full_success_says_nothing_on_any_wire() {
    for export in [Export::Logs(log_request(&[3])), Export::Traces(span_request(&[3])), Export::Logs(log_request(&[]))]
    {
        for wire in Wire::ALL {
            let harness = Harness::start().await;
            let reply = send(&harness, wire, &export).await;
            assert_eq!(reply.partial(&export), None, "{wire:?}");
            assert_eq!(reply.body.len(), if wire == Wire::Json { 2 } else { 0 });
        }
    }
}
