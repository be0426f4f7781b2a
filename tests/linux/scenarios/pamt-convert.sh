#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Memory turns shared and private again in a loop, on one vCPU and on four at once: in
# single pages, in ranges of 2 MiB and in ranges of 32 KiB.
# machine: smp=4 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

mib=2
rounds=3

tdlaunch --mode convert --accept $mib --rounds $rounds || exit
tdlaunch --mode convert --vcpus 4 --accept $mib --rounds $rounds
