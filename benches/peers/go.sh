# Shared by the peers that are Go modules: builds one, once, and starts it. Sourced, never run; needs SERVICE.
# shellcheck source=infra/local/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../infra/local/common.sh"
PROGRAM="$SERVICES/$SERVICE/$SERVICE"

address() { echo "127.0.0.1:$(cat "$PORT_FILE")"; }
random_key() { head -c 24 /dev/urandom | base64 | tr '+/' 'AB'; }

# build MODULE VERSION PACKAGE FLAGS...: a module is read-only where it was downloaded, so it is built in a copy.
build() {
  [ ! -x "$PROGRAM" ] || return 0
  need go "install Go 1.21 or later"
  local downloaded copy="$SERVICES/$SERVICE/source"
  mkdir -p "$SERVICES/$SERVICE"
  echo "$SERVICE: building it (once)" >&2
  downloaded="$(cd "$SERVICES/$SERVICE" && go mod download -json "$1@$2" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')"
  [ -d "$downloaded" ] || die "$1@$2 was not downloaded"
  rm -rf "$copy"
  cp -r "$downloaded" "$copy"
  chmod -R u+w "$copy"
  (cd "$copy" && go build -buildvcs=false -ldflags "-s -w" "${@:4}" -o "$PROGRAM" "$3") >&2
  rm -rf "$copy"
}
