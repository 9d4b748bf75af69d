#!/usr/bin/env bash
# Run a command on its own virtual display, with software OpenGL, and exit with its status.
#
#   tools/xvfb.sh COMMAND [ARGUMENT...]
#   tools/xvfb.sh --probe                 succeed if a display is available already
#
# Xvfb itself picks a free display number (-displayfd), so that any number of runs can go in parallel.
set -euo pipefail

has_display() {
    [ -n "${WAYLAND_DISPLAY:-}" ] && return 0
    case "${DISPLAY:-}" in
        "") return 1 ;;
        :*) # local: a server must be listening on its socket, named or abstract
            local number="${DISPLAY#:}"
            number="${number%%.*}"
            [ -S "/tmp/.X11-unix/X$number" ] || grep -q "@/tmp/.X11-unix/X$number\$" /proc/net/unix 2>/dev/null ;;
        *) return 0 ;;
    esac
}

if [ "${1:-}" = "--probe" ]; then
    has_display
    exit
fi

command -v Xvfb >/dev/null || { echo "Xvfb is not installed: run 'make system', or install the package xvfb of your system." >&2; exit 1; }

scratch="$(mktemp -d)"
server=""
# shellcheck disable=SC2317 # called by the trap
finish() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Xvfb creates the folder of the sockets only if it runs as root.
mkdir -m 1777 /tmp/.X11-unix 2>/dev/null || true
mkfifo "$scratch/number"
Xvfb -displayfd 3 -screen 0 1600x1000x24 -nolisten tcp -noreset 3>"$scratch/number" 2>"$scratch/log" &
server=$!
number=""
read -r -t 60 number <"$scratch/number" || true
if [ -z "$number" ]; then
    echo "Xvfb did not start:" >&2
    cat "$scratch/log" >&2
    exit 1
fi

unset WAYLAND_DISPLAY
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$scratch}"
# Without the user's settings: windows and screenshots look as on a first start.
export XDG_CONFIG_HOME="$scratch/config" NAPARI_CONFIG="$scratch/napari.yaml"
export DISPLAY=":$number" QT_QPA_PLATFORM=xcb XDG_SESSION_TYPE=x11 LIBGL_ALWAYS_SOFTWARE=1
code=0
"$@" || code=$?
exit "$code"
