#!/usr/bin/env bash
# Run a command on a virtual display of its own, with OpenGL in software, and end with its exit code.
#
#   tools/xvfb.sh COMMAND [ARGUMENT...]
#   tools/xvfb.sh --probe                 succeed if there is a display at hand already
#
# Xvfb itself picks a free display number (-displayfd), so that any number of runs can go side by side.
set -euo pipefail

has_display() {
    [ -n "${WAYLAND_DISPLAY:-}" ] && return 0
    case "${DISPLAY:-}" in
        "") return 1 ;;
        :*) # on this machine: somebody must be listening on its socket, named or abstract
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

command -v Xvfb >/dev/null || { echo "Xvfb is not installed: run 'make system' or install your system's Xvfb." >&2; exit 1; }

scratch="$(mktemp -d)"
server=""
# shellcheck disable=SC2317 # reached through the trap
finish() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Only root's Xvfb makes the folder of the sockets by itself.
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
# Nobody's settings: what is photographed and shown there is what a first start shows.
export XDG_CONFIG_HOME="$scratch/config" NAPARI_CONFIG="$scratch/napari.yaml"
export DISPLAY=":$number" QT_QPA_PLATFORM=xcb XDG_SESSION_TYPE=x11 LIBGL_ALWAYS_SOFTWARE=1
code=0
"$@" || code=$?
exit "$code"
