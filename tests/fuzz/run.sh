#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Build and run the fuzz targets: run.sh QEMU_BUILD_DIR [ROUNDS [SEED]]
#
# The VMX code is compiled anew, with the flags that the emulator's build has for
# it plus ASan and UBSan, and linked with qemu_stubs.c instead of with QEMU.
# Prints TAP; the exit status is 0 if there was no finding.
set -u

[ $# -ge 1 ] || { echo "usage: $0 QEMU_BUILD_DIR [ROUNDS [SEED]]" >&2; exit 2; }
build=$(cd "$1" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$(mktemp -d "${TMPDIR:-/tmp}/fuzz.XXXXXX") || exit 2
trap 'rm -rf "$out"' EXIT
trap 'exit 2' INT TERM HUP

# The compiler with its -I, -D and -std options, and QEMU's tree.
flags=$(python3 - "$build/compile_commands.json" <<'END'
import json, shlex, sys
for entry in json.load(open(sys.argv[1])):
    if entry['file'].endswith('target/i386/tcg/vmx/checks.c'):
        words = iter(shlex.split(entry['command']))
        keep = []
        for word in words:
            if word in ('-iquote', '-isystem'):
                keep += [word, next(words)]
            elif word.startswith(('-I', '-D', '-std', '-isystem', '-m', '-fwrapv',
                                  '-fno-strict')):
                keep.append(word)
        print(' '.join(shlex.quote(w) for w in keep))
        print(entry['file'][:-len('target/i386/tcg/vmx/checks.c')])
        break
else:
    sys.exit('no flags for checks.c')
END
) || { echo "not ok - the emulator's build tells its flags"; echo 1..1; exit 1; }
tree=$(echo "$flags" | tail -n 1)
flags=$(echo "$flags" | head -n 1)

cd "$build" || exit 2
# What is not in qemu_stubs.c is not reached; a call of it would end the run.
for source in "$root"/target/i386/tcg/vmx/*.c "$here"/*.c \
              "$tree"target/i386/tcg/system/misc_helper.c; do
    eval "${CC:-cc} -I'$root/include' -I'$root/target/i386/tcg/vmx' $flags \
        -O1 -g -w -fno-pie -fsanitize=address,undefined -fno-sanitize-recover=all \
        -c '$source' -o '$out/$(basename "$source").o'" ||
        { echo "not ok - $(basename "$source") compiles"; echo 1..1; exit 1; }
done
${CC:-cc} -no-pie -fsanitize=address,undefined \
    -Wl,--unresolved-symbols=ignore-all "$out"/*.o -o "$out/vmx_entry" -lglib-2.0 ||
    { echo "not ok - vmx_entry links"; echo 1..1; exit 1; }
shift
ASAN_OPTIONS=detect_leaks=0 "$out/vmx_entry" "$@" || {
    status=$?
    [ $status -eq 1 ] && exit 1
    echo "not ok - vmx_entry ends by itself (status $status)"
    echo 1..1
    exit 1
}
