#!/usr/bin/env bash
# Centrifugo (a Go module): benches/peers/centrifugo.sh install|start|stop|status|address|pid|header|wipe
SERVICE=centrifugo
# shellcheck source=benches/peers/go.sh
. "$(dirname "${BASH_SOURCE[0]}")/go.sh"

install() { build github.com/centrifugal/centrifugo/v5 v5.4.9 .; }
header() { echo "X-API-Key: $(cat "$RUN/key")"; }

configure() {
  cat >"$RUN/config.json" <<JSON
{"address": "127.0.0.1", "port": "$1", "api_key": "$2", "token_hmac_secret_key": "$2", "uni_sse": true,
 "allow_anonymous_connect_without_token": true, "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
 "history_size": 1000, "history_ttl": "600s", "force_recovery": true, "log_level": "warn"}
JSON
}

start() {
  mkdir -p "$RUN"
  free_port >"$PORT_FILE"
  random_key >"$RUN/key"
  configure "$(cat "$PORT_FILE")" "$(cat "$RUN/key")"
  launch "$PROGRAM" -c "$RUN/config.json"
  await_ready port_open "$(cat "$PORT_FILE")"
}

if [ "${1:-}" = header ]; then header; exit; fi
dispatch "$@"
