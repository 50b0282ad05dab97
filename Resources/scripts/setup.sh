#!/usr/bin/env bash
# Makes .venv and installs KAF into it.   setup.sh [demo|test]
#
# "demo" is what running needs; "test" adds what the tests need, system libraries for drawing included.
# The CPU build of torch is taken from PyTorch's own index where that can be reached.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:-demo}
cpu_index=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "$*" >&2; }

# Install Debian packages: by ourselves when we may, else say the command.
need_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" = 0 ]; then
    say "Installing system packages: ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    say "These system packages are needed and installing them takes administrator rights. Run:"
    say "    sudo apt-get install ${missing[*]}"
    say "and then the same make command again."
    exit 1
  fi
}

find_python() {
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$candidate" >/dev/null 2>&1 &&
       "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  say "KAF needs Python 3.10 to 3.13, and none was found. On Debian or Ubuntu: sudo apt-get install python3 python3-venv"
  exit 1
}

make_environment() {
  local python
  python=$(find_python)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    need_packages "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  fi
  say "Making .venv with $("$python" --version)"
  "$python" -m venv .venv
}

install() {
  local extras=() index=()
  [ "$what" = test ] && extras=("[dev,slicer,panel]")
  if .venv/bin/python - "$cpu_index/torch/" <<'PY' 2>/dev/null; then
import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"), timeout=5)
PY
    index=(--extra-index-url "$cpu_index")
  fi
  say "Installing KAF (torch's CPU build is about 200 MB to download; this takes a few minutes)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c Resources/constraints.txt "${index[@]}" \
    --editable ".${extras[*]:-}"
}

stamp=.venv/.kaf-$what
[ -f "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ] && [ ! Resources/constraints.txt -nt "$stamp" ] && exit 0
[ "$what" = test ] && need_packages libegl1 libgl1-mesa-dri libxkbcommon0 libfontconfig1 libdbus-1-3 libglib2.0-0
.venv/bin/python -c 'pass' 2>/dev/null || make_environment
install
touch "$stamp"
[ "$what" = test ] && touch .venv/.kaf-demo
exit 0
