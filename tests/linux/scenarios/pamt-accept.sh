#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A TD accepts all of its memory, many 2 MiB regions of L1's, on four vCPUs at once.
# machine: smp=4 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# pamt: deepest-pairs
# timeout: 240

mib=256

exec tdlaunch --mode fill --vcpus 4 --accept $mib --mem $((mib + 16)) --timeout 200
