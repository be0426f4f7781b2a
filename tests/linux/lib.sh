# SPDX-License-Identifier: GPL-2.0-or-later
# What the scenarios share; sourced in L1 by busybox's sh. A scenario prints lines of TAP: its own
# checks and those of the programs that it runs; finish adds the plan and the exit status.

tests_run=0
tests_failed=0
scratch=/tmp/scenario.$$

ok() {          # ok NAME
    tests_run=$((tests_run + 1))
    echo "ok - $1"
}

not_ok() {      # not_ok NAME
    tests_run=$((tests_run + 1))
    tests_failed=$((tests_failed + 1))
    echo "not ok - $1"
}

check() {       # check NAME COMMAND...: passes if the command succeeds
    name=$1
    shift
    if "$@"; then
        ok "$name"
    else
        not_ok "$name"
    fi
}

count() {       # count FILE: adds up the result lines that a program has printed
    good=$(grep -c '^ok - ' "$1")
    bad=$(grep -c '^not ok - ' "$1")
    tests_run=$((tests_run + good + bad))
    tests_failed=$((tests_failed + bad))
}

run() {         # run NAME COMMAND...: passes its output on; its exit status is one check more
    name=$1
    shift
    {
        "$@" 2>&1
        echo $? > "$scratch.status"
    } | tee "$scratch.out"
    count "$scratch.out"
    check "$name: exit status 0" [ "$(cat "$scratch.status")" = 0 ]
}

bad_lines() {   # what must not be in the kernel's log
    dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace:|general protection|SEAMCALL.*failed|KVM_BUG'
}

dmesg_clean() {
    if bad_lines > "$scratch.bad"; then
        sed 's/^/# /' "$scratch.bad" | head -n 20
        return 1
    fi
}

meminfo() {     # meminfo FIELD: kilobytes, with caches dropped and per-CPU free lists drained
    sync
    echo 3 > /proc/sys/vm/drop_caches
    echo 1 > /proc/sys/vm/compact_memory
    sleep 0.2
    awk -v field="$1:" '$1 == field { print $2 }' /proc/meminfo
}

finish() {
    check "the kernel's log has no warning and no failed SEAMCALL" dmesg_clean
    rm -f "$scratch".*
    echo "1..$tests_run"
    [ "$tests_failed" = 0 ]
    exit
}
