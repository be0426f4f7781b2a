#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds what runs inside L1: tdlaunch and its payload, vmtest and its guest, small helpers.
# usage: tests/linux/build.sh OUTDIR      (CC, LD, OBJCOPY may be set)
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 OUTDIR" >&2
    exit 1
fi
src=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
CC=${CC:-gcc}
LD=${LD:-ld}
OBJCOPY=${OBJCOPY:-objcopy}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

host_flags="-O2 -g -std=gnu11 -Wall -Wextra -Werror -static -pthread"
# The payload lies between 2 and 4 GiB: code must be independent of its address.
guest_flags="-m64 -O2 -std=gnu11 -Wall -Wextra -Werror -ffreestanding -fpie
    -fvisibility=hidden -mgeneral-regs-only -mno-red-zone -fno-stack-protector
    -fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns"

host() {        # host PROGRAM SOURCE...
    program=$1
    shift
    (cd "$src" && $CC $host_flags -o "$tmp/$program" "$@")
    mv "$tmp/$program" "$out/$program"
}

flat() {        # flat IMAGE LINKER-SCRIPT SOURCE...
    image=$1
    script=$2
    shift 2
    objects=
    for file in "$@"; do
        $CC $guest_flags -I"$src" -c "$src/$file" -o "$tmp/$image-$file.o"
        objects="$objects $tmp/$image-$file.o"
    done
    $LD -m elf_x86_64 -static -nostdlib -z noexecstack -z norelro -z max-page-size=4096 \
        --no-warn-rwx-segments -T "$src/$script" -o "$tmp/$image.elf" $objects
    $OBJCOPY -O binary "$tmp/$image.elf" "$tmp/$image.bin"
    chmod 644 "$tmp/$image.elf" "$tmp/$image.bin"   # data: nothing to run in L1
    mv "$tmp/$image.elf" "$out/$image.elf"
    mv "$tmp/$image.bin" "$out/$image.bin"
}

host tdlaunch tdlaunch.c td_vm.c td_run.c td_group.c td_stress.c td_measure.c sha384.c
host memhog memhog.c
host vmtest vmtest.c
host vmboot vmboot.c
host vmbootinit vmbootinit.c
host sha384check sha384check.c sha384.c
host kexecinto kexecinto.c
flat payload payload.ld payload_entry.S payload.c payload_ve.c payload_mem.c \
    payload_smp.c payload_attest.c payload_load.c guest_lib.c guest_trap.S
flat vmguest vmguest.ld vmguest_entry.S vmguest.c vmguest_cpu.c vmguest_mem.c \
    vmguest_irq.c guest_lib.c guest_trap.S
[ "$(wc -c < "$out/payload.bin")" -eq 131072 ] || {
    echo "$0: payload.bin is not 128 KiB long" >&2
    exit 1
}
