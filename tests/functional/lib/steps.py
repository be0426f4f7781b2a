# SPDX-License-Identifier: GPL-2.0-or-later
"""A command in L1 that goes on step by step, with a look at the machine in between."""
import os
from typing import Callable, List

from house import machine

# The steps of a TD that is started, runs, and is killed. Each ends with a line of
# output, and the next begins with a line of input.
ONE_TD = '''
next() { echo "$1"; read -r _; }
next start
tdlaunch --hold --vcpus 2 > /tmp/hold &
while ! grep -q running /tmp/hold; do sleep 0.1; done
next held
kill -KILL $!
wait
next killed
'''


class Steps:
    """Stands for L1's standard input and output; `look` is called at each step."""

    def __init__(self, look: Callable[[str, machine.L1], None]) -> None:
        read, write = os.pipe()
        self.stdin = os.fdopen(read, 'rb')
        self.names: List[str] = []
        self._go = os.fdopen(write, 'wb', buffering=0)
        self._look = look
        self._text = b''
        self._l1: machine.L1

    def run(self, options: machine.Options, command: str, timeout: float) -> int:
        """Run the command on a machine of its own; its status."""
        with machine.L1(options, ['sh', '-c', command], self.stdin, self, None,
                        self._ready) as l1:
            return l1.wait(timeout)

    def _ready(self, l1: machine.L1) -> None:
        self._l1 = l1

    def write(self, data: bytes) -> None:
        self._text += data
        while b'\n' in self._text:
            line, self._text = self._text.split(b'\n', 1)
            self.names.append(line.decode())
            self._look(self.names[-1], self._l1)
            self._go.write(b'\n')

    def flush(self) -> None:
        pass
