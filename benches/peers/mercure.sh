#!/usr/bin/env bash
# Mercure's hub (a Go module): benches/peers/mercure.sh install|start|stop|status|address|pid|header|wipe
SERVICE=mercure
# shellcheck source=benches/peers/go.sh
. "$(dirname "${BASH_SOURCE[0]}")/go.sh"

install() { build github.com/dunglas/mercure v0.16.3 ./cmd/mercure -tags deprecated_server; }
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }

# A token that may publish everything, signed by HS256 with this run's key.
header() {
  need openssl "it signs the publisher's token"
  local signed
  signed="$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(printf '{"mercure":{"publish":["*"]}}' | base64url)"
  echo "Authorization: Bearer $signed.$(printf '%s' "$signed" | openssl dgst -sha256 -hmac "$(cat "$RUN/key")" -binary | base64url)"
}

start() {
  mkdir -p "$RUN"
  rm -f "$RUN/history.db"
  free_port >"$PORT_FILE"
  random_key >"$RUN/key"
  ADDR="$(address)" JWT_KEY="$(cat "$RUN/key")" ALLOW_ANONYMOUS=1 TRANSPORT_URL="bolt://$RUN/history.db?size=10000" \
    WRITE_TIMEOUT=0s HEARTBEAT_INTERVAL=25s launch "$PROGRAM"
  await_ready port_open "$(cat "$PORT_FILE")"
}

if [ "${1:-}" = header ]; then header; exit; fi
dispatch "$@"
