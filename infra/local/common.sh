# Shared by kafka.sh, registry.sh and cassandra.sh: where things are, ports, and one process by its pid. Sourced, never run.
#
#   TIDEGATE_SERVICES      where jars are kept (default: .services in the checkout)
#   TIDEGATE_SERVICES_RUN  where one set of running services keeps pid, port, log and data (default: $TIDEGATE_SERVICES/run)
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
SERVICES="${TIDEGATE_SERVICES:-$(cd "$HERE/../.." && pwd)/.services}"
RUN="${TIDEGATE_SERVICES_RUN:-$SERVICES/run}/$SERVICE"
MAVEN_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
READY_SECONDS="${TIDEGATE_SERVICES_READY_SECONDS:-90}"
STOP_SECONDS=20
JAVA="${JAVA:-java}"
PID_FILE="$RUN/pid"
PORT_FILE="$RUN/port"
LOG="$RUN/log"

die() { echo "$SERVICE: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is needed: $2"; }
maven() {
  need mvn "install Maven 3"
  mvn -B -q -Dstyle.color=never "-Dmaven.repo.local=$SERVICES/m2" "$@" </dev/null || die "maven failed"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A free port below the range that the kernel gives to clients, so that no outgoing connection takes it first.
free_port() {
  local port i
  for ((i = 0; i < 200; i++)); do
    port=$((15000 + (RANDOM * 32768 + RANDOM) % 17000))
    port_open "$port" || { echo "$port"; return; }
  done
  die "no free port"
}

# A process that was just killed may hold its port a moment longer; anything else that holds it will not let it go.
need_port() {
  local i
  for ((i = 0; i < 50; i++)); do
    port_open "$1" || return 0
    sleep 0.1
  done
  die "port $1 is taken"
}

# The port asked for, else the one of the last start on this data (clients know it), else a free one.
choose_port() {
  if [ -n "$1" ]; then echo "$1"; elif [ -s "$2" ]; then cat "$2"; else free_port; fi
}

# What tells this process from a later one with the same pid: its start time, the 22nd field of stat.
started_at() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
state_of() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1; }

alive() {
  [ -s "$PID_FILE" ] || return 1
  local pid started
  read -r pid started <"$PID_FILE"
  [ "$(started_at "$pid")" = "$started" ] && [ "$(state_of "$pid")" != Z ]
}
pid() { cut -d' ' -f1 "$PID_FILE"; }

# launch COMMAND...: in the background and in a session of its own, so that a ^C at the terminal is not for it.
launch() {
  setsid "$@" >"$LOG" 2>&1 </dev/null &
  echo "$! $(started_at $!)" >"$PID_FILE"
}

# await_ready PROBE...: until the probe succeeds; the log's end is shown where it never does.
await_ready() {
  local deadline=$((SECONDS + READY_SECONDS))
  until "$@"; do
    alive || { tail -n 30 "$LOG" >&2; die "ended before it was ready (log: $LOG)"; }
    ((SECONDS < deadline)) || { tail -n 30 "$LOG" >&2; stop >&2; die "not ready within $READY_SECONDS s (log: $LOG)"; }
    sleep 0.1
  done
}

stop() {
  if alive; then
    local pid deadline=$((SECONDS + STOP_SECONDS))
    pid="$(pid)"
    kill "$pid" 2>/dev/null || true
    while alive && ((SECONDS < deadline)); do sleep 0.1; done
    ! alive || kill -9 "$pid" 2>/dev/null || true
    echo "$SERVICE: stopped"
  fi
  rm -f "$PID_FILE"
}

# kill -9, and it is over when this returns: whoever starts it again must not meet what is still ending.
crash() {
  alive || die "not running"
  local deadline=$((SECONDS + STOP_SECONDS))
  kill -9 "$(pid)"
  while alive; do
    ((SECONDS < deadline)) || die "pid $(pid) does not end"
    sleep 0.05
  done
}

status() {
  if alive; then
    echo "$SERVICE: $(address), pid $(pid), $(awk '/VmRSS/ {printf "%d MiB", $2 / 1024}' "/proc/$(pid)/status"), log $LOG"
  else
    echo "$SERVICE: not running"
    return 1
  fi
}

# dispatch VERB: what every service script ends with.
dispatch() {
  case "${1:-}" in
    install) install ;;
    start) install; start ;;
    stop) stop ;;
    crash) crash ;;
    restart) stop; start ;;
    status) status ;;
    address) alive || die "not running"; address ;;
    pid) alive || die "not running"; pid ;;
    wipe) stop; rm -rf "$RUN" ;;
    *) echo "usage: $0 install|start|stop|crash|restart|status|address|pid|wipe" >&2; exit 64 ;;
  esac
}
