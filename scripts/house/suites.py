# SPDX-License-Identifier: GPL-2.0-or-later
"""The test suites. Whatever runs a test speaks TAP to us; this adds it all up.

unit        subprojects/*/tests/run.sh         no emulator
guest       tests/guest/run.sh QEMU FIRMWARE   freestanding programs as L1
linux       tests/linux/scenarios/*.sh         in L1 Linux, one boot a scenario
functional  tests/functional/*.py              from outside: the tool, QMP
"""
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Sequence

from . import machine, paths
from .ui import Failure, duration, say


@dataclass
class Tally:
    """What TAP has told so far."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: List[str] = field(default_factory=list)

    def add(self, other: 'Tally') -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def fail(self, text: str) -> None:
        self.failed += 1
        self.failures.append(text)

    def __str__(self) -> str:
        return f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped'


RESULT = re.compile(r'(not )?ok\b(?:\s+(\d+))?\s*(?:-\s*)?(.*)')


def read_tap(lines: Iterable[str]) -> Tally:
    """Add up one TAP stream; a plan that is not kept is a failure."""
    tally = Tally()
    plan = None
    count = 0
    for line in lines:
        planned = re.match(r'1\.\.(\d+)(?:\s*#\s*SKIP)?', line, re.I)
        result = RESULT.match(line)
        if planned:
            plan = int(planned.group(1))
        elif result:
            count += 1
            text = result.group(3)
            if re.search(r'#\s*(SKIP|TODO)\b', text, re.I):
                tally.skipped += 1
            elif result.group(1):
                tally.fail(text or f'test {count}')
            else:
                tally.passed += 1
        elif line.startswith('Bail out!'):
            tally.fail(line.strip())
    if plan is None and count:
        tally.fail('the test program ended without a plan (1..N)')
    elif plan is not None and plan != count:
        tally.fail(f'{plan} tests were planned, {count} were run')
    return tally


def run_program(name: str, argv: Sequence, timeout: float) -> Tally:
    """Run a program that prints TAP; its output goes to a log and its results here."""
    log = paths.LOGS / f'test-{name.replace("/", "-")}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    timed_out = threading.Event()
    with open(log, 'w', encoding='utf-8') as out:
        with subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, stderr=out,
                              stdin=subprocess.DEVNULL, text=True, errors='replace',
                              start_new_session=True, cwd=paths.ROOT) as process:
            def expire() -> None:
                timed_out.set()
                os.killpg(process.pid, signal.SIGKILL)
            timer = threading.Timer(timeout, expire)
            timer.start()
            lines = []
            assert process.stdout
            try:
                for line in process.stdout:
                    out.write(line)
                    out.flush()
                    lines.append(line.rstrip('\n'))
                process.wait()
            finally:
                timer.cancel()
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
    tally = read_tap(lines)
    if timed_out.is_set():
        tally.fail(f'it did not end within {timeout:g} s')
    elif process.returncode and not tally.failed:
        tally.fail(f'it ended with status {process.returncode}')
    elif not tally.passed and not tally.failed and not tally.skipped:
        tally.fail('it ran no test')
    report(name, tally, time.monotonic() - start, log)
    return tally


def report(name: str, tally: Tally, seconds: float, log: Path) -> None:
    print(f'{"not ok" if tally.failed else "ok"} {name}: {tally} ({duration(seconds)})',
          flush=True)
    for text in tally.failures:
        print(f'    failed: {text}', flush=True)
    if tally.failures:
        print(f'    log: {log}', flush=True)


# --- the suites -------------------------------------------------------------------

def unit() -> Tally:
    tally = Tally()
    for script in sorted(paths.ROOT.glob('subprojects/*/tests/run.sh')):
        tally.add(run_program(f'unit/{script.parts[-3]}', [script], 900))
    return tally


def guest() -> Tally:
    script = paths.ROOT / 'tests/guest/run.sh'
    if not script.exists():
        return Tally()
    return run_program('guest', [script, paths.QEMU, paths.FIRMWARE], 900)


def linux() -> Tally:
    tally = Tally()
    for script in sorted((paths.LINUX_TESTS / 'scenarios').glob('*.sh')):
        tally.add(scenario(script))
    return tally


def functional() -> Tally:
    tally = Tally()
    for script in sorted(paths.ROOT.glob('tests/functional/*.py')):
        tally.add(run_program(f'functional/{script.stem}', [script], 600))
    return tally


SUITES: Dict[str, Callable[[], Tally]] = {
    'unit': unit, 'guest': guest, 'linux': linux, 'functional': functional,
}


# --- scenarios in L1 ----------------------------------------------------------------

def settings(script: Path) -> Dict[str, str]:
    """A scenario's own wishes, from lines like `# smp: 4` at its head.

    Known: smp, mem, append, module, tdx (yes or no), timeout (seconds).
    """
    known = {'smp': '2', 'mem': '4G', 'append': '', 'module': '', 'tdx': 'yes',
             'timeout': '120'}
    for line in script.read_text().splitlines():
        match = re.match(r'#\s*(\w+):\s*(.*\S)\s*$', line)
        if match and match.group(1) in known:
            known[match.group(1)] = match.group(2)
        elif line and not line.startswith('#'):
            break
    return known


class _Lines:
    """A sink that keeps L1's output and writes it to a log."""

    def __init__(self, log):
        self.log = log
        self.data = b''

    def write(self, data: bytes) -> None:
        self.data += data
        self.log.write(data)

    def flush(self) -> None:
        self.log.flush()


def scenario(script: Path) -> Tally:
    """Boot L1, run one scenario there, and look through L1's log.

    The scenario prints TAP, or nothing and tells by its exit status. The log must
    have no WARN, BUG or failed SEAMCALL; that is one test more.
    """
    name = f'linux/{script.stem}'
    wish = settings(script)
    log = paths.LOGS / f'test-linux-{script.stem}.log'
    start = time.monotonic()
    options = machine.Options(smp=int(wish['smp']), mem=wish['mem'], append=wish['append'],
                              module=wish['module'], tdx=wish['tdx'] == 'yes')
    with open(log, 'wb') as out:
        sink = _Lines(out)
        with machine.L1(options, ['sh', f'/tests/{script.name}'], None, sink, sink) as l1:
            status = l1.wait(float(wish['timeout']))
            l1.stop()
            tally = read_tap(sink.data.decode(errors='replace').splitlines())
            if l1.status is None:
                tally.fail(l1.explain(status, float(wish['timeout'])))
            elif status and not tally.failed:
                tally.fail(f'it ended with status {status}')
            elif not tally.passed and not tally.failed and not tally.skipped:
                tally.passed += 1
            bad = l1.bad_lines()
            if bad:
                tally.fail(f'L1\'s log has {len(bad)} bad lines, first: {bad[0]}')
            else:
                tally.passed += 1
            out.write(b'\n--- console of L1 ---\n')
            out.write('\n'.join(l1.dmesg()).encode(errors='replace') + b'\n')
            out.write(b'--- the emulator ---\n' + l1.errors.read_bytes())
    report(name, tally, time.monotonic() - start, log)
    return tally


# --- all of it ------------------------------------------------------------------------

def validate(names: List[str]) -> None:
    for name in names:
        if name not in SUITES:
            raise Failure(f'there is no suite {name}; there are {", ".join(SUITES)}')


def run(names: List[str]) -> int:
    """Run the suites; the last line printed is the sum."""
    total = Tally()
    for name in names or SUITES:
        say(f'== {name}')
        try:
            total.add(SUITES[name]())
        except Failure as e:
            print(f'not ok {name}: {e}', flush=True)
            total.fail(str(e))
    print(total, flush=True)
    return 1 if total.failed or not total.passed else 0
