#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Build the module model and its unit tests with ASan and UBSan, and run them:
# TAP of all test programs on standard output; status 1 if any failed.
# Usage: run.sh [TEST...]     e.g. run.sh test-sys
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../../..
out=${TDXMOD_TEST_BUILD:-${TMPDIR:-/tmp}/tdxmod-tests.$(id -u)}
mkdir -p "$out"

cflags="-std=gnu11 -g -O1 -Wall -Wextra -Wno-missing-field-initializers
        -Werror=implicit-function-declaration
        -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
        -I$top/include -I$here/../include -I$here/../src -I$here
        $(pkg-config --cflags glib-2.0)"
libs="-fsanitize=address,undefined $(pkg-config --libs glib-2.0) -lpthread"
sources=$(sed -n "s|^ *'\(.*\.c\)',\$|\1|p" "$here/../src/meson.build")

{
    printf 'CC ?= cc\nall:'
    for t in "$here"/test-*.c; do printf ' %s' "$(basename "$t" .c)"; done
    objs=
    for s in $sources; do objs="$objs ${s%.c}.o"; done
    for s in "$here"/*.c; do
        case $s in */test-*) ;; *) objs="$objs tests-$(basename "$s" .c).o" ;; esac
    done
    printf '\nobjs =%s\n-include *.d\n' "$objs"
    for s in $sources; do
        printf '%s: %s\n\t$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<\n' "${s%.c}.o" "$here/../src/$s"
    done
    for s in "$here"/*.c; do
        n=$(basename "$s" .c)
        printf 'tests-%s.o: %s\n\t$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<\n' "$n" "$s"
        case $n in
        test-*) printf '%s: tests-%s.o $(objs)\n\t$(CC) -o $@ $^ $(LIBS)\n' "$n" "$n" ;;
        esac
    done
} > "$out/Makefile"
if ! make -s -C "$out" -j"$(nproc)" CFLAGS="$(echo $cflags)" LIBS="$libs" all \
        > "$out/build.log" 2>&1; then
    cat "$out/build.log" >&2
    echo "Bail out! tdxmod's unit tests do not build: $out/build.log"
    exit 1
fi
cat "$out/build.log" >&2

status=0
for t in "$here"/test-*.c; do
    name=$(basename "$t" .c)
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    echo "# $name"
    if ! "$out/$name" --tap; then
        echo "# $name failed"
        status=1
    fi
done
exit $status
