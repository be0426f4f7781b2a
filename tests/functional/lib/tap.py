# SPDX-License-Identifier: GPL-2.0-or-later
"""TAP for the functional tests, and how to call ./tdxemu."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'scripts'))
sys.dont_write_bytecode = True


class Tap:
    def __init__(self) -> None:
        self.count = 0
        self.failed = 0

    def check(self, good: bool, text: str, why: str = '') -> None:
        self.count += 1
        print(f'{"ok" if good else "not ok"} {self.count} - {text}', flush=True)
        if not good:
            self.failed += 1
            for line in why.splitlines():
                print(f'# {line}', flush=True)

    def end(self) -> None:
        print(f'1..{self.count}')
        sys.exit(1 if self.failed else 0)


def tdxemu(*args: str, timeout: float = 120,
           data: bytes = b'') -> subprocess.CompletedProcess:
    return subprocess.run([str(ROOT / 'tdxemu'), *args], input=data, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
