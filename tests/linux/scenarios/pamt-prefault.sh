#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# KVM maps a TD's memory before the TD runs, on four vCPUs at once.
# machine: smp=4 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

mib=48

tdlaunch --mode fill --vcpus 4 --accept $mib --mem 96 --prefault || exit
tdlaunch --mode convert --vcpus 4 --accept 1 --prefault
