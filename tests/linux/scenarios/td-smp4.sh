#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# One TD of four vCPUs.
# smp: 4
. "${0%/*}/lib.sh"

run 'TD of 4 vCPUs' tdlaunch --vcpus 4
run 'TD of 4 vCPUs, again' tdlaunch --vcpus 4 --quiet
finish
