#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# TDs are killed while they are made, while they fault and while they convert memory;
# all of their memory comes back, and the next TD runs as ever.
# machine: smp=4 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

. /tests/scenario.sh

mib=16

flood() {       # in the background, $pid
    : > /tmp/flood      # nothing of the last one
    tdlaunch --mode flood --vcpus 4 --accept $mib --mem 64 > /tmp/flood 2>&1 &
    pid=$!
}

flood
wait_for running /tmp/flood
killed $pid
before=$(free_memory)
for delay in 0.02 0.06 0.2; do
    flood
    sleep $delay
    check "killed $delay s after it began" killed $pid
done
for delay in 0 0.05 0.2 0.6 1.5; do
    flood
    check "a TD runs" wait_for running /tmp/flood
    sleep $delay
    check "killed $delay s after it ran" killed $pid
done
lost=$((before - $(free_memory)))
# A TD of these that is not torn down, or the pages of one, would be MiB.
check "all memory came back ($lost KiB lost)" [ $lost -lt 1024 ]
tdlaunch --vcpus 4
