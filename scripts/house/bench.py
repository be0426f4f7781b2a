# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmarks: each measures us and a peer in the same run, in turns.

A figure is one line `NAME ours=V peer=V unit=U ratio=R`; V are medians of several
runs, and R is ours/peer of times, so that less is better.
"""
import json
import statistics
from dataclasses import replace
from typing import Callable, Dict, List, NamedTuple, Tuple

from . import machine, qemu
from .ui import Failure, say


class Figure(NamedTuple):
    name: str
    ours: float
    peer: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    def line(self) -> str:
        return (f'{self.name} ours={self.ours:.3f} peer={self.peer:.3f} '
                f'unit={self.unit} ratio={self.ratio:.3f}')


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


BENCHMARKS: Dict[str, Callable[[int], List[Figure]]] = {'boot': boot}


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
                print(json.dumps({**figure._asdict(), 'ratio': round(figure.ratio, 4)}),
                      flush=True)
            else:
                print(figure.line(), flush=True)
    return 0
