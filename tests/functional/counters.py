#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What QMP tells of the module while L1 runs TDs: leaf-stats and pages-in-use."""
import json
import sys
from pathlib import Path
from typing import Dict, Tuple

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402
from steps import ONE_TD, Steps  # noqa: E402

from house import machine  # noqa: E402

Counts = Dict[str, Tuple[int, int]]         # by leaf: calls and errors

COMMAND = ONE_TD + '''
tdlaunch --quiet --tds 2 > /tmp/two || echo failed
next two
'''


class Counters:
    """Pages in use and calls of each leaf, at each step."""

    def __init__(self) -> None:
        self.seen: Dict[str, Tuple[int, Counts]] = {}

    def look(self, name: str, l1: machine.L1) -> None:
        stats = json.loads(l1.module('leaf-stats'))
        self.seen[name] = (int(l1.module('pages-in-use')), {
            s['name']: (s['calls'], s['errors']) for s in stats})


def calls(counters: Counters, name: str, since: str, until: str) -> int:
    return counters.seen[until][1][name][0] - counters.seen[since][1][name][0]


def judge(tap: Tap, counters: Counters) -> None:
    pages = {name: seen[0] for name, seen in counters.seen.items()}
    why = str(pages)
    # A TD of 2 vCPUs: TDR, TDCS, TDVPR and TDVPS of both, Secure EPT, the payload.
    tap.check(pages['held'] > pages['start'] + 32, 'a TD that runs owns pages', why)
    tap.check(pages['killed'] == pages['start'], 'a TD that was killed owns none', why)
    tap.check(pages['two'] == pages['start'], 'nor do two TDs that ended', why)

    def same(text: str, number: int, since: str, until: str, *names: str) -> None:
        found = {name: calls(counters, name, since, until) for name in names}
        tap.check(all(n == number for n in found.values()), text, str(found))

    once = ('TDH.MNG.CREATE', 'TDH.MNG.KEY.CONFIG', 'TDH.MNG.INIT', 'TDH.MR.FINALIZE')
    same('one TD is made', 1, 'start', 'held', *once)
    same('its two vCPUs are made', 2, 'start', 'held', 'TDH.VP.CREATE', 'TDH.VP.INIT')
    same('one KeyID is freed', 1, 'start', 'killed', 'TDH.MNG.KEY.FREEID')
    same('two TDs are made', 2, 'killed', 'two', *once, 'TDH.MNG.KEY.FREEID')
    same('TDs take no call that sets the module up', 0, 'start', 'two', 'TDH.SYS.INIT',
         'TDH.SYS.LP.INIT', 'TDH.SYS.CONFIG', 'TDH.SYS.KEY.CONFIG', 'TDH.SYS.TDMR.INIT')
    last = counters.seen['two'][1]
    tap.check(last['TDH.SYS.LP.INIT'] == (2, 0), 'each LP was initialised once',
              str(last['TDH.SYS.LP.INIT']))
    tap.check(calls(counters, 'TDG.VP.VMCALL', 'start', 'held') > 0
              and calls(counters, 'TDH.VP.ENTER', 'start', 'held') > 0,
              'TDs are entered and call their host')
    # Linux 7.3 moves no page.
    tap.check(last['TDH.MEM.PAGE.RELOCATE'] == (0, 0),
              'a leaf that nobody calls has 0 calls')
    wrong = {name: n for name, n in last.items() if n[1] > n[0]}
    tap.check(not wrong, 'no leaf has more errors than calls', str(wrong))


def main() -> None:
    tap = Tap()
    counters = Counters()
    status = Steps(counters.look).run(machine.Options(smp=2, mem='3G'), COMMAND, 150)
    tap.check(status == 0 and list(counters.seen) == ['start', 'held', 'killed', 'two'],
              'L1 runs TDs', f'{status} {list(counters.seen)}')
    if not tap.failed:
        judge(tap, counters)
    tap.end()


main()
