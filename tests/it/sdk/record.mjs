// Saves every OTLP request body that it receives over HTTP to a folder, and answers as a receiver would.
//
//     node record.mjs FOLDER [--port 0] [--raw] [--status 200]
//
// Prints the address it listens on as its first line. Bodies become 0001.pb or 0001.json by their Content-Type, inflated;
// with `--raw` a compressed body is kept as it came, as 0001.pb.gz or 0001.json.gz. `--status` answers with another
// status, to see what a sender does about it. It does not look into what it saves.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: 'string', default: '0' },
    raw: { type: 'boolean', default: false },
    status: { type: 'string', default: '200' },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error('usage: record.mjs FOLDER [--port 0] [--raw] [--status 200]');
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const status = Number(values.status);
let count = 0;
const server = createServer(async (request, response) => {
  try {
    const body = await buffer(request);
    const type = request.headers['content-type'] ?? '';
    const json = type.startsWith('application/json');
    const gzip = request.headers['content-encoding'] === 'gzip';
    const keep = gzip && !values.raw ? gunzipSync(body) : body;
    count += 1;
    const name = `${String(count).padStart(4, '0')}.${json ? 'json' : 'pb'}${gzip && values.raw ? '.gz' : ''}`;
    writeFileSync(join(folder, name), keep);
    // An empty protobuf message is no byte at all.
    response.writeHead(status, { 'content-type': json ? 'application/json' : 'application/x-protobuf' });
    response.end(json ? '{}' : undefined);
  } catch (error) {
    response.writeHead(400, { 'content-type': 'text/plain' });
    response.end(error.message);
  }
});
server.listen(Number(values.port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
