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

# need PROBE:PACKAGE ...: install what is missing when we may, else say the command.  A probe is a library or a path.
need() {
  local missing=() probe
  for entry in "$@"; do
    probe=${entry%%:*}
    case $probe in
      /*) [ -e "$probe" ] ;;
      *) PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q "$probe " ;;
    esac || missing+=("${entry#*:}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" = 0 ]; then
    say "Installing system packages: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    say "These system packages are needed, and installing them takes administrator rights. Run:"
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
    need "/no/ensurepip:python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  fi
  say "Making .venv with $("$python" --version)"
  "$python" -m venv .venv
}

install() {
  local extras=() index=()
  [ "$what" = test ] && extras=("[dev,slicer,panel,cluster]")
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
if [ "$what" = test ]; then  # the tests of the panels draw without a display
  need libEGL.so.1:libegl1 libGL.so.1:libgl1 /usr/share/doc/libgl1-mesa-dri:libgl1-mesa-dri \
    libxkbcommon.so.0:libxkbcommon0 libfontconfig.so.1:libfontconfig1 libdbus-1.so.3:libdbus-1-3 \
    libglib-2.0.so.0:libglib2.0-0 libX11.so.6:libx11-6 libgssapi_krb5.so.2:libgssapi-krb5-2 \
    /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf:fonts-dejavu-core
fi
.venv/bin/python -c 'pass' 2>/dev/null || make_environment
install
touch "$stamp"
[ "$what" = test ] && touch .venv/.kaf-demo
exit 0
