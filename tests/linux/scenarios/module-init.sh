#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The host kernel initialises the TDX module, and KVM has what a TD needs.
# smp: 2
. "${0%/*}/lib.sh"

logged() {
    dmesg | grep -qE "$1"
}

parameter_is_y() {
    [ "$(cat "/sys/module/kvm_intel/parameters/$1" 2> /dev/null)" = Y ]
}

dmesg | grep -iE 'tdx|tme|kvm' | sed 's/^/# /'
check 'the kernel finds TDX KeyIDs' logged 'virt/tdx: BIOS enabled: private KeyID range'
check 'the TDX module is initialised' logged 'virt/tdx: TDX-Module initialized'
check 'the kernel says how much memory the PAMT takes' logged 'virt/tdx: [0-9]+ KB allocated for PAMT'
for parameter in ept eptad unrestricted_guest enable_apicv tdx; do
    check "kvm_intel.$parameter is Y" parameter_is_y "$parameter"
done
check '/dev/kvm is there' [ -c /dev/kvm ]
finish
