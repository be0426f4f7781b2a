#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs KVM's selftests in L1, one result line each: selftests.sh DIR
# DIR/list has a line "PROGRAM SECONDS [ARGUMENT...]" for each test.  A test that skips
# has lost a feature that it had when it was listed: that is a failure.
set -u

dir=$1
log=/tmp/selftest.log

seconds() {
    cut -d. -f1 /proc/uptime
}

count=0
while read -r program limit arguments; do
    count=$((count + 1))
    start=$(seconds)
    # shellcheck disable=SC2086  # arguments are words
    timeout -s KILL "$limit" "$dir/$program" $arguments > $log 2>&1 < /dev/null
    status=$?
    took=$(($(seconds) - start))
    killall -q -9 "$program"            # what a killed test has left
    case $status in
    0) result=ok why="$took s" ;;
    4) result='not ok' why="it skips: $(grep SKIP $log | tail -n 1)" ;;
    137) result='not ok' why="it did not end within $limit s" ;;
    *) result='not ok' why="status $status" ;;
    esac
    echo "$result $count - $program${arguments:+ $arguments} ($why)" | tr '#' ' '
    if [ $status != 0 ]; then
        sed 's/^/# /' $log | tail -n 40
    fi
done < "$dir/list"
echo "1..$count"
