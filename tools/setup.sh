#!/usr/bin/env bash
# Set up what `make` needs, and nothing that is there already.
#
#   tools/setup.sh system                system libraries for Qt and OpenGL, through apt on Debian and Ubuntu
#   tools/setup.sh venv                  .venv, with the first of python3, python3.13, python3.12, python3.11 that fits
#   tools/setup.sh install EXTRA[,...]   the package, editable, with these extras, into .venv
#
# PYTHON=... names another interpreter.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LIBRARIES="fonts-dejavu-core libdbus-1-3 libegl1 libfontconfig1 libgl1 libgl1-mesa-dri libglib2.0-0 libx11-xcb1
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-xfixes0 libxcb-xinerama0 libxkbcommon-x11-0 x11-utils xvfb"

say() { echo "napari-saliency: $*"; }
fail() { say "$@" >&2; exit 1; }

# Names of those packages that are neither installed nor provided by one that is (libglib2.0-0 is now libglib2.0-0t64).
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
            say "there is neither root nor sudo here, going on without these system packages: $*."
            return
        fi
        root=(sudo)
    fi
    say "installing system packages: $*"
    local quiet=(env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq -o Dpkg::Use-Pty=0)
    # An index that cannot be reached is no reason to stop: the packages may be in the lists at hand.
    "${root[@]}" "${quiet[@]}" update || say "apt-get update failed; trying with the lists that are there"
    "${root[@]}" "${quiet[@]}" install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install: $*. The lines above say why."
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
        "$("${PYTHON:-python3}" --version 2>&1 | tail -n 1). Name another with: make PYTHON=/path/to/python3.12"
}

# Debian and Ubuntu pack what makes virtual environments apart from Python.
venv_package() {
    local python
    has_venv && return
    python="$(interpreter)"
    makes_venv "$python" || "$python" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))'
}

system() {
    if ! command -v apt-get >/dev/null; then
        say "this is neither Debian nor Ubuntu; if a window does not open, install Qt's xcb libraries, Mesa and Xvfb."
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
    makes_venv "$python" || fail "$python cannot make virtual environments: install your system's python3-venv."
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

install() {
    local target=".[$1]" limits=(-c constraints.txt) pip=(.venv/bin/python -m pip --disable-pip-version-check)
    local uv=(.venv/bin/uv pip install --quiet --python .venv/bin/python)
    say "installing the package and what it needs into .venv (two gigabytes; a minute or so)"
    # First, and by pip: on PyPI it brings gigabytes for graphics cards, so a build for the processor alone is looked
    # for, on PyTorch's own index and wherever pip's configuration says, which uv would not do. Where there is none,
    # or the index cannot be reached, it is PyPI's. What is there already is left alone.
    case ",$1," in *,torch,*)
        "${pip[@]}" install -qq --no-deps --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu \
            "${limits[@]}" torch || fail "PyTorch could not be installed; pip says why above." ;;
    esac
    # uv does in half a minute what takes pip three; where it cannot be had, pip does the same.
    if "${pip[@]}" install --quiet "${limits[@]}" uv && "${uv[@]}" "${limits[@]}" -e "$target"; then
        return
    fi
    say "uv did not work here; going on with pip, which takes longer"
    "${pip[@]}" install --quiet "${limits[@]}" -e "$target" || fail "the packages could not be installed; pip says why above."
}

case "${1:-}" in
    system | venv) "$1" ;;
    install) install "${2:?which extras}" ;;
    *) fail "usage: tools/setup.sh system | venv | install EXTRA[,...]" ;;
esac
