#!/usr/bin/env bash
# The chain from a shell script, on footage that `epitool demo --synthetic` rendered; about a minute on 2 CPU cores.
set -euo pipefail
epitool() { "${EPITOOL:-.venv/bin/epitool}" "$@"; }
