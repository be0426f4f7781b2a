# SPDX-License-Identifier: GPL-2.0-or-later
"""What a benchmark yields, and how it runs a freestanding program.

A figure is one line `NAME ours=V peer=V unit=U ratio=R`; V are medians of several
runs, and R is ours/peer of times, so that less is better. Where there is a target, which
is for an idle core, ` target=V met=yes|no` follows.
"""
import os
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from . import paths
from .ui import Failure


class Figure(NamedTuple):
    name: str
    ours: float
    peer: float
    unit: str
    target: Optional[float] = None      # of ours, at most

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    def line(self) -> str:
        text = (f'{self.name} ours={self.ours:.3f} peer={self.peer:.3f} '
                f'unit={self.unit} ratio={self.ratio:.3f}')
        if self.target is None:
            return text
        return (f'{text} target={self.target:.3f} '
                f'met={"yes" if self.ours <= self.target else "no"}')

    def as_dict(self) -> Dict[str, object]:
        known = {k: v for k, v in self._asdict().items() if v is not None}
        return {**known, 'ratio': round(self.ratio, 4)}


def guest_output(emulator: Path, programs: List[str], cpu: str = 'tdx') -> str:
    """What these programs of tests/guest print; they have to succeed."""
    done = subprocess.run(
        [paths.ROOT / 'tests/guest/run.sh', emulator, paths.FIRMWARE, *programs],
        env={**os.environ, 'GUEST_TIMEOUT': '120', 'GUEST_CPU': cpu},
        stdout=subprocess.PIPE, text=True)
    if done.returncode:
        bad = [line for line in done.stdout.splitlines() if line.startswith('not ok')]
        raise Failure('the benchmark\'s guest fails: ' + '; '.join(bad or ['no output']))
    return done.stdout
