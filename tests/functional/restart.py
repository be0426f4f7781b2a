#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""L1 restarts, by resets and by kexec: the module comes up again and TDs run."""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402  (sets the path to the house as well)
from again import Again, bad_lines  # noqa: E402

# A TD in each boot, and how the boot ends.
SCRIPT = '''\
tdlaunch --quiet && echo "a TD has run"
start_td() {        # a TD that runs until its kernel goes
    tdlaunch --hold --vcpus 2 > /tmp/hold &
    wait_for running /tmp/hold
    grep -q running /tmp/hold && echo "a TD is running"
}
case $BOOT in
1) next_by_reset ;;
2) next_by_kexec ;;
3) start_td; next_by_kexec ;;
4) start_td; next_by_button system_reset ;;
esac
echo "the end"
'''

WAYS = ('first boot', 'reboot', 'kexec', 'kexec while a TD runs', 'reset while a TD runs')


def main() -> None:
    tap = Tap()
    with tempfile.TemporaryDirectory() as name:
        l1 = Again(Path(name), SCRIPT, 2, '3G')
        boots, logs = l1.boots(), l1.logs()
        told = str(l1)
    print('\n'.join(f'# {line}' for line in told.splitlines()))
    tap.check(l1.status == 0 and len(boots) == len(logs) == len(WAYS)
              and 'the end' in boots[-1], f'L1 boots {len(WAYS)} times')
    boots += [[]] * (len(WAYS) - len(boots))
    for way, said in zip(WAYS, boots):
        tap.check('virt/tdx: TDX-Module initialized' in said,
                  f'{way}: L1 initialises the module')
        tap.check('a TD has run' in said, f'{way}: a TD runs and goes')
    for number, said in enumerate(boots[2:4], 3):
        tap.check('a TD is running' in said, f'boot {number} ends under a running TD')
    # Linux takes the module from a TD's process that still runs, which it complains of.
    bad = [line for i, log in enumerate(logs) for line in bad_lines(log, dying=i == 2)]
    tap.check(not bad, 'no WARN, BUG or failed SEAMCALL in the logs of all boots',
              '\n'.join(bad))
    tap.end()


main()
