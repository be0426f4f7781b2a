#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Page allocations of L1 fail, one after the other: a TD is not made and leaves nothing
# behind, or it comes up; a TD that runs takes its faults again until they succeed.
# machine: smp=2 mem=3G kernel=dynamic-pamt module=dynamic-pamt=on
# timeout: 240

. /tests/scenario.sh

every='2 5 11'          # allocations from one that fails to the next
step=5                  # in making a TD: 1, 1 + step, ...
mib=2

mount -t debugfs debugfs /sys/kernel/debug 2> /dev/null
faults=/sys/kernel/debug/fail_page_alloc
if [ ! -d $faults ]; then
    echo "ok - page allocations fail # SKIP needs CONFIG_FAIL_PAGE_ALLOC and its debugfs"
    exit
fi
echo 0 > $faults/verbose
echo 0 > /sys/kernel/debug/failslab/verbose 2> /dev/null
echo 0 > $faults/min-order
echo N > $faults/ignore-gfp-wait

run() {
    tdlaunch --mode fill --vcpus 2 --accept $mib "$@"
}

run --quiet || exit
before=$(free_memory)
n=1
# Each TD is told of an allocation later than the last one, until there is none.
while run --quiet --fail-create $n > /tmp/out 2>&1 &&
        grep -q 'a page allocation failed' /tmp/out; do
    n=$((n + step))
done
grep '^not ok' /tmp/out
check "all of them end with ENOMEM or run, $n allocations" grep -q ' 0 failed' /tmp/out
check "at least ten allocations were made to fail" [ $n -gt $((10 * step)) ]

echo N > $faults/ignore-gfp-highmem     # the TD's own pages fail, too
for n in $every; do
    run --fail-every "$n" --migrate 3      # so that it often enters KVM_RUN anew
done
lost=$((before - $(free_memory)))
check "all memory came back ($lost KiB lost)" [ $lost -lt 1024 ]
run --quiet
