#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""L1 panics while it runs a TD, and its crash kernel takes over.

Nobody disables the module on that way: it stays as the first kernel left it and refuses
to be set up again. All else must work: CPUs leave VMX and the crash kernel runs VMs.
"""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402  (sets the path to the house as well)
from again import Again  # noqa: E402

SCRIPT = '''\
case $BOOT in
1)
    line=$(sed 's/crashkernel=[^ ]*//' /proc/cmdline)
    kexecinto --on-panic bzImage initrd "$line maxcpus=1" && echo "armed"
    echo 1 > /proc/sys/kernel/unknown_nmi_panic
    tdlaunch --hold --vcpus 2 > /tmp/hold &
    wait_for running /tmp/hold
    grep -q running /tmp/hold && echo "a TD is running"
    next_by_button inject-nmi
    ;;
2)
    [ -e /proc/vmcore ] && echo "vmcore"
    vmtest > /tmp/vmtest && ! grep -q '^not ok' /tmp/vmtest && echo "a VM has run"
    dmesg | grep -o 'TDX-Module initialization failed'
    next_by_reset
    ;;
3)
    tdlaunch --quiet && echo "a TD has run"
    ;;
esac
'''


def main() -> None:
    tap = Tap()
    with tempfile.TemporaryDirectory() as name:
        l1 = Again(Path(name), SCRIPT, 2, '3G', 'crashkernel=400M')
        boots = l1.boots()
    print('\n'.join(f'# {line}' for line in str(l1).splitlines()))
    tap.check(l1.status == 0 and len(boots) == 3, 'L1 panics, and then reboots')
    first, crash, last = (boots + [[], [], []])[:3]
    tap.check('armed' in first and 'a TD is running' in first, 'a TD runs before')
    tap.check('vmcore' in crash, 'the crash kernel takes over')
    tap.check('a VM has run' in crash, 'the crash kernel runs a VM')
    tap.check('TDX-Module initialization failed' in crash,
              'the module does not let the crash kernel set it up')
    tap.check('virt/tdx: TDX-Module initialized' in last and 'a TD has run' in last,
              'a reset makes the module new')
    tap.end()


main()
