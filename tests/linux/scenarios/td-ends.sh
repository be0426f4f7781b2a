#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A TD that reports a fatal error, and one that shuts down by a triple fault.
# machine: smp=2 mem=3G
# timeout: 150

status=0
for mode in fatal triple; do
    tdlaunch --mode $mode || status=1
done
exit $status
