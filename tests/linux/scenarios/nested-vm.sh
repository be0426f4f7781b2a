#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# An ordinary VM of two vCPUs under KVM in L1.
# smp: 2
. "${0%/*}/lib.sh"

run 'SHA-384 of the launcher' sha384check
run 'nested VM' vmtest
run 'nested VM, again' vmtest
finish
