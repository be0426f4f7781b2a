#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Three TDs at once.
# machine: smp=4 mem=4G
# timeout: 180

exec tdlaunch --tds 3
