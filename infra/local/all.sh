#!/usr/bin/env bash
# Kafka and the registry together: infra/local/all.sh install|start|stop|restart|status|wipe
#
# Installs one after the other (they share Maven's repository), and does everything else side by side.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
verb="${1:-}"
case "$verb" in
  install | start) ./kafka.sh install && ./registry.sh install ;;
  stop | restart | status | wipe) ;;
  *) echo "usage: $0 install|start|stop|restart|status|wipe" >&2; exit 64 ;;
esac
[ "$verb" != install ] || exit 0
failed=0
pids=()
for service in kafka registry; do ./$service.sh "$verb" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
