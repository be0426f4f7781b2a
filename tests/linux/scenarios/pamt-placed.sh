#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Page pairs lie in the region that they serve, in regions without a pair, and in other
# regions with one.
# machine: smp=2 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# pamt: placed-own placed-unbacked placed-backed deepest-pairs
# timeout: 240

mib=8

# Memory in one piece: a pair is next to what it is for, or in the region before that.
tdlaunch --mode fill --vcpus 2 --accept $mib || exit
# N free pages in each of many regions, on one CPU so that its list deals them.
for pages in 1 3; do
    taskset 1 tdlaunch --mode fill --vcpus 2 --accept $mib --scatter 256 \
        --scatter-pages $pages || exit
done
