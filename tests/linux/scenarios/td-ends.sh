#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# TDs that end badly: by a fatal error, a triple fault, the use of a page not accepted.
# machine: smp=2 mem=3G
# machine: smp=2 mem=3G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 150

status=0
for mode in fatal triple unaccepted; do
    tdlaunch --mode $mode || status=1
done
exit $status
