#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What ./tdxemu demo shows from inside L1: the module's lines, a TD, one of 4 vCPUs, three at once.
failed=0

title() {
    printf '\n-- %s\n' "$1"
}

title 'L1: the TDX module'
dmesg | grep -iE 'tdx' || failed=1
title 'L1: a TD of 1 vCPU'
tdlaunch || failed=1
title 'L1: a TD of 4 vCPUs'
tdlaunch --vcpus 4 --quiet || failed=1
title 'L1: three TDs at once'
tdlaunch --tds 3 --quiet || failed=1
exit $failed
