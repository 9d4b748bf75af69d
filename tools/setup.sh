#!/usr/bin/env bash
# Set up what `make` needs; what is installed already is left alone.
#
#   tools/setup.sh system                system libraries for Qt and OpenGL, with apt on Debian and Ubuntu
#   tools/setup.sh venv                  .venv, with the first suitable of python3, python3.13, python3.12, python3.11
#   tools/setup.sh install EXTRA[,...]   the package, editable, with these extras, into .venv
#
# PYTHON=... selects another interpreter.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LIBRARIES="fonts-dejavu-core libdbus-1-3 libegl1 libfontconfig1 libgl1 libgl1-mesa-dri libglib2.0-0 libx11-xcb1
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-xfixes0 libxcb-xinerama0 libxkbcommon-x11-0 x11-utils xvfb"

say() { echo "napari-saliency: $*"; }
fail() { say "$@" >&2; exit 1; }

# Print the packages that are neither installed nor provided by another one (libglib2.0-0 by libglib2.0-0t64, say).
missing() {
    local present name
    present=" $(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null |
        sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr ',\n' '  ') "
    for name in "$@"; do
        case "$present" in *" $name "*) ;; *) echo "$name" ;; esac
    done
}

apt_install() {
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "neither root nor sudo is available; continuing without these system packages: $*."
            return
        fi
        root=(sudo)
    fi
    say "installing system packages: $*"
    local quiet=(env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq -o Dpkg::Use-Pty=0)
    # Not an error: the packages may be in the lists that are already there.
    "${root[@]}" "${quiet[@]}" update || say "apt-get update failed; trying the package lists that are already there"
    "${root[@]}" "${quiet[@]}" install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install: $*. See the lines above."
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

has_venv() { [ -x .venv/bin/python ] && fits .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }

makes_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

interpreter() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if command -v "$candidate" >/dev/null && fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11, 3.12 or 3.13 is needed, and ${PYTHON:-python3} is" \
        "$("${PYTHON:-python3}" --version 2>&1 | tail -n 1). Select another one: make PYTHON=/path/to/python3.12"
}

# On Debian and Ubuntu the module venv is in a package apart from Python.
venv_package() {
    local python
    has_venv && return
    python="$(interpreter)"
    makes_venv "$python" || "$python" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))'
}

system() {
    if ! command -v apt-get >/dev/null; then
        say "apt is not available; if no window opens, install Qt's xcb libraries, Mesa and Xvfb."
        return
    fi
    local extra names
    extra="$(venv_package)"
    # shellcheck disable=SC2086 # lists of names
    names="$(missing $LIBRARIES $extra)"
    # shellcheck disable=SC2086
    [ -z "$names" ] || apt_install $names
}

venv() {
    local python
    has_venv && return
    python="$(interpreter)"
    makes_venv "$python" || fail "$python cannot create virtual environments: install the package python3-venv of your system."
    say "creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

install() {
    local target=".[$1]" limits=(-c constraints.txt) pip=(.venv/bin/python -m pip --disable-pip-version-check)
    # Compiled once here, by uv if asked and by pip by default: where Python does not write bytecode itself, as in
    # many containers, each import of TensorFlow would compile it anew, in every engine and every test process.
    local uv=(.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python)
    say "installing the package and its dependencies into .venv (two gigabytes; a minute or two)"
    # uv takes half a minute where pip takes three; if it cannot be installed, pip does the same.
    "${pip[@]}" install --quiet "${limits[@]}" uv || uv=(false)
    # PyTorch first: PyPI's build brings gigabytes of GPU libraries. uv knows the index of the CPU builds; if that
    # cannot be reached, pip installs what its configuration finds. An installed PyTorch is left alone.
    case ",$1," in *,torch,*)
        UV_HTTP_RETRIES=0 "${uv[@]}" --torch-backend cpu --no-deps "${limits[@]}" torch 2>/dev/null ||
            "${pip[@]}" install -qq --no-deps "${limits[@]}" torch ||
            fail "PyTorch could not be installed: see pip's message above." ;;
    esac
    if "${uv[@]}" "${limits[@]}" -e "$target"; then
        return
    fi
    say "uv did not work; continuing with pip, which takes longer"
    "${pip[@]}" install --quiet "${limits[@]}" -e "$target" ||
        fail "the packages could not be installed: see pip's message above."
}

case "${1:-}" in
    system | venv) "$1" ;;
    install) install "${2:?which extras}" ;;
    *) fail "usage: tools/setup.sh system | venv | install EXTRA[,...]" ;;
esac
