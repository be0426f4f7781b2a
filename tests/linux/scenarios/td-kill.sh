#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A TD that is killed while it runs is torn down cleanly, and the next one works.
# smp: 4
# timeout: 300
. "${0%/*}/lib.sh"

tolerance=2048      # three TDs of 24 MiB each are killed: this cannot hide one of them

kill_one() {        # kill_one NAME OPTIONS...: waits until the TD runs, kills the launcher
    name=$1
    shift
    tdlaunch --hold --quiet "$@" > "$scratch.hold" 2>&1 &
    pid=$!
    tries=0
    while ! grep -q running "$scratch.hold" && [ -d "/proc/$pid" ] && [ $tries -lt 1000 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    sleep 0.5
    cat "$scratch.hold"
    check "$name: runs" grep -q running "$scratch.hold"
    check "$name: still there" kill -0 "$pid"
    kill -9 "$pid"
    wait "$pid"
    check "$name: killed by SIGKILL" [ $? -eq 137 ]
}

returned() {        # returned BEFORE AFTER
    [ $(($1 - $2)) -le $tolerance ]
}

run 'TD before' tdlaunch --quiet
free=$(meminfo MemFree)
kill_one 'TD of 1 vCPU'
kill_one 'TD of 4 vCPUs' --vcpus 4
kill_one 'TD of 2 vCPUs' --vcpus 2
sleep 1
free_after=$(meminfo MemFree)
echo "# MemFree $free kB, then $free_after kB"
check "MemFree is back within $tolerance kB" returned "$free" "$free_after"
run 'TD after' tdlaunch --vcpus 4 --quiet
finish
