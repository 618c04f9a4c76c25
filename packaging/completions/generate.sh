#!/bin/sh
# Writes the shell completions of weft into a directory, under the names that each shell looks for.
# Usage: generate.sh path/to/weft directory
set -eu
weft=$1
directory=$2
mkdir -p "$directory"
"$weft" --generate-completion-script bash >"$directory/weft"
"$weft" --generate-completion-script zsh >"$directory/_weft"
"$weft" --generate-completion-script fish >"$directory/weft.fish"
