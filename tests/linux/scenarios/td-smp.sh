#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# One TD with four vCPUs.
# machine: smp=4 mem=4G
# timeout: 150

exec tdlaunch --vcpus 4
