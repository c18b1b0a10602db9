#!/usr/bin/env bash
# nchan (an nginx module, from Debian's packages), the peer in C: benches/peers/nchan.sh install|start|stop|status|address|pid|header|wipe
SERVICE=nchan
# shellcheck source=infra/local/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../infra/local/common.sh"
PEERS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
MODULE=/usr/lib/nginx/modules/ngx_nchan_module.so
NGINX="$(PATH="$PATH:/usr/sbin" command -v nginx || true)"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
address() { echo "127.0.0.1:$(cat "$PORT_FILE")"; }
header() { :; }

install() {
  if [ -e "$MODULE" ] && [ -n "$NGINX" ]; then return; fi
  need apt-get "nchan is taken from Debian's packages"
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends nginx-light libnginx-mod-nchan </dev/null >&2
  NGINX="$(PATH="$PATH:/usr/sbin" command -v nginx)"
}

start() {
  mkdir -p "$RUN"
  free_port >"$PORT_FILE"
  sed -e "s#@MODULE@#$MODULE#; s#@RUN@#$RUN#g; s#@PORT@#$(cat "$PORT_FILE")#" "$PEERS/nchan.conf.in" >"$RUN/nginx.conf"
  launch "$NGINX" -p "$RUN/" -c "$RUN/nginx.conf"
  await_ready port_open "$(cat "$PORT_FILE")"
}

if [ "${1:-}" = header ]; then header; exit; fi
dispatch "$@"
