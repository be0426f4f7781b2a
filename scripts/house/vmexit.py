# SPDX-License-Identifier: GPL-2.0-or-later
"""Round trips of VM exits: our VMX against SVM on stock QEMU."""
import re
import statistics
from pathlib import Path
from typing import Dict, List, Tuple

from . import paths, qemu
from .figure import Figure, guest_output
from .ui import say

_PROGRAM = 'bench_vmexit'
_LINE = re.compile(r'# bench (vmx|svm) (\S+) calls=(\d+) ns=(\d+)')
_TARGETS = {'cpuid': 0.25}              # of the peer's time, at most

_Times = Dict[Tuple[str, str], List[float]]     # (side, name): microseconds a call


def _run(times: _Times, emulator: Path, cpu: str) -> None:
    for side, name, calls, ns in _LINE.findall(guest_output(emulator, [_PROGRAM], cpu)):
        times.setdefault((side, name), []).append(int(ns) / int(calls) / 1000)


def _table(figures: List[Figure]) -> None:
    say(f'  {"exit":<14} {"VMX here":>10} {"stock SVM":>10} {"ratio":>7}')
    for f in figures:
        say(f'  {f.name[len("vmexit-"):]:<14} {f.ours:>7.2f} us {f.peer:>7.2f} us '
            f'{f.ratio:>7.3f}')


def vmexit(runs: int) -> List[Figure]:
    """One round trip of tests/guest/bench_vmexit.c for each of a dozen exits.

    The same program runs on our emulator with VMX and on stock QEMU of the same source
    and options with SVM, in turns. `cpuid-32pages` is a guest that touches 32 pages in
    between, `tlb-cold` a page that neither stage of the TLB knows, `tlb-cr3` one after
    the guest has loaded CR3.
    """
    sides = [(paths.QEMU, 'tdx'), (qemu.stock(), 'max')]
    times: _Times = {}
    for n in range(runs):
        # The order alternates, so that a drift of the machine hits both alike.
        for emulator, cpu in sides[::-1 if n % 2 else 1]:
            _run(times, emulator, cpu)
        say(f'  vmexit {n + 1}/{runs}: CPUID {times["vmx", "cpuid"][-1]:.2f} us, '
            f'peer {times["svm", "cpuid"][-1]:.2f} us')
    medians = {key: statistics.median(t) for key, t in times.items()}
    figures = [Figure(f'vmexit-{name}', ours, medians['svm', name], 'us',
                      _TARGETS[name] * medians['svm', name] if name in _TARGETS else None)
               for (side, name), ours in medians.items() if side == 'vmx']
    _table(figures)
    return figures
