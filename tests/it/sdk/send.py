"""Sends a scenario through the OpenTelemetry Python SDK, the way a node written in Python would.

Standard input holds one event a line:

    {"node": "n1", "component": "aa_composer", "network": "testnet", "event": "obyte.aa.trigger.started",
     "attrs": {"obyte.mci": 100}, "at_ms": 1790000000000, "resource": {"process.pid": 7}, "body": "..."}

`node` and `event` are required; `at_ms` (milliseconds since 1970, fractions allowed) defaults to now. Events that share
node, network and `resource` share a resource; `component` is the instrumentation scope. All events go out in as few
requests as the SDK makes of them, in the order given. Exits 0 when every export succeeded, 1 when one failed,
2 when the input cannot be read.

It does not retry beyond what the SDK does, and does not look at partial success: neither does the SDK.
"""

import argparse
import json
import sys
import time

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource


class Watched(LogRecordExporter):
    """Passes batches on and remembers whether one failed, which the batch processor only logs."""

    def __init__(self, inner):
        self.inner = inner
        self.failed = 0
        self.sent = 0

    def export(self, batch):
        try:
            result = self.inner.export(batch)
        except Exception as error:
            print(f"send.py: export raised {error!r}", file=sys.stderr)
            self.failed += len(batch)
            raise
        if result is LogRecordExportResult.SUCCESS:
            self.sent += len(batch)
        else:
            self.failed += len(batch)
        return result

    def force_flush(self, timeout_millis=30_000):
        return self.inner.force_flush(timeout_millis)

    def shutdown(self):
        self.inner.shutdown()


def exporter(endpoint, protocol, gzip, timeout):
    """The SDK's own exporter for one of OTLP's transports."""
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        return OTLPLogExporter(endpoint=endpoint, insecure=True, compression=compression, timeout=timeout)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    compression = Compression.Gzip if gzip else Compression.NoCompression
    return OTLPLogExporter(endpoint=f"{endpoint.rstrip('/')}/v1/logs", compression=compression, timeout=timeout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoint", help="base address, such as http://127.0.0.1:4317 (gRPC) or :4318 (HTTP)")
    parser.add_argument("protocol", choices=["grpc", "http/protobuf"])
    parser.add_argument("--gzip", action="store_true", help="compress requests")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for one export with its retries")
    options = parser.parse_args()

    watched = Watched(exporter(options.endpoint, options.protocol, options.gzip, options.timeout))
    # One processor for all providers: one request then holds several resources, as a node's sidecar would send it.
    processor = BatchLogRecordProcessor(
        watched, schedule_delay_millis=3_600_000, max_queue_size=100_000, max_export_batch_size=100_000
    )
    providers = {}
    lines = 0
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            node, name = event["node"], event["event"]
        except (ValueError, KeyError, TypeError) as error:
            print(f"send.py: line {number}: {error!r}: expected an object with `node` and `event`", file=sys.stderr)
            return 2
        resource = {"service.name": event.get("service", "sdk-sender"), "service.instance.id": node}
        if "network" in event:
            resource["deployment.environment.name"] = event["network"]
        resource.update(event.get("resource", {}))
        identity = json.dumps(resource, sort_keys=True)
        if identity not in providers:
            providers[identity] = LoggerProvider(resource=Resource(resource), shutdown_on_exit=False)
            providers[identity].add_log_record_processor(processor)
        at_ms = event.get("at_ms")
        at_ns = time.time_ns() if at_ms is None else round(at_ms * 1_000_000)
        providers[identity].get_logger(event.get("component", "")).emit(
            timestamp=at_ns,
            observed_timestamp=at_ns,
            event_name=name,
            attributes=event.get("attrs", {}),
            body=event.get("body"),
        )
        lines += 1
    flushed = processor.force_flush(int(options.timeout * 1000) + 1000)
    processor.shutdown()
    if watched.failed or not flushed or watched.sent != lines:
        print(f"send.py: {watched.sent} of {lines} events were accepted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
