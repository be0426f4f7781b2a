#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: dynamic-pamt
# timeout: 1200
"""Mistakes in the host's Dynamic PAMT, planted one at a time: each is found.

The kernel with our patches has them built in, its command line arms one, and its log
tells the region where the mistake was made. A scenario that passes without must then
fail, with a sentence that names this region, the two calls at odds, and the kernel's
functions that made them. The emulator's own log has a line for each call that it refused.
"""
import re
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402

from house import paths, suites  # noqa: E402

CPU = r'[\w< .]*\(CPU \d+\)'
ADD = rf'TDH\.PHYMEM\.PAMT\.ADD in tdx_pamt_get < tdx_{CPU}'
REMOVE = rf'TDH\.PHYMEM\.PAMT\.REMOVE in tdx_pamt_put < tdx_{CPU}'
TAKES = rf'TDH\.(MEM|MNG|VP)\.[\w.]*(AUG|ADD|CREATE|ADDCX) in tdx_{CPU}'
FREES = rf'TDH\.(MEM\.PAGE\.REMOVE|PHYMEM\.PAGE\.RECLAIM) in _*tdx_{CPU}'
LEFT = rf' gave was never taken back, though {FREES} freed its last page'
NOT_EMPTY = (r' answered TDX_PAMT_PAGE_NOT_EMPTY( 0x1)? while pages are in use: the last '
             rf'one, 0x[0-9a-f]+, was taken by {TAKES}')
NO_PAIR = (r' answered TDX_NO_PAMT_PAGE_PAIR RCX(, though no call was about this region '
           rf'before| after {REMOVE} took the pair back)')
REFUSED = (r'^tdx: TDH\.PHYMEM\.PAMT\.REMOVE on region 0x[0-9a-f]+: TDX_\w+ '
           r'\(0x[0-9a-f]+\), L1 at 0xffffffff8[0-9a-f]+$')


class Mistake(NamedTuple):
    name: str
    scenario: str
    refused: bool               # the module refuses a call
    sentences: List[str]        # each must be there; {here}: the region of the mistake


MISTAKES = (
    Mistake('missing-put', 'pamt-share', False, [
        f'{{here}}: the pair that {ADD}{LEFT}']),
    Mistake('double-get', 'pamt-placed', False, [
        f'{{here}}: the pair that {ADD}{LEFT}']),
    # The region of the first of many is not always the one that then has no reference.
    Mistake('early-put', 'pamt-share', True, [
        f'{{any}}: {REMOVE}{NOT_EMPTY}',
        f'{{any}}: the pair that {ADD}{LEFT}']),
    Mistake('wrong-region', 'pamt-placed', True, [
        f'{{beside}}: {REMOVE}({NOT_EMPTY}|{NO_PAIR})',
        f'{{here}}: the pair that {ADD}{LEFT}']),
)


def execute(scenario: str, mistake: str) -> Tuple[suites.Scenario, Optional[int], str]:
    """Run a scenario on the first of its machines that has the patched kernel; it, the
    region that L1's log tells of, and all that was logged."""
    script = paths.ROOT / f'tests/linux/scenarios/{scenario}.sh'
    wish = suites.wishes(script)
    words = next(w for w in wish.machines if w.get('kernel') == 'dynamic-pamt')
    run = suites.Scenario(script, words, wish)
    if mistake:
        run.options.append += f' tdx_pamt_mistake={mistake}'
        run.options.qemu_args = ['-d', 'guest_errors']
    log = paths.LOGS / f'test-pamt_mistakes-{mistake or "none"}-{scenario}.log'
    start = time.monotonic()
    run.execute(log)
    print(f'# {scenario}, mistake {mistake or "none"}: {time.monotonic() - start:.0f} s')
    for text in run.tally.failures:
        print(f'#   {text}')
    text = log.read_text(errors='replace')
    told = re.search(rf'planted mistake {mistake}: page \w+, region 0x([0-9a-f]+)', text)
    return run, int(told.group(1), 16) if told else None, text


def judge(tap: Tap, m: Mistake) -> None:
    run, region, log = execute(m.scenario, m.name)
    tap.check(region is not None, f'{m.name}: L1 makes it')
    tap.check(run.tally.failed > 0, f'{m.name}: {m.scenario} fails')
    wrong = run.pamt.wrong if run.pamt else []
    where = {'here': f'region {region or 0:#x}', 'any': 'region 0x[0-9a-f]+',
             'beside': f'region {(region or 0) ^ 0x200000:#x}'}
    for pattern in m.sentences:
        for name, text in where.items():
            pattern = pattern.replace(f'{{{name}}}', text)
        tap.check(any(re.match(pattern, text) for text in wrong),
                  f'{m.name}: a sentence names region, calls and functions',
                  f'none of these is like {pattern}:\n' + '\n'.join(wrong))
    lines = re.findall(REFUSED, log, re.M)
    tap.check(bool(lines) == m.refused,
              f'{m.name}: a log line for what is refused: leaf, region, L1\'s RIP',
              '\n'.join(lines[:5]))


def main() -> None:
    tap = Tap()
    for scenario in sorted({m.scenario for m in MISTAKES}):
        run, _, _ = execute(scenario, '')
        tap.check(not run.tally.failed and run.tally.passed > 0,
                  f'{scenario} passes without a mistake')
    for m in MISTAKES:
        judge(tap, m)
    tap.end()


main()
