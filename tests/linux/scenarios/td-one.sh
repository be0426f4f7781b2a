#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# One TD of one vCPU, then TDs that end by a fatal error and by a triple fault.
# smp: 2
. "${0%/*}/lib.sh"

run 'TD' tdlaunch
run 'TD that accepts 32 MiB' tdlaunch --mem 64 --accept 32 --quiet
run 'TD that reports a fatal error' tdlaunch --mode fatal
run 'TD with a triple fault' tdlaunch --mode triple
finish
