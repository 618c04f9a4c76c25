# shellcheck shell=bash disable=SC2034
# Sourced by the other scripts: the repository as working directory, and words about progress.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

started=$SECONDS
say() { printf '%s\n' "== $*"; }
complain() { printf '%s\n' "$*" >&2; }

# Whether this can become root: it is, or sudo lets it without a password, or asks for one on a terminal.
can_be_root() {
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null && sudo -v; }
}
# Runs a command as root. The caller's PATH and what the tests read from the environment go with it.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo env "PATH=$PATH" "HOME=$HOME" "CI=${CI:-}" "WEFT_ENVOY=${WEFT_ENVOY:-}" "$@"
    fi
}
