#!/usr/bin/env bash
# One Apache Cassandra node from Maven jars, with Java 17 and nothing else. It speaks CQL to the same driver as ScyllaDB, which has no jars.
#
#   infra/local/cassandra.sh install|start|stop|crash|restart|status|address|pid|wipe
#
#   CASSANDRA_PORT  the port (default: the last one of this data, else a free one)
#   CASSANDRA_HEAP  the heap (512m)
#   CASSANDRA_JIT   c1 (starts fast, the default) or full (for load)
SERVICE=cassandra
# shellcheck source=infra/local/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
LIB="$SERVICES/cassandra"
DATA="$RUN/data"

address() { echo "127.0.0.1:$(cat "$PORT_FILE")"; }

install() {
  # The jars belong to one pom: another version is another install.
  if [ -f "$LIB/.complete" ] && cmp -s "$HERE/cassandra/pom.xml" "$LIB/.complete"; then return; fi
  echo "cassandra: fetching its jars (once)"
  rm -rf "$LIB"
  maven -f "$HERE/cassandra/pom.xml" "$MAVEN_PLUGIN:copy-dependencies" -DincludeScope=runtime "-DoutputDirectory=$LIB"
  cp "$HERE/cassandra/pom.xml" "$LIB/.complete"
}

# A CQL OPTIONS frame is answered by SUPPORTED (opcode 6).
probe() {
  local port answer
  port="$(cat "$PORT_FILE")"
  port_open "$port" || return 1
  answer="$(
    exec 3<>"/dev/tcp/127.0.0.1/$port" 2>/dev/null || exit 1
    printf '\x04\x00\x00\x00\x05\x00\x00\x00\x00' >&3
    timeout 2 head -c 5 <&3 | od -An -tx1 | tr -d ' \n'
  )" 2>/dev/null || return 1
  [ "$answer" = 8400000006 ]
}

start() {
  if alive; then status; return; fi
  need "$JAVA" "install Java 17"
  mkdir -p "$DATA"
  local port storage options jit=(-XX:TieredStopAtLevel=1)
  [ "${CASSANDRA_JIT:-c1}" != full ] || jit=()
  port="$(choose_port "${CASSANDRA_PORT:-}" "$PORT_FILE")"
  storage="$(choose_port "" "$RUN/storage_port")"
  need_port "$port"
  echo "$port" >"$PORT_FILE"
  echo "$storage" >"$RUN/storage_port"
  sed -e "s#@PORT@#$port#g; s#@SPORT@#$storage#g; s#@DATA@#$DATA#g" "$HERE/cassandra/cassandra.yaml.in" >"$RUN/cassandra.yaml"
  mapfile -t options < <(grep '^-' "$HERE/cassandra/jvm17.options")
  # Without the jamm agent sizing the first memtable takes 2 s.
  launch "$JAVA" -XX:+UseSerialGC "${jit[@]}" -Xms128m "-Xmx${CASSANDRA_HEAP:-512m}" -Xss512k -XX:MaxDirectMemorySize=256m \
    -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError -Djava.net.preferIPv4Stack=true "${options[@]}" \
    "-javaagent:$(echo "$LIB"/jamm-*.jar)" "-Dcassandra.config=file://$RUN/cassandra.yaml" \
    "-Dlogback.configurationFile=$HERE/cassandra/logback.xml" "-Dcassandra.storagedir=$DATA" "-Dcassandra.logdir=$RUN" \
    -Dcassandra-foreground=yes -Dcassandra.initial_token=0 -Dcassandra.ring_delay_ms=0 \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.memtable.row_overhead_size=180 \
    -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.load_ring_state=true -Dcassandra.shutdown_announce_in_ms=0 \
    "-Dcassandra.available_processors=$(nproc)" -cp "$LIB/*" org.apache.cassandra.service.CassandraDaemon
  await_ready probe
  status
}

dispatch "$@"
