#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# TDs that are killed while they run are torn down; the next one runs as ever.
# machine: smp=4 mem=4G
# timeout: 180

for vcpus in 1 4; do
    tdlaunch --hold --vcpus $vcpus > /tmp/hold &
    pid=$!
    tries=0
    while ! grep -q running /tmp/hold && [ $tries -lt 600 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    if grep -q running /tmp/hold && kill -0 $pid; then
        echo "ok - a TD with $vcpus vCPUs runs"
    else
        echo "not ok - a TD with $vcpus vCPUs runs"
    fi
    kill -KILL $pid
    wait $pid
    if [ $? = 137 ]; then
        echo "ok - SIGKILL ends it"
    else
        echo "not ok - SIGKILL ends it"
    fi
done
tdlaunch
