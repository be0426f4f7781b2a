#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Two TDs take L1's pages in turns, so that they share 2 MiB regions; one ends while the
# other goes on to use and to add to the same regions. Then the other way round.
# machine: smp=4 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

mib=6

for order in up down; do
    # On one CPU, whose list of free pages deals single pages to both.
    taskset 1 tdlaunch --mode turns --tds 2 --order $order --accept $mib || exit
    tdlaunch --mode turns --tds 2 --vcpus 2 --order $order --accept $mib || exit
done
