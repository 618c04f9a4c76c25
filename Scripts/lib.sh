# shellcheck shell=bash disable=SC2034
# Sourced by the other scripts: the repository as working directory, and words about progress.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

started=$SECONDS
say() { printf '%s\n' "== $*"; }
complain() { printf '%s\n' "$*" >&2; }

# Runs a command as root: directly, or with sudo if that needs no password, or not at all (status 77).
# The caller's PATH and what the tests read from the environment go with it.
can_be_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif can_be_root; then
        sudo -n env "PATH=$PATH" "HOME=$HOME" "CI=${CI:-}" "WEFT_ENVOY=${WEFT_ENVOY:-}" "$@"
    else
        return 77
    fi
}
