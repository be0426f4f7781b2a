#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# TDs that are killed while they run are torn down; the next one runs as ever.
# machine: smp=4 mem=4G
# timeout: 180

. /tests/scenario.sh

for vcpus in 1 4; do
    : > /tmp/hold           # nothing of the last one
    tdlaunch --hold --vcpus $vcpus > /tmp/hold &
    pid=$!
    check "a TD with $vcpus vCPUs runs" wait_for running /tmp/hold
    check "SIGKILL ends it" killed $pid
done
tdlaunch
