#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fifty TDs one after the other leave L1's memory where it was.
# machine: smp=2 mem=3G
# timeout: 420

. /tests/scenario.sh

# The first ones fill caches of all kinds.
tdlaunch --quiet --cycles 10 || exit
before=$(free_memory)
slab=$(meminfo Slab)
tdlaunch --quiet --cycles 50 || exit
lost=$((before - $(free_memory)))
slab_grew=$(($(meminfo Slab) - slab))

# One page that each TD leaks would be 200 KiB.
check "50 TDs leak no page ($lost KiB lost)" [ $lost -lt 150 ]
# Slab caches settle within about 300 KiB; more than 10 KiB a TD is no settling.
check "50 TDs leak no slab objects ($slab_grew KiB more)" [ $slab_grew -lt 512 ]
