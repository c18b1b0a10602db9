#!/usr/bin/env bash
# One Apache Kafka node (KRaft: broker and controller in one process) from Maven jars, with Java 17 and nothing else.
#
#   infra/local/kafka.sh install|start|stop|crash|restart|status|address|pid|wipe
#
#   KAFKA_PORT    the port (default: the last one of this data, else a free one)
#   KAFKA_HEAP    the heap (384m)
#   KAFKA_JIT     c1 (starts fast, the default) or full (for load)
#   KAFKA_SECURE  a directory with ca.pem and broker.pem (key and certificate): two more listeners, SSL for clients with a certificate of that
#                 authority, and SASL_SSL for the user of KAFKA_SCRAM (NAME:PASSWORD, SCRAM-SHA-512); addresses in $RUN/ssl and $RUN/sasl_ssl
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
  [ -z "${KAFKA_SECURE:-}" ] || secure "$port" "$controller"
}

# Of two lines for one property the last counts.
secure() {
  local listener port plain="PLAINTEXT://127.0.0.1:$1" more=""
  for listener in SSL SASL_SSL; do
    port="$(choose_port "" "$RUN/${listener,,}_port")"
    echo "$port" >"$RUN/${listener,,}_port"
    echo "127.0.0.1:$port" >"$RUN/${listener,,}"
    more+=",$listener://127.0.0.1:$port"
  done
  cat >>"$RUN/server.properties" <<PROPERTIES
listeners=$plain,CONTROLLER://127.0.0.1:$2$more
advertised.listeners=$plain$more
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=$KAFKA_SECURE/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$KAFKA_SECURE/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
PROPERTIES
}

format() {
  local cluster scram=()
  [ -z "${KAFKA_SECURE:-}" ] || scram=(--add-scram "SCRAM-SHA-512=[name=${KAFKA_SCRAM%%:*},password=${KAFKA_SCRAM#*:}]")
  cluster="$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22)"
  (jvm kafka.tools.StorageTool format -t "$cluster" "${scram[@]}" -c "$RUN/server.properties") >"$RUN/format.log" 2>&1 \
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
