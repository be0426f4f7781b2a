#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# One TD with one vCPU, on one CPU and on several; its measurement is recomputed. With
# Dynamic PAMT in the module only, in the kernel only, and in both.
# machine: smp=1 mem=3G
# machine: smp=4 mem=4G
# machine: smp=4 mem=4G module=dynamic-pamt=on
# machine: smp=4 mem=4G kernel=dynamic-pamt
# machine: smp=4 mem=4G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 150

sha384check || exit
tdlaunch
