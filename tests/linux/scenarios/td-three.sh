#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Three TDs of two vCPUs at once.
# smp: 4
. "${0%/*}/lib.sh"

run 'three TDs at once' tdlaunch --tds 3 --vcpus 2
run 'three TDs at once, three times in a row' tdlaunch --tds 3 --cycles 3 --quiet
finish
