#!/usr/bin/env bash
# Draws the pictures of the README again: runs the demo on ports of its own, waits until its story has been told, and
# photographs two pages in Chromium, light, 1400 wide. Needs chromium, curl, python3; with pngquant the files get small.
#
#   docs/images/make.sh            builds target/debug/invar when it is not there
#   INVAR=path/to/invar docs/images/make.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
invar="${INVAR:-target/debug/invar}"
[ -x "$invar" ] || cargo build -p invar
web=127.0.0.1:18089
work="$(mktemp -d)"
"$invar" demo --web "$web" --grpc 127.0.0.1:14389 --http 127.0.0.1:14390 --seconds 300 >"$work/log" 2>&1 &
demo=$!
trap 'kill "$demo" 2>/dev/null || true; wait "$demo" 2>/dev/null || true; rm -rf "$work"' EXIT

# The incident whose missing event the README speaks of.
incident=
for _ in $(seq 120); do
  incident="$(curl -sf "http://$web/api/v1/incidents?rule=stored-batch-was-announced" \
    | python3 -c 'import json,sys; items=json.load(sys.stdin)["items"]; print(items[0]["id"] if items else "")' || true)"
  [ -z "$incident" ] || break
  sleep 1
done
[ -n "$incident" ] || { echo "the demo's fault was not found; see its output:" >&2; tail -20 "$work/log" >&2; exit 1; }
# The second story of the demo, so that the overview has something of each kind.
sleep 25

photo() {
  chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
    --window-size="1400,$3" --user-data-dir="$work/profile" --screenshot="$work/$1.png" "http://$web$2" >/dev/null 2>&1
  if command -v pngquant >/dev/null; then
    pngquant --force --skip-if-larger --output "docs/images/$1.png" 128 "$work/$1.png" \
      || cp "$work/$1.png" "docs/images/$1.png"
  else
    cp "$work/$1.png" "docs/images/$1.png"
  fi
  bytes="$(wc -c <"docs/images/$1.png")"
  [ "$bytes" -le 200000 ] || { echo "docs/images/$1.png has $bytes bytes, more than 200000" >&2; exit 1; }
  echo "docs/images/$1.png: $bytes bytes"
}
photo incident "/incidents/$incident" 900
photo overview / 1000
