#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Configure (when needed) and build the emulator:
#   build.sh QEMU_TREE BUILD_DIR [JOBS]
# The options are in configure-options beside this script; meson >= 1.5 has to be
# in PATH. ccache is used where it is installed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$1" && pwd)
mkdir -p "$2"
build=$(cd "$2" && pwd)
jobs=${3:-$(nproc)}

options=$(sed -e 's/#.*//' "$here/configure-options")
cc=cc
if command -v ccache > /dev/null; then
    cc="ccache cc"
fi
stamp="$tree $cc $options"
if [ ! -f "$build/build.ninja" ] || [ "$stamp" != "$(cat "$build/.configured")" ]; then
    # shellcheck disable=SC2086  # one option a word
    (cd "$build" && "$tree/configure" --cc="$cc" $options)
    echo "$stamp" > "$build/.configured"
fi
exec ninja -j "$jobs" -C "$build" qemu-system-x86_64
