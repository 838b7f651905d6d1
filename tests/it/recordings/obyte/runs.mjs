// Writes one run of the Obyte AA composer as event lines for `send.mjs`:
//
//     node runs.mjs correct | v1-commit-fails | v2-killed | b2-ties
//
// Three nodes execute the same triggers of one agent, which counts them. The times are fixed, so that a recording can be
// made again and compared. It sends nothing itself.
const EPOCH_MS = 1_790_000_000_000;
const AGENT = 'KDHCTQOTKTO6MLYOCU6OCBI7KK72DV3P';
const lines = [];

/** One event of a node's process, `ms` after the run's beginning. */
function emit({ node, pid }, ms, component, event, attrs) {
  lines.push({
    node,
    component,
    network: 'testnet',
    service: 'ocore',
    event,
    attrs,
    at_ms: EPOCH_MS + ms,
    resource: { 'process.pid': pid },
  });
}

/** The steps of one attempt at the trigger of index `mci`, each at its time; `steps` may end early. */
function attempt(process, mci, tx, { at, counter, digest, steps }) {
  const tuple = { 'obyte.mci': mci, 'obyte.unit': `unit${mci}=`, 'obyte.aa_address': AGENT, 'obyte.tx_id': tx };
  const all = {
    started: ['ocore.aa_composer', 'obyte.aa.trigger.started', {}],
    begun: ['ocore.sqlite_pool', 'obyte.sql.transaction.begun', { duration_ms: 0 }],
    written: [
      'ocore.kvstore',
      'obyte.kv.batch.written',
      { 'kv.ops.state_var': 3, 'kv.ops.joint': 1, 'kv.ops.other': 0, 'kv.ops.del': 0, 'kv.sync': true, duration_ms: 2 },
    ],
    committed: ['ocore.sqlite_pool', 'obyte.sql.transaction.committed', { duration_ms: 3 }],
    commit_failed: [
      'ocore.sqlite_pool',
      'obyte.sql.transaction.commit_failed',
      { 'error.type': 'SQLITE_IOERR', 'exception.message': 'SQLITE_IOERR: disk I/O error' },
    ],
    responded: [
      'ocore.aa_composer',
      'obyte.aa.response.emitted',
      {
        'obyte.trigger_unit': `unit${mci}=`,
        'obyte.trigger_address': 'TRIGGERADDRESSOFAUSER2345672345',
        'obyte.bounced': false,
        'obyte.response_unit': `response${mci}=`,
      },
    ],
    applied: [
      'ocore.aa_composer',
      'obyte.aa.state.applied',
      {
        'obyte.bounced': false,
        'obyte.updated_vars': 3,
        'obyte.state_vars': JSON.stringify({
          counter: { value: counter, old_value: counter - 1 },
          last_user: { value: `user-${counter}`, old_value: `user-${counter - 1}` },
          total: { value: 10_000 * counter, old_value: 10_000 * (counter - 1) },
        }),
        'obyte.balances': JSON.stringify({ base: 10_000 * counter }),
        'obyte.state_digest': digest ?? `digest-of-${counter}`,
      },
    ],
    completed: ['ocore.aa_composer', 'obyte.aa.trigger.completed', {}],
  };
  for (const [step, ms] of Object.entries(steps)) {
    const [component, event, attrs] = all[step];
    emit(process, at + ms, component, event, { ...tuple, ...attrs });
  }
}

const WHOLE = { started: 0, begun: 1, written: 4, committed: 7, responded: 8, applied: 9, completed: 10 };
const nodes = ['obyte-1', 'obyte-2', 'obyte-3'].map((node, index) => ({ node, pid: 4001 + index }));
const [first, ...others] = nodes;
const begin = (process, ms) => emit(process, ms, 'ocore.process', 'obyte.node.started', { 'process.pid': process.pid });
const whole = (process, mci, counter, at) =>
  attempt(process, mci, `tx-${process.node}-${mci}`, { at, counter, steps: WHOLE });

const runs = {
  // Three triggers on three nodes, as they should be.
  correct() {
    for (const process of nodes) {
      begin(process, 0);
      for (const [index, mci] of [101, 102, 103].entries()) whole(process, mci, 3 + index, 1000 * (index + 1));
    }
  },
  // COMMIT fails after the KV write; the process crashes, and runs the trigger again over its own result.
  'v1-commit-fails'() {
    for (const process of nodes) {
      begin(process, 0);
      whole(process, 101, 3, 1000);
    }
    for (const process of others) whole(process, 102, 4, 2000);
    const failing = { started: 0, begun: 1, written: 4, commit_failed: 9 };
    attempt(first, 102, 'tx-obyte-1-102a', { at: 2000, counter: 4, steps: failing });
    emit(first, 2010, 'ocore.process', 'obyte.node.crashed', {
      'process.pid': first.pid,
      'exception.message': 'SQLITE_IOERR: disk I/O error',
    });
    const again = { node: first.node, pid: 4101 };
    begin(again, 5000);
    attempt(again, 102, 'tx-obyte-1-102b', { at: 5200, counter: 5, steps: WHOLE });
  },
  // The process is killed between the KV write and COMMIT: only silence, then a start.
  'v2-killed'() {
    for (const process of nodes) {
      begin(process, 0);
      whole(process, 101, 3, 1000);
    }
    for (const process of others) whole(process, 102, 4, 2000);
    attempt(first, 102, 'tx-obyte-1-102a', { at: 2000, counter: 4, steps: { started: 0, begun: 1, written: 4 } });
    const again = { node: first.node, pid: 4101 };
    begin(again, 5000);
    attempt(again, 102, 'tx-obyte-1-102b', { at: 5200, counter: 5, steps: WHOLE });
  },
  // A whole trigger within one millisecond, the request's records in reverse: effects tie with causes and precede them.
  'b2-ties'() {
    const tied = Object.fromEntries(Object.keys(WHOLE).map((step) => [step, 0]));
    for (const process of nodes) {
      begin(process, 0);
      attempt(process, 101, `tx-${process.node}-101`, { at: 1000, counter: 3, steps: tied });
    }
    lines.reverse();
  },
};

const run = runs[process.argv[2]];
if (!run) {
  console.error(`usage: runs.mjs ${Object.keys(runs).join('|')}`);
  process.exit(2);
}
run();
for (const line of lines) console.log(JSON.stringify(line));
