#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# KVM's own selftests: ordinary VMs, and VMX as KVM gives it to its guests.
# machine: smp=2 mem=4G tdx=no
# share: selftests
# timeout: 400

mount | grep -q ' /mnt/share ' || exit 1
exec sh /tests/selftests.sh /mnt/share
