#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fifty create, run and destroy cycles give all memory back.
# smp: 2
# timeout: 600
. "${0%/*}/lib.sh"

# A TD holds more than 20 pages besides its memory (TDR, TDCS, TDVPR, TDCX, S-EPT), so a leak of
# any kind of page that every TD has would show as 200 KiB or more in 50 cycles, of all of them as
# 4 MiB. What is no leak: slabs and page tables that the kernel keeps, well below 1 MiB here.
tolerance=1024

returned() {    # returned BEFORE AFTER
    [ $(($1 - $2)) -le $tolerance ]
}

run 'three cycles to fill the caches' tdlaunch --cycles 3 --quiet
free=$(meminfo MemFree)
available=$(meminfo MemAvailable)
run 'fifty cycles' tdlaunch --cycles 50 --quiet
free_after=$(meminfo MemFree)
available_after=$(meminfo MemAvailable)
echo "# MemFree $free kB, then $free_after kB; MemAvailable $available kB, then $available_after kB"
check "MemFree is back within $tolerance kB" returned "$free" "$free_after"
check "MemAvailable is back within $tolerance kB" returned "$available" "$available_after"
finish
