#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# One TD with one vCPU, on one CPU and on several; its measurement is recomputed.
# machine: smp=1 mem=3G
# machine: smp=4 mem=4G
# timeout: 150

sha384check || exit
tdlaunch
