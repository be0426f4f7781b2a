#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# L1 has no memory left while a TD faults: the TD waits until another process is killed
# for its sake, and is killed itself when it is the one.
# machine: mem=3G kernel=dynamic-pamt module=dynamic-pamt=on append=memmap=1536M$256M
# timeout: 240

. /tests/scenario.sh

hogs=8          # processes that hold all memory but ...
left=16         # MiB
mib=112         # what the TD wants

# Not the shells: an OOM-SCORE-ADJUSTMENT of 1000 is killed first, of -1000 never.
for pid in $$ $PPID; do
    echo -1000 > "/proc/$pid/oom_score_adj"
done

hold() {        # hold OOM-SCORE-ADJUSTMENT: $pids
    echo 3 > /proc/sys/vm/drop_caches
    each=$((($(meminfo MemAvailable) / 1024 - left) / hogs))
    pids=
    for hog in $(seq $hogs); do
        : > /tmp/hog        # nothing of the last one
        sh -c "echo $1 > /proc/self/oom_score_adj; exec memhog $each" > /tmp/hog &
        pids="$pids $!"
        wait_for holding /tmp/hog || echo "not ok - hog $hog takes $each MiB"
    done
}

fill() {        # fill OOM-SCORE-ADJUSTMENT
    sh -c "echo $1 > /proc/self/oom_score_adj; exec tdlaunch --mode fill --vcpus 2 \
        --accept $mib --mem $((mib + 16)) --quiet"
}

release() {     # ends the hogs; how many were killed before: $gone
    gone=0
    for pid in $pids; do
        kill -TERM "$pid" 2> /dev/null
        wait "$pid"
        if [ $? = 137 ]; then
            gone=$((gone + 1))
        fi
    done
}

fill 0 || exit
before=$(free_memory)
hold 1000
check "a TD gets the memory that it waits for" fill 0
release
check "$gone of $hogs hogs were killed for it" [ $gone -gt 0 ]

hold 500
fill 1000
check "a TD is killed when it is the one" [ $? = 137 ]
release
lost=$((before - $(free_memory)))
check "all memory came back ($lost KiB lost)" [ $lost -lt 1024 ]
check "a TD runs as before" fill 0
