#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fifty TDs one after the other: no page of theirs, and no page pair, is lost.
# machine: smp=2 mem=3G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

. /tests/scenario.sh

mib=4

cycles() {
    tdlaunch --mode fill --vcpus 2 --accept $mib --quiet --cycles "$1"
}

cycles 10 || exit       # these fill caches of all kinds
before=$(free_memory)
cycles 50 || exit
lost=$((before - $(free_memory)))

# One page that each TD leaks would be 200 KiB.
check "50 TDs leak no page ($lost KiB lost)" [ $lost -lt 150 ]
