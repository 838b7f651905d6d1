#!/usr/bin/env bash
# Makes the recordings of this folder again with the OpenTelemetry JavaScript SDK: see README.md.
set -euo pipefail
cd "$(dirname "$0")"
sdk=../../sdk
record() { # case, protocol, extra flag of the recorder, extra flag of the sender, file it becomes
  local folder address recorder
  folder="$(mktemp -d)"
  coproc RECORDER { exec node "$sdk/record.mjs" "$folder" $3; }
  recorder=$RECORDER_PID
  read -r address <&"${RECORDER[0]}"
  node runs.mjs "$1" | node "$sdk/send.mjs" "$address" "$2" $4
  kill "$recorder"
  wait "$recorder" 2>/dev/null || true
  [ "$(find "$folder" -type f | wc -l)" = 1 ] || { echo "$1: expected one request" >&2; exit 1; }
  mv "$folder"/* "$5"
  rmdir "$folder"
}
record correct http/json "" "" correct.json
record v1-commit-fails http/json "" "" v1-commit-fails.json
record v2-killed http/protobuf --raw --gzip v2-killed.pb.gz
record b2-ties http/protobuf --raw --gzip b2-ties.pb.gz
