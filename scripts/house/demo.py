# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: L1 initialises the TDX module and its KVM runs trust domains.

With Dynamic PAMT it does so twice, without and with it, and compares what that costs.
"""
import json
import re
import sys
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from . import kernel, machine, pamt, paths
from .symbols import Symbols
from .ui import Failure, say

TIMEOUT = 300
INITIALISED = re.compile(r'virt/tdx: TDX-Module initialized')
ALLOCATED = re.compile(r'virt/tdx: (\d+) KB allocated for PAMT')

Row = Dict[str, Any]    # of the module's leaf-stats


def _table(rows: Sequence[Tuple[str, ...]]) -> List[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ['  ' + '  '.join(f'{cell:{">" if i else "<"}{widths[i]}}'
                             for i, cell in enumerate(row)) for row in rows]


def _leaf_stats(l1: machine.L1) -> List[Row]:
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


@dataclass
class _Outcome:
    """What a run of the demo has left."""
    check: Optional[pamt.Check] = None
    status: int = 0
    passed: int = 0
    stats: List[Row] = field(default_factory=list)
    log: List[str] = field(default_factory=list)
    bad: List[str] = field(default_factory=list)

    @property
    def initialised(self) -> bool:
        return any(INITIALISED.search(line) for line in self.log)

    @property
    def good(self) -> bool:
        return self.status == 0 and self.initialised and not self.bad

    def inspect(self, l1: machine.L1) -> None:
        if l1.status is not None:
            self.stats = _leaf_stats(l1)
        if self.check:
            self.check(l1)


def _run(options: machine.Options, name: str,
         check: Optional[pamt.Check] = None) -> _Outcome:
    log = paths.LOGS / f'{name}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    screen = _Screen()
    outcome = _Outcome(check)
    with machine.L1(options, ['sh', '/tests/demo.sh'], None, screen, screen) as l1:
        outcome.status = l1.wait(TIMEOUT, outcome.inspect)
        outcome.log = l1.dmesg()
        outcome.bad = l1.bad_lines()
        log.write_text('\n'.join(outcome.log) + '\n')
        if l1.status is None:
            for line in check.report() if check else ():
                say(line)
            raise Failure(f'{l1.explain(outcome.status, TIMEOUT)} (console: {log})')
    outcome.passed = screen.passed
    return outcome


def _print_verdict(outcome: _Outcome, where: str) -> None:
    print(f'\nWARN, BUG or failed SEAMCALL lines in L1\'s log{where}: '
          f'{len(outcome.bad)}')
    for line in outcome.bad[:10]:
        print(f'  {line}')
    if not outcome.initialised:
        print(f'L1 did not initialise the TDX module{where}')


def run() -> int:
    say('== L1 boots and runs the demo')
    outcome = _run(machine.Options(smp=4, mem='4G'), 'demo-console')
    print(f'\nchecks passed in and around the TDs: {outcome.passed}')
    for side, title in (('host', 'SEAMCALL'), ('guest', 'TDCALL')):
        print(f'\n{title} leaves:')
        rows = [row for row in outcome.stats if row['side'] == side]
        print('\n'.join(_table([('leaf', 'calls', 'errors')] + [
            (row['name'], str(row['calls']), str(row['errors'])) for row in rows])))
    _print_verdict(outcome, '')
    return 0 if outcome.good else 1


# --- with and without Dynamic PAMT ----------------------------------------------------

Pair = Tuple[_Outcome, _Outcome]        # without, with
WORDS = ('off', 'on')


def _side_by_side(runs: Pair, side: str) -> List[str]:
    """Calls and errors of each leaf in both runs."""
    by_name: Dict[str, List[str]] = {}
    for i, outcome in enumerate(runs):
        for row in outcome.stats:
            if row['side'] == side:
                cells = by_name.setdefault(row['name'], ['0'] * 4)
                cells[2 * i:2 * i + 2] = [str(row['calls']), str(row['errors'])]
    return _table([('leaf', 'static: calls', 'errors', 'dynamic: calls', 'errors')]
                  + [(name, *cells) for name, cells in by_name.items()])


def _info(outcome: _Outcome) -> pamt.Info:
    assert outcome.check
    if not outcome.check.info:
        raise Failure(outcome.check.wrong[0])
    return outcome.check.info


def _allocated(outcome: _Outcome) -> int:
    """What L1 says that it gave to the module for good; bytes."""
    for line in outcome.log:
        match = ALLOCATED.search(line)
        if match:
            return int(match.group(1)) << 10
    return 0


def _costs(runs: Pair) -> List[str]:
    fixed = [_info(outcome)['static-bytes'] for outcome in runs]
    pairs = [_info(outcome)['peak-pairs'] for outcome in runs]
    peak = [n * pamt.PAIR_BYTES for n in pairs]

    def row(title: str, sizes: Iterable[int]) -> Tuple[str, ...]:
        return (title, *(pamt.amount(size) for size in sizes))
    return _table([
        ('memory for the PAMT', 'static', 'dynamic'),
        ('for each 4K page of memory', '16 bytes', '1 bit'),
        ('for each 2M region in use', 'nothing', '2 pages'),
        row('given for good, as L1\'s log says', map(_allocated, runs)),
        row('given for good, as the module needs it', fixed),
        ('pairs of pages at the peak', *map(str, pairs)),
        row('these pairs', peak),
        row('in all at the peak', map(sum, zip(fixed, peak)))])


def _wrong(runs: Pair) -> List[str]:
    """Why the comparison does not hold."""
    static, dynamic = runs
    assert dynamic.check
    wrong = list(dynamic.check.wrong)
    if _info(static)['offered'] or _info(static)['adds']:
        wrong.append('the module that was to be without Dynamic PAMT has it')
    for outcome, word in zip(runs, WORDS):
        given, needed = _allocated(outcome), _info(outcome)['static-bytes']
        if given != needed:
            wrong.append(f'dynamic-pamt={word}: L1 gave the module {given} bytes of PAMT '
                         f'for good, it needs {needed}')
        if outcome.status:
            wrong.append(f'dynamic-pamt={word}: the TDs ended with status '
                         f'{outcome.status}')
    return wrong


def _print_comparison(runs: Pair, wrong: List[str]) -> None:
    print(f'checks passed in and around the TDs: {runs[0].passed} without, '
          f'{runs[1].passed} with Dynamic PAMT')
    for side, title in (('host', 'SEAMCALL'), ('guest', 'TDCALL')):
        print(f'\n{title} leaves:')
        print('\n'.join(_side_by_side(runs, side)))
    print()
    print('\n'.join(_costs(runs) + [''] + pamt.report(_info(runs[1]), wrong)))
    for outcome, word in zip(runs, WORDS):
        _print_verdict(outcome, f' with dynamic-pamt={word}')


def run_dynamic_pamt() -> int:
    image = kernel.dynamic_pamt(debug=False) / 'bzImage'
    names = Symbols.beside(image)
    found = []
    for word in WORDS:
        say(f'== L1 boots with dynamic-pamt={word} and runs the demo')
        options = machine.Options(smp=4, mem='4G', kernel=image, keep=True,
                                  module=f'dynamic-pamt={word}')
        found.append(_run(options, f'demo-dynamic-pamt-{word}', pamt.Check(names)))
        print()
    runs = (found[0], found[1])
    wrong = _wrong(runs)
    _print_comparison(runs, wrong)
    return 0 if all(outcome.good for outcome in runs) and not wrong else 1
