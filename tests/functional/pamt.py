#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: dynamic-pamt
# timeout: 300
"""Dynamic PAMT as QMP and HMP show it: query-tdx-pamt and info tdx-pamt.

A machine without the module, with one that does not offer it, before L1 has started,
while a TD runs and after it; and the report of ./tdxemu run --check pamt.
"""
import re
import sys
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap, tdxemu  # noqa: E402
from steps import ONE_TD, Steps  # noqa: E402
from stopped import Qmp, module  # noqa: E402

from house import kernel, machine, pamt  # noqa: E402
from house.symbols import Symbols  # noqa: E402

Info = Dict[str, Any]

# All that is 0 before L1 has done anything.
COUNTS = ('dynamic-bytes', 'pairs', 'peak-pairs', 'adds', 'removes', 'corruptions',
          'deepest-pairs', 'placed-own', 'placed-unbacked', 'placed-backed', 'failures')
LISTS = ('failed', 'last-failures', 'regions')


# --- before L1 starts -----------------------------------------------------------------

def without_module(tap: Tap) -> None:
    with Qmp() as q:
        answer = q.send('query-tdx-pamt')
        tap.check('no TDX module' in answer.get('error', {}).get('desc', ''),
                  'QMP: a machine without the module', str(answer))
        said = q.hmp('info tdx-pamt')
        tap.check('no TDX module' in said and len(said.splitlines()) == 1,
                  'HMP: a machine without the module', said)


def before_boot(tap: Tap, word: str) -> None:
    text = f'dynamic-pamt={word}, before L1 starts'
    with Qmp(*module(f'dynamic-pamt={word}')) as q:
        info = q.send('query-tdx-pamt').get('return', {})
        tap.check(info.get('offered') is (word == 'on') and info.get('enabled') is False,
                  f'QMP: {text}: offered or not, but not enabled', str(info))
        tap.check([info.get(n) for n in COUNTS] == [0] * len(COUNTS)
                  and [info.get(n) for n in LISTS] == [[]] * len(LISTS),
                  f'QMP: {text}: nothing has happened', str(info))
        said = q.hmp('info tdx-pamt')
        want = 'offered, not in use' if word == 'on' else 'not offered'
        tap.check(re.search(f'^Dynamic PAMT: +{want}$', said.replace('\r', ''), re.M)
                  is not None, f'HMP: {text}', said)
        q.send('system_reset')
        tap.check(q.send('query-tdx-pamt').get('return') == info,
                  f'QMP: {text}: a reset changes nothing')


def bad_input(tap: Tap) -> None:
    with Qmp(*module('dynamic-pamt=on')) as q:
        for arguments in ({'all': 'yes'}, {'all': 1}, {'all': None}, {'every': True},
                          {'all': []}):
            answer = q.send('query-tdx-pamt', **arguments)
            tap.check('error' in answer, f'QMP: arguments {arguments}', str(answer))
        for line in ('info tdx-pamt -x', 'info tdx-pamt 7', 'info tdx-pamtx'):
            said = q.hmp(line)
            tap.check('page pairs' not in said and said.strip() != '', f'HMP: {line}',
                      said)
        tap.check('return' in q.send('query-tdx-pamt', all=True),
                  'QMP: the emulator goes on')
        answer = q.send('qom-set', path='/objects/tdx0', property='dynamic-pamt',
                        value=False)
        tap.check('changed' in answer.get('error', {}).get('desc', ''),
                  'QMP: dynamic-pamt of a machine that runs', str(answer))


# --- a TD ------------------------------------------------------------------------------

class Views:
    """What QMP and HMP say at each step."""

    def __init__(self) -> None:
        self.now: Dict[str, Info] = {}
        self.ever: Dict[str, Info] = {}
        self.said: Dict[str, str] = {}

    def look(self, name: str, l1: machine.L1) -> None:
        self.now[name] = l1.qmp.command('query-tdx-pamt')
        self.ever[name] = l1.qmp.command('query-tdx-pamt', all=True)
        self.said[name] = l1.qmp.command('human-monitor-command', **{
            'command-line': 'info tdx-pamt'}).replace('\r', '')


def judge_running(tap: Tap, now: Info, said: str) -> None:
    regions: List[Info] = now['regions']
    tap.check(now['enabled'] and 0 < now['pairs'] == len(regions)
              and now['dynamic-bytes'] == now['pairs'] * 8192
              and now['adds'] - now['removes'] == now['pairs'] <= now['peak-pairs'],
              'a TD that runs: pairs, bytes, adds and removes agree', str(now)[:400])
    pages = [page for region in regions for page in region['pair']]
    tap.check(len(set(pages)) == len(pages) == 2 * len(regions)
              and all(page % 4096 == 0 for page in pages),
              'each region has two pages, all of them different', str(regions)[:400])
    placed = sum(now[f'placed-{n}'] for n in ('own', 'unbacked', 'backed'))
    tap.check(placed == 2 * now['adds'], 'each page of a pair lay somewhere', str(placed))
    tap.check(all(r['backed'] and r['address'] % (2 << 20) == 0
                  and r['count'] == r['recount'] > 0 for r in regions),
              'the module counts in each region what its entries say',
              str(regions)[:400])
    # The payload, TDR, TDCS, and two vCPUs' pages of control structures.
    tap.check(sum(r['count'] for r in regions) > 32 + 1 + 4 + 2 * 6,
              'it has the pages of a TD')
    tap.check(all(r['add']['leaf'] == 'TDH.PHYMEM.PAMT.ADD' and r['assign'].get('page', 0)
                  >> 21 == r['address'] >> 21
                  and 0 < r['add']['number'] < r['assign']['number']
                  and r['add']['cpu'] < 2 and r['add']['callers'] for r in regions),
              'each region remembers who gave the pair and who took a page after that',
              str(regions)[:800])
    tap.check(0 < now['deepest-pairs'] <= 5,
              'the deepest mapping took no more pairs than a cache holds',
              str(now['deepest-pairs']))
    tap.check(re.search('^Dynamic PAMT: +in use$', said, re.M) is not None
              and all(f'{r["address"]:#014x}' in said for r in regions),
              'HMP lists these regions', said[:400])


def judge_ended(tap: Tap, views: Views) -> None:
    now, ever = views.now['killed'], views.ever['killed']
    tap.check(now['pairs'] == now['dynamic-bytes'] == 0 and now['regions'] == []
              and now['adds'] == now['removes'] > 0,
              'a TD that was killed: all pairs came back', str(now)[:400])
    tap.check(now['failures'] == now['corruptions'] == 0 and now['failed'] == [],
              'no call failed', str(now)[:400])
    held = {r['address'] for r in views.now['held']['regions']}
    tap.check(held <= {r['address'] for r in ever['regions']}
              and all(not r['backed'] and r['pair'] == [] and r['count'] == 0
                      and r['remove']['number'] > r['release']['number']
                      > r['add']['number'] for r in ever['regions']),
              'with all=true these regions tell who took the pair back, and that it was '
              'after the last page', str(ever['regions'])[:800])


def a_td(tap: Tap, image: Path) -> None:
    views = Views()
    options = machine.Options(smp=2, mem='3G', kernel=image, module='dynamic-pamt=on')
    status = Steps(views.look).run(options, ONE_TD, 150)
    tap.check(status == 0 and list(views.now) == ['start', 'held', 'killed'],
              'L1 runs a TD', f'{status} {list(views.now)}')
    if tap.failed:
        return
    start = views.ever['start']
    tap.check(start['enabled'] and start['adds'] == 0 and start['regions'] == [],
              'L1 has enabled it and given no pair before the first TD',
              str(start)[:400])
    # 1 bit for each 4K page, 16 bytes for each 2M: not the 16 bytes for each 4K page.
    tap.check(3 << 15 <= start['static-bytes'] < 1 << 20,
              'a bitmap takes the place of the static PAMT_4K',
              str(start['static-bytes']))
    judge_running(tap, views.now['held'], views.said['held'])
    judge_ended(tap, views)


# --- the report -----------------------------------------------------------------------

def checked_runs(tap: Tap, image: Path) -> None:
    done = tdxemu('run', '--kernel', str(image), '--mem', '2G', '--check', 'pamt', '--',
                  'sh', '-c', 'tdlaunch --quiet; exit 7')
    tap.check(done.returncode == 7 and b'findings: none' in done.stderr,
              'run --check pamt: a clean run keeps its status', str(done))
    done = tdxemu('run', '--kernel', str(image), '--mem', '2G', '--check', 'pamt', '--',
                  'sh', '-c', 'tdlaunch --quiet; echo "<1>BUG: none really" > /dev/kmsg')
    tap.check(done.returncode == 1 and b'findings: none' in done.stderr
              and b'in L1\'s log: 1\n' in done.stderr,
              'run --check pamt: a line in L1\'s log', str(done))
    done = tdxemu('run', '--kernel', str(image), '--mem', '2G', '--check', 'pamt', '--',
                  'sh', '-c', 'tdlaunch --quiet; reboot -f; sleep 60')
    tap.check(done.returncode == 125 and b'with the module disabled' in done.stderr,
              'run --check pamt: an L1 that ends itself', str(done))
    done = tdxemu('run', '--mem', '2G', '--check', 'pamt', '--', 'tdlaunch', '--quiet')
    tap.check(done.returncode == 1 and b'has not enabled Dynamic PAMT' in done.stderr,
              'run --check pamt: a kernel without the series', str(done))
    tap.check(b' 0 failed, destroyed' in done.stdout,
              'dynamic-pamt=on: a kernel without the series runs a TD', str(done))
    done = tdxemu('run', '--kernel', str(image), '--mem', '2G', '--module',
                  'dynamic-pamt=off', '--', 'tdlaunch', '--quiet')
    tap.check(done.returncode == 0 and b' 0 failed, destroyed' in done.stdout,
              'dynamic-pamt=off: a kernel with the series runs a TD', str(done))
    for words in (('--check', 'pamt'), ('--check', 'pamt', '--no-tdx', '--', 'true'),
                  ('--check', 'pampt', '--', 'true')):
        done = tdxemu('run', *words)
        tap.check(done.returncode in (1, 2) and b'--check' in done.stderr,
                  f'run {" ".join(words)}', str(done))


class _Nmi:
    """Takes L1's output, and sends it an NMI when a TD runs."""

    def __init__(self) -> None:
        self.l1: machine.L1

    def ready(self, l1: machine.L1) -> None:
        self.l1 = l1

    def write(self, data: bytes) -> None:
        if b'running' in data:
            self.l1.qmp.command('inject-nmi')

    def flush(self) -> None:
        pass


def panic(tap: Tap, image: Path) -> None:
    """What is known of a TD's regions when L1 has panicked under it."""
    nmi = _Nmi()
    check = pamt.Check(Symbols.beside(image))
    options = machine.Options(smp=2, mem='2G', kernel=image, module='dynamic-pamt=on',
                              keep=True)
    command = 'echo 1 > /proc/sys/kernel/unknown_nmi_panic; tdlaunch --hold'
    with machine.L1(options, ['sh', '-c', command], None, nmi, None, nmi.ready) as l1:
        status = l1.wait(60, check)
        log = l1.dmesg()
    info = check.info or {}
    tap.check(status == machine.L1_DIED and any('Kernel panic' in s for s in log)
              and info.get('pairs', 0) > 0 and len(info['regions']) >= info['pairs'],
              'an L1 that panics leaves its regions to be looked at',
              f'{status} {info}'[:400])
    tap.check(check.wrong == [], 'the pages of its TD are no finding', str(check.wrong))


def main() -> None:
    tap = Tap()
    without_module(tap)
    for word in ('off', 'on'):
        before_boot(tap, word)
    bad_input(tap)
    image = kernel.dynamic_pamt(debug=True) / 'bzImage'
    a_td(tap, image)
    checked_runs(tap, image)
    panic(tap, image)
    tap.end()


main()
