# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmarks: each measures us and a peer in the same run, in turns."""
import json
import os
import re
import statistics
from dataclasses import replace
from typing import Callable, Dict, List, NamedTuple, Tuple

from . import machine, nested, paths, qemu, vmexit
from .figure import Figure, guest_output
from .ui import Failure, say


def boot(runs: int) -> List[Figure]:
    """L1's boot against the same kernel on stock QEMU of the same source.

    `boot` is without TDX and VMX, where only our hooks differ; `boot-tdx` is L1 as we run
    it, which initialises the module and KVM on the way. The peer is the same for both. The
    `-cpu` figures are the processor time of the same boots, which says more on a busy
    machine.
    """
    plain = machine.Options(tdx=False, cpu='max,vmx=off')
    sides = {'boot': plain, 'boot-tdx': machine.Options(),
             'peer': replace(plain, emulator=qemu.stock())}
    times: Dict[str, List[Tuple[float, float]]] = {side: [] for side in sides}
    for options in sides.values():          # warm the page cache; not counted
        machine.measure_boot(options, 120)
    for n in range(runs):
        # The order alternates, so that a drift of the machine hits all alike.
        for side in sorted(sides, reverse=n % 2 == 1):
            times[side].append(machine.measure_boot(sides[side], 120))
        say(f'  boot {n + 1}/{runs}: ' +
            ', '.join(f'{side} {t[-1][0]:.2f} s' for side, t in times.items()))
    return [Figure(side + suffix, statistics.median(t[i] for t in times[side]),
                   statistics.median(t[i] for t in times['peer']), 's')
            for side in ('boot', 'boot-tdx') for i, suffix in enumerate(('', '-cpu'))]


# --- pamt ---

CPUS = (1, 2, 4)
# Microseconds of one call, or one page: at least 100,000 pages a second.
TARGETS = {'null': 2.0, 'pair': 5.0, 'page': 10.0}
_LINE = re.compile(r'# bench (\S+) (\S+) cpus=(\d+) tds=(\d+) calls=(\d+) ns=(\d+)')


class _Sample(NamedTuple):
    side: str           # "dynamic" or "static"
    cpus: int
    crowd: bool         # beside 16 more TDs
    name: str


_Times = Dict[_Sample, List[float]]     # microseconds a call


def _guest_run(times: _Times) -> None:
    """Boot tests/guest/bench_pamt.c on each machine and add what it measures."""
    programs = [f'bench_{side}_{n}' for n in CPUS for side in ('dynamic', 'static')]
    for side, name, cpus, tds, calls, ns in _LINE.findall(
            guest_output(paths.QEMU, programs)):
        sample = _Sample(side, int(cpus), int(tds) > int(cpus), name)
        times.setdefault(sample, []).append(int(ns) / int(calls) / 1000)


def _pamt_medians(times: _Times, cpus: int, crowd: bool) -> Dict[str, float]:
    def median(side: str, *names: str) -> float:
        rounds = [times[_Sample(side, cpus, crowd, name)] for name in names]
        return statistics.median(map(sum, zip(*rounds)))
    return {'cpuid': median('dynamic', 'cpuid'), 'null': median('dynamic', 'null'),
            'pair': median('dynamic', 'add-remove'),
            'page': median('dynamic', 'aug', 'accept'),
            'static-page': median('static', 'aug', 'accept')}


def pamt(runs: int) -> List[Figure]:
    """What Dynamic PAMT costs, from a freestanding program in the place of L1.

    `null` is a SEAMCALL that does next to nothing (TDH.SYS.RD), its peer a CPUID, which
    is a call of the emulator as well. `pair` is a PAMT.ADD and the PAMT.REMOVE of it; the
    peer is `null`. `page` is the host's PAGE.AUG and the TD's PAGE.ACCEPT of 4 KiB; the
    peer is the same with static PAMT, on another machine in the same run. All CPUs do the
    same at once, each with regions and a TD of its own; the times are those of one CPU.
    The `-17tds` figures are beside 16 more TDs, and their peer is without those.
    """
    times: _Times = {}
    for n in range(runs):
        _guest_run(times)
        m = _pamt_medians(times, 1, False)
        say(f'  pamt {n + 1}/{runs}: null SEAMCALL {m["null"]:.2f} us, ADD and REMOVE '
            f'{m["pair"]:.2f} us, AUG and ACCEPT {1e6 / m["page"]:,.0f} pages/s')
    cores = len(os.sched_getaffinity(0))
    if cores < max(CPUS):
        say(f'  this machine has {cores} cores, for up to {max(CPUS)} CPUs')
    figures = []
    for cpus in CPUS:
        m = _pamt_medians(times, cpus, False)
        peers = {'null': m['cpuid'], 'pair': m['null'], 'page': m['static-page']}
        figures += [Figure(f'pamt-{name}-{cpus}cpu', m[name], peer, 'us',
                           TARGETS[name] if cpus == 1 else None)
                    for name, peer in peers.items()]
    alone, crowd = (_pamt_medians(times, 1, crowd) for crowd in (False, True))
    return figures + [Figure(f'pamt-{name}-1cpu-17tds', crowd[name], alone[name], 'us')
                      for name in TARGETS]


BENCHMARKS: Dict[str, Callable[[int], List[Figure]]] = {
    'boot': boot, 'pamt': pamt, 'vmexit': vmexit.vmexit, 'nested': nested.nested}


def validate(names: List[str], runs: int) -> None:
    for name in names:
        if name not in BENCHMARKS:
            raise Failure(f'there is no benchmark {name}; there are '
                          f'{", ".join(BENCHMARKS)}')
    if runs < 1:
        raise Failure(f'--runs {runs}: give at least 1')


def run(names: List[str], runs: int, as_json: bool) -> int:
    for name in names or BENCHMARKS:
        for figure in BENCHMARKS[name](runs):
            if as_json:
                print(json.dumps(figure.as_dict()), flush=True)
            else:
                print(figure.line(), flush=True)
    return 0
