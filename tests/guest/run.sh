#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Build and run the freestanding guest tests: run.sh QEMU FIRMWARE_DIR [TEST...]
#
# Each test is one program in a -bios image.  Prints TAP; the exit status is 0
# if every check of every test passed.
#   GUEST_TIMEOUT   seconds for one test (20)
#   GUEST_CPU       CPU model (tdx)
#   GUEST_ARGS      further arguments for the emulator
#   GUEST_CFLAGS    further compiler flags, e.g. -DROUNDS=100000 -DSEED=7 (fuzz)
set -u

[ $# -ge 2 ] || { echo "usage: $0 QEMU FIRMWARE_DIR [TEST...]" >&2; exit 2; }
qemu=$1 firmware=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
case $qemu in */*) qemu=$(cd "$(dirname "$qemu")" && pwd)/$(basename "$qemu") ;; esac
firmware=$(cd "$firmware" && pwd) || exit 2
cd "$here" || exit 2
out=$(mktemp -d "${TMPDIR:-/tmp}/guest.XXXXXX") || exit 2
trap 'rm -rf "$out"' EXIT
trap 'exit 2' INT TERM HUP
cpu=${GUEST_CPU:-tdx}
seam="-object tdx-module,id=tdx0"
pamt="$seam,dynamic-pamt=on"

# name|CPUs|further arguments|program, if not of that name
tests="
cpuid_msr|2|
vmx_insn|1|
vmx_entry|1|
vmx_checks|1|
vmx_exit|1|
vmx_event|1|
vmx_state|1|
vmx_debug|1|
vmx_desc|1|
vmx_mtf|2|
vmx_apic|2|
vmx_modes|1|
vmx_tlb|1|
vmx_smp|2|
ept|1|
pml|1|
apicv|2|
seam_none|1|
seam_insn|1|$seam
seam_sys|2|$seam
seam_mng|2|$seam
seam_mem|1|$seam
seam_pages|1|$seam
seam_td|1|$seam
seam_smp|2|$seam
seam_ve|1|$seam
seam_life|2|$seam
seam_pamt|1|$pamt
seam_pamt_leaves|1|$pamt
seam_pamt_smp|2|$pamt
seam_pamt_unused|1|$pamt
seam_callsite|1|$pamt
seam_mem_unused|1|$pamt|seam_mem
seam_pages_unused|1|$pamt|seam_pages
vmx_stress|2|
vmx_fuzz|1|
seam_fuzz|2|$seam
seam_fuzz_pamt|2|$pamt|seam_fuzz
"
# The same; they run only by name.
benchmarks="
$(for n in 1 2 4; do
    echo "bench_dynamic_$n|$n|$pamt|bench_pamt"
    echo "bench_static_$n|$n|$seam|bench_pamt"
done)
bench_vmexit|1|
"

for name; do
    echo "$tests$benchmarks" | grep -q "^$name|" ||
        { echo "$0: no test '$name'" >&2; exit 2; }
done

cflags="-std=gnu11 -Os -g -Wall -Wextra -Wno-unused-parameter -Werror -m64
  -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables
  -fcf-protection=none -fno-strict-aliasing -mno-red-zone -mgeneral-regs-only
  -fno-tree-loop-distribute-patterns -Wno-array-bounds -Ilib
  -I../../include ${GUEST_CFLAGS:-}"

build_lib()
{
    for f in lib/*.c lib/*.S; do
        o=$out/lib_$(basename "$f" | tr . _).o
        # shellcheck disable=SC2086
        gcc $cflags -c "$f" -o "$o" || return 1
    done
}

build()     # TEST
{
    # shellcheck disable=SC2086
    gcc $cflags -c "$1.c" -o "$out/$1.o" &&
    gcc -static -nostdlib -no-pie -Wl,-T,lib/link.ld -Wl,--build-id=none \
        -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
        "$out/$1.o" "$out"/lib_*.o -o "$out/$1.elf" &&
    objcopy -O binary --gap-fill 0xff -j .text -j .boot "$out/$1.elf" "$out/$1.rom"
}

run()       # TEST CPUS ARGS: the program's lines, then how it ended
{
    # shellcheck disable=SC2086
    timeout "${GUEST_TIMEOUT:-20}" "$qemu" -L "$firmware" -M q35 -m 512 -smp "$2" \
        -cpu "$cpu" -global apic-common.vapic=off -nodefaults -display none \
        -no-reboot -monitor none -serial none -debugcon stdio \
        -device isa-debug-exit,iobase=0xf4,iosize=4 \
        -bios "$out/$1.rom" $3 ${GUEST_ARGS:-} </dev/null 2>"$out/stderr"
    status=$?
    sed 's/^/# /' "$out/stderr"
    case $status in
    33|35) ;;
    124) echo "not ok - $1: ends within ${GUEST_TIMEOUT:-20} s" ;;
    *)   echo "not ok - $1: the emulator ends by isa-debug-exit (status $status)" ;;
    esac
}

all()
{
    build_lib || { echo "not ok - the library builds"; return; }
    [ $# -gt 0 ] && list=$tests$benchmarks || list=$tests
    echo "$list" | while IFS='|' read -r name cpus args program; do
        [ -n "$name" ] || continue
        case " $* " in "  "|*" $name "*) ;; *) continue ;; esac
        program=${program:-$name}
        build "$program" || { echo "not ok - $name: builds"; continue; }
        run "$program" "$cpus" "$args"
    done
}

all "$@" | awk '
    /^(not )?ok - / { n++; sub(/ok - /, "ok " n " - "); if (/^not/ && !/# TODO/) bad++ }
    { print; fflush() }
    END { print "1.." n + 0; exit bad || !n }'
