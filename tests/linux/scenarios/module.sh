#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The module comes up on machines of all sizes, and KVM takes what it needs.
# machine: smp=1 mem=2G
# machine: smp=2 mem=3G
# machine: smp=4 mem=4G
# machine: smp=8 mem=16G
# machine: smp=2 mem=3G module=dynamic-pamt=on
# machine: smp=2 mem=3G kernel=dynamic-pamt
# timeout: 180

. /tests/scenario.sh

is_on() {
    [ "$(cat "/sys/module/kvm_intel/parameters/$1" 2> /dev/null)" = Y ]
}

in_log() {
    dmesg | grep -q "$1"
}

check "L1 initialises the module" in_log 'virt/tdx: TDX-Module initialized'
for p in ept eptad unrestricted_guest enable_apicv tdx; do
    check "kvm_intel.$p is on" is_on $p
done
check "/dev/kvm is there" [ -c /dev/kvm ]
