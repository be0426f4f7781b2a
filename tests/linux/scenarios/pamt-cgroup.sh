#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A memory cgroup's limit ends a TD that faults beyond it, and nothing of it stays.
# machine: smp=2 mem=3G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

. /tests/scenario.sh

limit=96        # MiB
fits=32
big=160

group=/sys/fs/cgroup/td
if ! mount -t cgroup2 none /sys/fs/cgroup ||
        ! grep -qw memory /sys/fs/cgroup/cgroup.controllers; then
    echo "ok - a limit ends a TD # SKIP needs CONFIG_MEMCG"
    exit
fi
echo +memory > /sys/fs/cgroup/cgroup.subtree_control
mkdir -p $group
if ! echo ${limit}M > $group/memory.max; then
    echo "not ok - a memory cgroup takes a limit of $limit MiB"
    exit 1
fi

fill() {        # fill MIB: a TD in the cgroup
    sh -c "echo \$\$ > $group/cgroup.procs; exec tdlaunch --mode fill --vcpus 2 \
        --accept $1 --mem 256 --quiet"
}

oom_kills() {
    awk '$1 == "oom_kill" { print $2 }' $group/memory.events
}

check "a TD of $fits MiB fits" fill $fits
before=$(free_memory)
for round in 1 2 3; do
    fill $big
    check "a TD of $big MiB is killed ($round)" [ $? = 137 ]
    check "by the limit of $limit MiB" [ "$(oom_kills)" -ge "$round" ]
done
lost=$((before - $(free_memory)))
check "all memory came back ($lost KiB lost)" [ $lost -lt 1024 ]
check "a TD of $fits MiB fits as before" fill $fits
check "the cgroup is empty and goes" rmdir $group
