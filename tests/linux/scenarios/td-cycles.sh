#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fifty TDs one after the other leave L1's memory where it was.
# machine: smp=2 mem=3G
# timeout: 420

check() {       # check TEXT COMMAND...
    text=$1
    shift
    if "$@"; then
        echo "ok - $text"
    else
        echo "not ok - $text"
    fi
}

meminfo() {     # meminfo FIELD: KiB
    awk -v field="$1:" '$1 == field { print $2 }' /proc/meminfo
}

# Free pages on the CPUs' own lists are not in MemFree, and there may be 20 MiB of them.
on_cpu_lists() {
    awk '$1 == "count:" { pages += $2 } END { print 4 * pages }' /proc/zoneinfo
}

drop_caches() {
    sync
    echo 3 > /proc/sys/vm/drop_caches
    sleep 1
}

# The first ones fill caches of all kinds.
tdlaunch --quiet --cycles 10 || exit
drop_caches
slab=$(meminfo Slab)
before=$(($(meminfo MemFree) + $(on_cpu_lists) + slab))
tdlaunch --quiet --cycles 50 || exit
drop_caches
slab_grew=$(($(meminfo Slab) - slab))
lost=$((before - $(meminfo MemFree) - $(on_cpu_lists) - slab - slab_grew))

# One page that each TD leaks would be 200 KiB; what else there is stays below 50 KiB.
check "50 TDs leak no page ($lost KiB lost)" [ $lost -lt 150 ]
# Slab caches settle within about 300 KiB; more than 10 KiB a TD is no settling.
check "50 TDs leak no slab objects ($slab_grew KiB more)" [ $slab_grew -lt 512 ]
