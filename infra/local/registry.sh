#!/usr/bin/env bash
# One schema registry (Apicurio, which speaks the Confluent API under /apis/ccompat/v7) from Maven, with Java 17.
#
#   infra/local/registry.sh install|start|stop|crash|restart|status|address|pid|wipe
#
#   REGISTRY_PORT  the port (default: the last one of this data, else a free one)
#   REGISTRY_HEAP  the heap (256m)
#   REGISTRY_H2    file (schemas survive a restart and kill -9, the default) or mem
SERVICE=registry
# shellcheck source=infra/local/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
VERSION=2.6.13.Final
LIB="$SERVICES/registry-$VERSION"
DATA="$RUN/data"

address() { echo "http://127.0.0.1:$(cat "$PORT_FILE")/apis/ccompat/v7"; }

install() {
  [ ! -f "$LIB/.complete" ] || return 0
  echo "registry: fetching its archive (once)"
  local fetched="$LIB.fetched"
  rm -rf "$LIB" "$fetched"
  # `copy` takes the one archive, and not the hundreds of jars that its pom names: they are inside it.
  maven "$MAVEN_PLUGIN:copy" "-Dartifact=io.apicurio:apicurio-registry-app:$VERSION:tar.gz:all" \
    "-DoutputDirectory=$fetched" -Dmdep.useBaseVersion=true
  mkdir -p "$LIB"
  tar xzf "$fetched"/*.tar.gz -C "$LIB"
  rm -rf "$fetched"
  touch "$LIB/.complete"
}

probe() {
  [ "$(curl -s -m 2 -o /dev/null -w '%{http_code}' "$(address)/subjects")" = 200 ]
}

start() {
  if alive; then status; return; fi
  need "$JAVA" "install Java 17"
  need curl "install curl"
  mkdir -p "$DATA"
  local port storage=()
  port="$(choose_port "${REGISTRY_PORT:-}" "$PORT_FILE")"
  need_port "$port"
  echo "$port" >"$PORT_FILE"
  [ "${REGISTRY_H2:-file}" = mem ] || storage=("-Dquarkus.datasource.jdbc.url=jdbc:h2:file:$DATA/h2")
  launch "$JAVA" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m "-Xmx${REGISTRY_HEAP:-256m}" -Xss512k -XX:-UsePerfData \
    -Djava.net.preferIPv4Stack=true "${storage[@]}" -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" \
    -Dquarkus.banner.enabled=false -Dquarkus.http.access-log.enabled=false -Dregistry.enable-redirects=false \
    -Dquarkus.datasource.jdbc.initial-size=2 -Dquarkus.datasource.jdbc.min-size=2 -Dquarkus.datasource.jdbc.max-size=10 \
    -jar "$LIB/apicurio-registry-app-$VERSION-runner.jar"
  await_ready probe
  status
}

dispatch "$@"
