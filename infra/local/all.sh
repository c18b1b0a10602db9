#!/usr/bin/env bash
# Kafka, the registry and Cassandra together: infra/local/all.sh install|start|stop|restart|status|wipe
#
# Installs one after the other (they share Maven's repository), and does everything else side by side.
#
#   TIDEGATE_SERVICES_ONLY  which of them (kafka registry cassandra)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
verb="${1:-}"
read -ra services <<<"${TIDEGATE_SERVICES_ONLY:-kafka registry cassandra}"
case "$verb" in
  install | start) for service in "${services[@]}"; do "./$service.sh" install || exit; done ;;
  stop | restart | status | wipe) ;;
  *) echo "usage: $0 install|start|stop|restart|status|wipe" >&2; exit 64 ;;
esac
[ "$verb" != install ] || exit 0
failed=0
pids=()
for service in "${services[@]}"; do "./$service.sh" "$verb" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
