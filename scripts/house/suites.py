# SPDX-License-Identifier: GPL-2.0-or-later
"""The test suites. Whatever runs a test speaks TAP to us; this adds it all up.

unit        subprojects/*/tests/run.sh         no emulator
fuzz        tests/fuzz/run.sh BUILD_DIR        the VMX code alone, random VMCSs
guest       tests/guest/run.sh QEMU FIRMWARE   freestanding programs as L1
linux       tests/linux/scenarios/*.sh         in L1 Linux, one boot a scenario
functional  tests/functional/*.py              from outside: the tool, QMP
"""
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Sequence

from . import kernel, machine, pamt, paths, selftests
from .symbols import Symbols
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


def read_tap(lines: Iterable[str], needs_plan: bool = True) -> Tally:
    """Add up a TAP stream, or several one after the other.

    A plan that is not kept is a failure; so is a missing one where it is needed.
    """
    tally = Tally()
    plan = None
    count = 0
    for line in lines:
        planned = re.match(r'1\.\.(\d+)(?:\s*#\s*SKIP)?', line, re.I)
        result = RESULT.match(line)
        if planned:
            plan = (plan or 0) + int(planned.group(1))
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
    if plan is None and count and needs_plan:
        tally.fail('the test program ended without a plan (1..N)')
    elif plan is not None and plan != count:
        tally.fail(f'{plan} tests were planned, {count} were run')
    return tally


def _environment() -> Dict[str, str]:
    """Tests build below build/, not in /tmp, and find the emulator."""
    return dict(os.environ, TDXEMU_READY='1',
                TDXMOD_TEST_BUILD=str(paths.BUILD / 'unit'),
                TDXEMU_QEMU=str(paths.QEMU), TDXEMU_FIRMWARE=str(paths.FIRMWARE))


def run_program(name: str, argv: Sequence, timeout: float) -> Tally:
    """Run a program that prints TAP; its output goes to a log and its results here."""
    log = paths.LOGS / f'test-{name.replace("/", "-")}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    if not os.access(argv[0], os.X_OK):
        tally = Tally()
        tally.fail(f'{argv[0]} is not executable')
        report(name, tally, 0, log)
        return tally
    timed_out = threading.Event()
    with open(log, 'w', encoding='utf-8') as out:
        with subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, stderr=out,
                              stdin=subprocess.DEVNULL, text=True, errors='replace',
                              start_new_session=True, cwd=paths.ROOT,
                              env=_environment()) as process:
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

def unit(only: List[str]) -> Tally:
    tally = Tally()
    for script in sorted(paths.ROOT.glob('subprojects/*/tests/run.sh')):
        tally.add(run_program(f'unit/{script.parts[-3]}', [script, *only], 1200))
    return tally


def fuzz(only: List[str]) -> Tally:
    """No emulator runs, but the flags and generated headers of its build are used."""
    if only:
        raise Failure('the suite fuzz has no parts')
    return run_program('fuzz', [paths.ROOT / 'tests/fuzz/run.sh', paths.QEMU.parent], 900)


def guest(only: List[str]) -> Tally:
    script = paths.ROOT / 'tests/guest/run.sh'
    return run_program('guest', [script, paths.QEMU, paths.FIRMWARE, *only], 900)


def _chosen(pattern: str, only: List[str]) -> List[Path]:
    scripts = sorted(paths.ROOT.glob(pattern))
    stems = [s.stem for s in scripts]
    for name in only:
        if name not in stems:
            raise Failure(f'there is no test {name}; there are {", ".join(stems)}')
    return [s for s in scripts if not only or s.stem in only]


def linux(only: List[str]) -> Tally:
    tally = Tally()
    for script in _chosen('tests/linux/scenarios/*.sh', only):
        wish = wishes(script)
        for words in wish.machines:
            tally.add(Scenario(script, words, wish).run())
    return tally


def functional(only: List[str]) -> Tally:
    tally = Tally()
    for script in _chosen('tests/functional/*.py', only):
        wish = wishes(script, 600)
        _kernel(wish.kernel)            # built before its time begins
        tally.add(run_program(f'functional/{script.stem}', [sys.executable, script],
                              wish.timeout))
    return tally


SUITES: Dict[str, Callable[[List[str]], Tally]] = {
    'unit': unit, 'fuzz': fuzz, 'guest': guest, 'linux': linux, 'functional': functional,
}


# --- scenarios in L1 ----------------------------------------------------------------

@dataclass
class Wishes:
    """What a scenario says about itself in the comments at its head."""
    timeout: float
    machines: List[Dict[str, str]] = field(default_factory=list)
    kernel: str = ''
    pamt: List[str] = field(default_factory=list)
    share: str = ''


def wishes(script: Path, timeout: float = 120) -> Wishes:
    """Lines like `# machine: smp=4 mem=4G tdx=no` (one boot each) and `# timeout: 60`.

    `kernel=dynamic-pamt` is the one with our patches and its own checks; with it and
    `module=dynamic-pamt=on`, the figures of query-tdx-pamt that a line `# pamt:` lists
    must have risen. A functional test that takes this kernel says `# kernel:`.
    `# share: selftests`: L1 mounts them as /mnt/share.
    """
    wish = Wishes(timeout)
    for line in script.read_text().splitlines():
        match = re.match(r'#\s*(machine|timeout|kernel|pamt|share):\s*(.*\S)\s*$', line)
        if match and match.group(1) == 'timeout':
            wish.timeout = float(match.group(2))
        elif match and match.group(1) == 'kernel':
            wish.kernel = match.group(2)
        elif match and match.group(1) == 'pamt':
            wish.pamt += match.group(2).split()
        elif match and match.group(1) == 'share':
            wish.share = match.group(2)
        elif match:
            wish.machines.append(dict(w.split('=', 1) for w in match.group(2).split()))
        elif line and not line.startswith('#'):
            break
    wish.machines = wish.machines or [{}]
    return wish


def machine_options(words: Dict[str, str]) -> machine.Options:
    unknown = set(words) - {'smp', 'mem', 'kernel', 'module', 'append', 'tdx'}
    if unknown:
        raise Failure(f'a scenario asks for an unknown {", ".join(sorted(unknown))}')
    return machine.Options(smp=int(words.get('smp', '2')), mem=words.get('mem', '4G'),
                           kernel=_kernel(words.get('kernel', '')),
                           module=words.get('module', ''), append=words.get('append', ''),
                           tdx=words.get('tdx', 'yes') == 'yes')


own_kernel: Optional[Path] = None       # a user's with Dynamic PAMT, in place of ours


def _share(name: str) -> Optional[Path]:
    if name not in ('', 'selftests'):
        raise Failure(f'a scenario asks for an unknown directory {name}')
    return selftests.build() if name else None


def _kernel(name: str) -> Optional[Path]:
    if name not in ('', 'dynamic-pamt'):
        raise Failure(f'a scenario asks for an unknown kernel {name}')
    if not name:
        return None
    return own_kernel or kernel.dynamic_pamt(debug=True) / 'bzImage'


def _pamt_check(options: machine.Options, needs: List[str]) -> Optional[pamt.Check]:
    """For a machine whose kernel and module both have Dynamic PAMT."""
    if not options.kernel or 'dynamic-pamt=on' not in options.module.split(','):
        return None
    return pamt.Check(Symbols.beside(options.kernel), needs)


class _Sink:
    """Keeps L1's output and writes it to a log."""

    def __init__(self, log):
        self.log = log
        self.data = b''

    def write(self, data: bytes) -> None:
        self.data += data
        self.log.write(data)

    def flush(self) -> None:
        self.log.flush()


class Scenario:
    """One scenario on one machine.

    It prints "ok" and "not ok" lines, or nothing and tells by its exit status. Two
    tests more, always: L1's log has no WARN, BUG or failed SEAMCALL, and the module
    owns as many pages afterwards as before. With Dynamic PAMT a third one: see pamt.
    """

    def __init__(self, script: Path, words: Dict[str, str], wish: Wishes):
        self.script = script
        self.timeout = wish.timeout
        self.options = machine_options(words)
        self.options.share = _share(wish.share)
        self.pamt = _pamt_check(self.options, wish.pamt)
        self.options.keep = self.pamt is not None
        self.name = 'linux/' + '-'.join([script.stem] + [f'{k}_{v}' for k, v
                                                         in words.items()])
        self.pages: List[int] = []
        self.tally = Tally()

    def _count_pages(self, l1: machine.L1) -> None:
        if self.options.tdx:
            try:
                self.pages.append(int(l1.module('pages-in-use')))
            except Failure as e:
                self.tally.fail(str(e))

    def _inspect(self, l1: machine.L1) -> None:
        if l1.status is not None:
            self._count_pages(l1)
        if self.pamt:
            self.pamt(l1)

    def run(self) -> Tally:
        log = paths.LOGS / f'test-{self.name.replace("/", "-")}.log'
        start = time.monotonic()
        self.execute(log)
        report(self.name, self.tally, time.monotonic() - start, log)
        return self.tally

    def execute(self, log: Path) -> None:
        """Boot, run, judge; all that was said goes to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, 'wb') as out:
            sink = _Sink(out)
            with machine.L1(self.options, ['sh', f'/tests/{self.script.name}'], None,
                            sink, sink, self._count_pages) as l1:
                status = l1.wait(self.timeout, self._inspect)
                l1.stop()
                self._judge(l1, status, sink.data.decode(errors='replace'))
                out.write(b'\n--- console of L1 ---\n')
                out.write('\n'.join(l1.dmesg()).encode(errors='replace') + b'\n')
                out.write(b'--- the emulator ---\n' + l1.errors.read_bytes())
                if self.pamt:
                    out.write('\n'.join(self.pamt.report()).encode() + b'\n')

    def _judge(self, l1: machine.L1, status: int, output: str) -> None:
        told = read_tap(output.splitlines(), needs_plan=False)
        self.tally.add(told)
        if l1.status is None:
            self.tally.fail(l1.explain(status, self.timeout))
        elif status and not told.failed:
            self.tally.fail(f'it ended with status {status}')
        elif not told.passed and not told.failed and not told.skipped:
            self.tally.passed += 1
        bad = l1.bad_lines()
        self._expect(not bad, f'L1\'s log has {len(bad)} bad lines, first: '
                     f'{bad[0] if bad else ""}')
        if self.options.tdx and len(self.pages) == 2:
            before, after = self.pages
            self._expect(before == after, f'the module owned {before} pages before and '
                         f'{after} after')
        if self.pamt:
            self.tally.passed += not self.pamt.wrong
            for wrong in self.pamt.wrong:
                self.tally.fail(wrong)

    def _expect(self, good: bool, otherwise: str) -> None:
        if good:
            self.tally.passed += 1
        else:
            self.tally.fail(otherwise)


# --- all of it ------------------------------------------------------------------------

def _selection(names: List[str]) -> Dict[str, List[str]]:
    """The suites to run and the tests of each; no test means all of them."""
    selection: Dict[str, List[str]] = {}
    for name in names or SUITES:
        suite, _, test = name.partition('/')
        if suite not in SUITES:
            raise Failure(f'there is no suite {suite}; there are {", ".join(SUITES)}')
        selection.setdefault(suite, [])
        if test:
            selection[suite].append(test)
    return selection


def validate(names: List[str], image: Optional[Path]) -> None:
    _selection(names)
    if image:
        kernel.check(image, tdx=True)


def run(names: List[str], image: Optional[Path] = None) -> int:
    """Run the suites; the last line printed is the sum.

    `image` is what scenarios boot that ask for the kernel with Dynamic PAMT.
    """
    global own_kernel  # pylint: disable=global-statement
    own_kernel = image
    total = Tally()
    for name, only in _selection(names).items():
        say(f'== {name}')
        try:
            total.add(SUITES[name](only))
        except Failure as e:
            print(f'not ok {name}: {e}', flush=True)
            total.fail(str(e))
    print(total, flush=True)
    return 1 if total.failed or not total.passed else 0
