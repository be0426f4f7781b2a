#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The demo, as L1 sees it: the module's line in L1's log, then TDs.

echo "== L1's own log"
if ! dmesg | grep 'virt/tdx: '; then
    echo "L1 says nothing about TDX"
    exit 1
fi
status=0
for options in "--vcpus 1" "--vcpus 4" "--tds 3"; do
    echo
    echo "== tdlaunch $options"
    # shellcheck disable=SC2086  # options are words
    tdlaunch $options || status=1
done
exit $status
