#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""However ./tdxemu run ends, no emulator stays behind and no file of its own."""
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Sequence

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import ROOT, Tap  # noqa: E402


def emulators(marker: str) -> List[int]:
    """Processes whose command line has the marker, ./tdxemu itself left out."""
    found = []
    for entry in Path('/proc').iterdir():
        try:
            line = (entry / 'cmdline').read_bytes() if entry.name.isdigit() else b''
        except OSError:
            continue
        if marker.encode() in line and b'-append' in line and b'qemu' in line:
            found.append(int(entry.name))
    return found


def wait_until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _hear_sigint() -> None:
    """A shell's background job ignores it, and so would all that comes from there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Run:
    """A ./tdxemu run with its own directory for temporary files."""

    def __init__(self, tmp: str, marker: str, words: Sequence[str], append: str = ''):
        self.tmp = Path(tmp)
        self.marker = f'marker-{os.getpid()}-{marker}'
        self.process = subprocess.Popen(
            [str(ROOT / 'tdxemu'), 'run', '--mem', '2G', '--append',
             f'{self.marker} {append}', *words],
            env=dict(os.environ, TMPDIR=tmp), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=_hear_sigint)

    def first_line(self) -> bytes:
        assert self.process.stdout
        return self.process.stdout.readline()

    def end(self) -> int:
        try:
            self.process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return -1000
        return self.process.returncode

    def left(self) -> List[str]:
        return [str(p) for p in self.tmp.iterdir()]


FOREVER = ('--', 'sh', '-c', 'echo here; sleep 1000')


def by_signal(tap: Tap, number: signal.Signals, status: int, files_stay: bool) -> None:
    name = f'{number.name} to ./tdxemu'
    with tempfile.TemporaryDirectory() as tmp:
        run = Run(tmp, number.name, FOREVER)
        said = run.first_line()
        tap.check(said == b'here\n' and len(emulators(run.marker)) == 1,
                  f'{name}: an emulator runs before', f'{said!r}')
        run.process.send_signal(number)
        found = run.end()
        tap.check(found == status, f'{name}: status {status}', str(found))
        tap.check(wait_until(lambda: not emulators(run.marker), 10),
                  f'{name}: no emulator stays', str(emulators(run.marker)))
        if not files_stay:
            tap.check(not run.left(), f'{name}: no file stays', str(run.left()))


def by_end(tap: Tap, text: str, status: int, *words: str, append: str = '') -> None:
    with tempfile.TemporaryDirectory() as tmp:
        run = Run(tmp, 'end', words, append)
        found = run.end()
        tap.check(found == status, f'{text}: status {status}', str(found))
        tap.check(not run.left() and not emulators(run.marker),
                  f'{text}: nothing stays', str(run.left()))


def main() -> None:
    tap = Tap()
    by_signal(tap, signal.SIGTERM, 143, False)
    by_signal(tap, signal.SIGINT, 130, False)
    by_signal(tap, signal.SIGKILL, -signal.SIGKILL, True)
    by_end(tap, 'a command that ends', 3, '--', 'sh', '-c', 'exit 3')
    # It waits before its first instruction: however fast it boots, it is not up in time.
    by_end(tap, '--timeout before L1 is up', 124, '--timeout', '1', '--qemu-args=-S', '--',
           'true')
    by_end(tap, 'a machine that is refused', 1, '--module', 'num-tdx-keyids=0', '--',
           'true')
    by_end(tap, 'an L1 that panics', 125, '--', 'true', append='rdinit=/none init=/none')
    tap.end()


main()
