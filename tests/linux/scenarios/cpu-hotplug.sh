#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A CPU goes and comes back, between TDs and under one: TDs run on it again.
# machine: smp=2 mem=3G
# timeout: 120

. /tests/scenario.sh

cpu1=/sys/devices/system/cpu/cpu1/online

off() {
    echo 0 > $cpu1 && [ "$(cat $cpu1)" = 0 ]
}

on() {
    echo 1 > $cpu1 && [ "$(cat $cpu1)" = 1 ]
}

for round in 1 2; do
    check "CPU 1 goes ($round)" off
    check "a TD of two vCPUs on the CPU that is left" tdlaunch --quiet --vcpus 2
    check "CPU 1 comes back" on
    check "a TD on CPU 1" taskset 2 tdlaunch --quiet
done

tdlaunch --hold --vcpus 2 > /tmp/hold &
pid=$!
check "a TD runs" wait_for running /tmp/hold
check "CPU 1 goes under it" off
check "CPU 1 comes back under it" on
check "the TD runs on" kill -0 $pid
check "it is killed" killed $pid
check "a TD on CPU 1 after that" taskset 2 tdlaunch --quiet
