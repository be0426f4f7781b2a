#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Eight vCPUs on four CPUs accept neighbouring pages at once, and give them back at once,
# over and over: they race for the first page of a region and for its last. Then two TDs.
# machine: smp=8 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

mib=4
rounds=3

taskset f tdlaunch --mode storm --vcpus 8 --accept $mib --rounds $rounds || exit
taskset f tdlaunch --mode storm --tds 2 --vcpus 4 --accept $mib --rounds $rounds
