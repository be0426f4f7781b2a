# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: L1 initialises the TDX module and its KVM runs trust domains."""
import json
import re
import sys
from typing import Any, Dict, List

from . import machine, paths
from .ui import Failure, say

TIMEOUT = 300
INITIALISED = re.compile(r'virt/tdx: TDX-Module initialized')


def _table(stats: List[Dict[str, Any]]) -> List[str]:
    """Rows of the module's leaf-stats as the lines of a table."""
    rows = [('leaf', 'calls', 'errors')]
    for row in stats:
        rows.append((str(row['name']), str(row['calls']), str(row['errors'])))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [f'  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}' for a, b, c in rows]


def _leaf_stats(l1: machine.L1) -> List[Dict[str, Any]]:
    return [row for row in json.loads(l1.module('leaf-stats')) if row['calls']]


class _Screen:
    """Shows L1's output, with the many checks that passed only counted."""

    def __init__(self) -> None:
        self.passed = 0
        self._rest = b''

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b'\n')
        for line in lines:
            if line.startswith(b'ok - '):
                self.passed += 1
            else:
                sys.stdout.buffer.write(line + b'\n')

    def flush(self) -> None:
        sys.stdout.flush()


def run() -> int:
    options = machine.Options(smp=4, mem='4G')
    say('== L1 boots and runs the demo')
    log = paths.LOGS / 'demo-console.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    screen = _Screen()
    with machine.L1(options, ['sh', '/tests/demo.sh'], None, screen, screen) as l1:
        stats: List[Dict[str, Any]] = []
        status = l1.wait(TIMEOUT, lambda l1: stats.extend(_leaf_stats(l1)))
        log.write_text('\n'.join(l1.dmesg()) + '\n')
        if l1.status is None:
            raise Failure(f'{l1.explain(status, TIMEOUT)} (console: {log})')
        print(f'\nchecks passed in and around the TDs: {screen.passed}')
        return _verdict(l1, status, stats)


def _verdict(l1: machine.L1, status: int, stats: List[Dict[str, Any]]) -> int:
    for side, title in (('host', 'SEAMCALL'), ('guest', 'TDCALL')):
        print(f'\n{title} leaves:')
        print('\n'.join(_table([row for row in stats if row['side'] == side])))
    bad = l1.bad_lines()
    initialised = any(INITIALISED.search(line) for line in l1.dmesg())
    print(f'\nWARN, BUG or failed SEAMCALL lines in L1\'s log: {len(bad)}')
    for line in bad[:10]:
        print(f'  {line}')
    if not initialised:
        print('L1 did not initialise the TDX module')
    return 0 if status == 0 and initialised and not bad else 1
