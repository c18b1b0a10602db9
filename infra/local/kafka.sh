#!/usr/bin/env bash
# One Apache Kafka node (KRaft: broker and controller in one process) from Maven jars, with Java 17 and nothing else.
#
#   infra/local/kafka.sh install|start|stop|crash|restart|status|address|pid|wipe
#
#   KAFKA_PORT  the port (default: the last one of this data, else a free one)
#   KAFKA_HEAP  the heap (384m)
#   KAFKA_JIT   c1 (starts fast, the default) or full (for load)
SERVICE=kafka
# shellcheck source=infra/local/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
LIB="$SERVICES/kafka"
DATA="$RUN/data"

address() { echo "127.0.0.1:$(cat "$PORT_FILE")"; }

install() {
  # The jars belong to one pom: another version is another install.
  if [ -f "$LIB/.complete" ] && cmp -s "$HERE/kafka/pom.xml" "$LIB/.complete"; then return; fi
  echo "kafka: fetching its jars (once)"
  rm -rf "$LIB"
  maven -f "$HERE/kafka/pom.xml" "$MAVEN_PLUGIN:copy-dependencies" -DincludeScope=runtime "-DoutputDirectory=$LIB"
  cp "$HERE/kafka/pom.xml" "$LIB/.complete"
}

jvm() {
  local jit=(-XX:TieredStopAtLevel=1)
  [ "${KAFKA_JIT:-c1}" != full ] || jit=()
  exec "$JAVA" -XX:+UseSerialGC -Xms64m "-Xmx${KAFKA_HEAP:-384m}" -Xss512k -XX:-UsePerfData "${jit[@]}" \
    -Djava.net.preferIPv4Stack=true "-Dlog4j2.configurationFile=$HERE/kafka/log4j2.properties" -Dlog4j2.disable.jmx=true \
    -cp "$LIB/*" "$@"
}

configure() {
  local port="$1" controller="$2"
  sed -e "s#@PORT@#$port#g; s#@CONTROLLER_PORT@#$controller#g; s#@DATA@#$DATA#g" \
    "$HERE/kafka/server.properties.in" >"$RUN/server.properties"
}

format() {
  local cluster
  cluster="$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22)"
  (jvm kafka.tools.StorageTool format -t "$cluster" -c "$RUN/server.properties") >"$RUN/format.log" 2>&1 \
    || { cat "$RUN/format.log" >&2; die "formatting its data directory failed"; }
}

probe() { port_open "$(cat "$PORT_FILE")" && grep -q 'Kafka Server started' "$LOG"; }

start() {
  if alive; then status; return; fi
  need "$JAVA" "install Java 17"
  mkdir -p "$RUN"
  local port controller
  port="$(choose_port "${KAFKA_PORT:-}" "$PORT_FILE")"
  controller="$(choose_port "" "$RUN/controller_port")"
  need_port "$port"
  echo "$port" >"$PORT_FILE"
  echo "$controller" >"$RUN/controller_port"
  configure "$port" "$controller"
  [ -f "$DATA/meta.properties" ] || format
  launch "$BASH" "${BASH_SOURCE[0]}" exec-broker
  await_ready probe
  status
}

if [ "${1:-}" = exec-broker ]; then jvm kafka.Kafka "$RUN/server.properties"; fi
dispatch "$@"
