# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# What several scenarios need; they read this file in. It runs nothing itself.

check() {       # check TEXT COMMAND...: one result line
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

# KiB free or in slab caches, which grow and shrink by themselves. The most of several
# looks: page tables of what looks alone are 100 KiB at one time and 300 at another.
free_memory() {
    sync
    echo 3 > /proc/sys/vm/drop_caches
    most=0
    for _ in 1 2 3 4 5 6; do
        sleep 0.3
        now=$(($(meminfo MemFree) + $(on_cpu_lists) + $(meminfo Slab)))
        if [ "$now" -gt $most ]; then
            most=$now
        fi
    done
    echo $most
}

wait_for() {    # wait_for TEXT FILE: until the file has it, for at most a minute
    tries=0
    while ! grep -q "$1" "$2" && [ $tries -lt 600 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    grep -q "$1" "$2"
}

killed() {      # killed PID: SIGKILL ended it
    kill -KILL "$1"
    wait "$1" 2> /dev/null
    [ $? = 137 ]
}
