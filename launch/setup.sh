#!/usr/bin/env bash
# Makes .venv with what requirements.txt pins; does nothing if it is there and up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
mark=.venv/requirements.txt
if ! cmp -s requirements.txt "$mark"; then
  "${PYTHON:-python3}" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$mark"
fi
