#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# vCPUs go from one CPU of L1 to the next while they fault and convert memory.
# machine: smp=4 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

ms=5

tdlaunch --mode fill --vcpus 4 --accept 64 --mem 96 --migrate $ms || exit
tdlaunch --mode storm --vcpus 3 --accept 4 --rounds 2 --migrate $ms || exit
tdlaunch --mode convert --vcpus 4 --accept 2 --rounds 3 --migrate $ms
