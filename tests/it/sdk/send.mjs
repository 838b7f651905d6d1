// Sends a scenario through the OpenTelemetry JavaScript SDK, the way a node written in JavaScript would.
//
//     node send.mjs ENDPOINT grpc|http/protobuf|http/json [--gzip] [--timeout SECONDS] < scenario.jsonl
//
// Standard input holds one event a line:
//
//     {"node": "n1", "component": "ocore.kvstore", "network": "testnet", "event": "obyte.kv.batch.written",
//      "attrs": {"obyte.mci": 100}, "at_ms": 1790000000000, "resource": {"process.pid": 7}, "body": "..."}
//
// `node` and `event` are required; `at_ms` (milliseconds since 1970) defaults to now. Events that share node, network
// and `resource` share a resource; `component` is the instrumentation scope. All go out in one request, in the order
// given. Exits 0 when every export succeeded, 1 when one failed, 2 when it was called or fed wrongly.
//
// It does not retry beyond what the SDK does, and does not look at partial success: neither does the SDK.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

// The packages stand beside this file, or where `tests/run` has put them.
const tools = process.env.INVAR_TEST_TOOLS;
const require = createRequire(tools ? join(tools, 'node', 'package.json') : import.meta.url);
const { diag, DiagConsoleLogger, DiagLogLevel } = require('@opentelemetry/api');
const { SeverityNumber } = require('@opentelemetry/api-logs');
const { BatchLogRecordProcessor, LoggerProvider } = require('@opentelemetry/sdk-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');

const PACKAGES = {
  grpc: '@opentelemetry/exporter-logs-otlp-grpc',
  'http/protobuf': '@opentelemetry/exporter-logs-otlp-proto',
  'http/json': '@opentelemetry/exporter-logs-otlp-http',
};

function fail(message) {
  console.error(`send.mjs: ${message}`);
  process.exit(2);
}

/** Passes batches on and remembers whether one failed, which the batch processor only logs. */
class Watched {
  sent = 0;
  failed = 0;
  constructor(inner) {
    this.inner = inner;
  }
  export(records, done) {
    this.inner.export(records, (result) => {
      if (result.code === 0) {
        this.sent += records.length;
      } else {
        this.failed += records.length;
        console.error(`send.mjs: export failed: ${result.error?.message ?? 'no reason given'}`);
      }
      done(result);
    });
  }
  forceFlush() {
    return this.inner.forceFlush?.() ?? Promise.resolve();
  }
  shutdown() {
    return this.inner.shutdown();
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { gzip: { type: 'boolean', default: false }, timeout: { type: 'string', default: '10' } },
});
const [endpoint, protocol] = positionals;
if (!endpoint || !PACKAGES[protocol]) {
  fail(`usage: send.mjs ENDPOINT ${Object.keys(PACKAGES).join('|')} [--gzip] [--timeout SECONDS]`);
}
diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.ERROR);

const { OTLPLogExporter } = require(PACKAGES[protocol]);
const timeoutMillis = Number(values.timeout) * 1000;
const watched = new Watched(
  new OTLPLogExporter({
    url: protocol === 'grpc' ? endpoint : `${endpoint.replace(/\/$/, '')}/v1/logs`,
    compression: values.gzip ? 'gzip' : 'none',
    timeoutMillis,
  }),
);
// One processor for all providers: one request then holds several resources, as a node's sidecar would send it.
const processor = new BatchLogRecordProcessor({
  exporter: watched,
  scheduledDelayMillis: 3_600_000,
  maxQueueSize: 100_000,
  maxExportBatchSize: 100_000,
  exportTimeoutMillis: timeoutMillis + 1000,
});

const providers = new Map();
let lines = 0;
for (const [index, line] of (await text(process.stdin)).split('\n').entries()) {
  if (line.trim() === '') continue;
  let event;
  try {
    event = JSON.parse(line);
  } catch (error) {
    fail(`line ${index + 1}: ${error.message}`);
  }
  if (typeof event?.node !== 'string' || typeof event.event !== 'string') {
    fail(`line ${index + 1}: expected an object with \`node\` and \`event\``);
  }
  const attributes = {
    'service.name': event.service ?? 'sdk-sender',
    'service.instance.id': event.node,
    ...(event.network === undefined ? {} : { 'deployment.environment.name': event.network }),
    ...event.resource,
  };
  const identity = JSON.stringify(attributes);
  let provider = providers.get(identity);
  if (!provider) {
    provider = new LoggerProvider({ resource: resourceFromAttributes(attributes), processors: [processor] });
    providers.set(identity, provider);
  }
  const at = event.at_ms === undefined ? new Date() : new Date(event.at_ms);
  provider.getLogger(event.component ?? '').emit({
    eventName: event.event,
    timestamp: at,
    observedTimestamp: at,
    severityNumber: SeverityNumber.INFO,
    attributes: event.attrs ?? {},
    body: event.body,
  });
  lines += 1;
}

await processor.forceFlush().catch((error) => console.error(`send.mjs: ${error.message}`));
await processor.shutdown().catch(() => {});
if (watched.failed > 0 || watched.sent !== lines) {
  console.error(`send.mjs: ${watched.sent} of ${lines} events were accepted`);
  process.exit(1);
}
