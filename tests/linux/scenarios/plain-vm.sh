#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# An ordinary VM under KVM, beside the module and on a machine without it.
# machine: smp=2 mem=3G
# machine: smp=2 mem=2G tdx=no
# machine: smp=1 mem=2G tdx=no
# timeout: 120

exec vmtest
