# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot L1: the emulator's command line, and the channels to what runs in it.

A command in L1 has four virtio ports: tdxemu.in, .out and .err carry its standard
streams byte for byte, and tdxemu.ctl is the line to L1's init: it says "ready", waits for
"go", runs the command, says "status N", waits for "bye" and powers off. So we can look at
L1 from outside just before and just after the command. The console goes to a file, so
that kernel messages never mix with the command's output. QMP has a socket as well.
Each is one end of a socket pair that the emulator inherits: no names in the file
system, and nothing is left behind.
"""
import ctypes
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

from . import initramfs, kernel, paths
from .ui import Failure, locked, say, tail

CPU_MODEL = 'tdx'
MODULE = 'tdx-module'
MODULE_ID = 'tdx0'
APPEND = 'console=ttyS0 earlyprintk=serial,ttyS0 nokaslr panic=-1 kvm_intel.tdx=1'
MIN_MEMORY = 1 << 30
MAX_CPUS = 16           # CONFIG_NR_CPUS of tests/linux/kernel.config

TIMED_OUT = 124         # as timeout(1)
L1_DIED = 125

# What L1's log may not hold when all is well.
BAD_LINES = re.compile(
    r'WARNING: |\bBUG: |kernel BUG at|Oops: |Kernel panic|SEAMCALL .*fail|rcu: INFO|'
    r'TDH\.SYS\.DISABLE failed|'
    r'general protection fault|soft lockup|unchecked MSR access|'
    r'INFO: (task .* blocked|trying to register)')

# States of a machine that Options.keep leaves to be looked at.
DEAD = ('shutdown', 'guest-panicked', 'internal-error')

# Which option of ours an emulator's complaint is about.
OPTION_OF = (
    (r'physical address bits', '--cpu phys-bits'),
    (r'tdx-module|keyids', '--module'),
    (r'cannot set up guest memory|Invalid RAM size', '--mem'),
    (r'tdx-x86_64-cpu', '--cpu'),
)


@dataclass
class Options:
    """How L1 is to be made; the fields are the options of ./tdxemu run."""
    smp: int = 2
    mem: str = '4G'
    kernel: Optional[Path] = None
    initrd: Optional[Path] = None
    append: str = ''
    share: Optional[Path] = None
    module: str = ''
    trace: Optional[Path] = None
    tdx: bool = True
    reboot: bool = False        # L1 may reboot; otherwise that ends the emulator
    keep: bool = False          # an L1 that dies stops, to be looked at from outside
    cpu: Optional[str] = None
    qemu_args: List[str] = field(default_factory=list)
    emulator: Optional[Path] = None


def memory_bytes(size: str) -> int:
    match = re.fullmatch(r'(\d+)([MG]?)', size, re.I)
    if not match:
        raise Failure(f'--mem {size}: give a size like 4G or 3072M')
    unit = {'': 20, 'M': 20, 'G': 30}[match.group(2).upper()]
    return int(match.group(1)) << unit


def validate(o: Options) -> None:
    """Refuse a machine that cannot work, before anything is started."""
    if o.smp < 1:
        raise Failure(f'--smp {o.smp}: L1 needs at least one CPU')
    if o.smp > MAX_CPUS and not o.kernel:
        raise Failure(f'--smp {o.smp}: the default kernel has up to {MAX_CPUS} CPUs; '
                      f'give --smp {MAX_CPUS} or a --kernel of your own')
    memory = memory_bytes(o.mem)
    if o.tdx and memory < MIN_MEMORY:
        raise Failure(f'--mem {o.mem} is too small for the TDX module\'s PAMT and a host '
                      'kernel; give --mem 2G or more, or --no-tdx')
    have = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    if memory > 4 * have:
        raise Failure(f'--mem {o.mem} is far more than this machine has '
                      f'({have >> 30}G); give a smaller --mem')
    for name, path in (('initrd', o.initrd), ('share', o.share)):
        if path and not os.access(path, os.R_OK):
            raise Failure(f'--{name} {path}: it is missing or unreadable')
    if o.share and not o.share.is_dir():
        raise Failure(f'--share {o.share} is not a directory')
    if o.share and ',' in str(o.share):
        raise Failure(f'--share {o.share}: QEMU cannot take a path with a comma')
    if o.kernel:
        kernel.check(o.kernel, o.tdx)


def arguments(o: Options, image: Path, initrd: Path) -> List[str]:
    """QEMU's command line, without the channels."""
    cpu = o.cpu or CPU_MODEL
    args = ['-L', str(paths.FIRMWARE), '-machine', 'q35', '-accel', 'tcg',
            '-cpu', cpu, '-smp', f'{o.smp},sockets=1,cores={o.smp},threads=1',
            '-m', f'{memory_bytes(o.mem) >> 20}M', '-nodefaults', '-no-user-config',
            '-display', 'none', '-vga', 'none']
    if not o.reboot:
        args.append('-no-reboot')
    if o.keep:
        args += ['-action', 'shutdown=pause']
    append = APPEND
    if o.tdx:
        module = f'{MODULE},id={MODULE_ID}'
        args += ['-object', f'{module},{o.module}' if o.module else module]
    if o.share:
        args += ['-fsdev', f'local,id=share,path={o.share},security_model=none',
                 '-device', 'virtio-9p-pci,fsdev=share,mount_tag=share']
        append += ' tdxemu.share'
    if o.trace:
        args += ['-trace', f'events={o.trace}']
    if o.append:
        append += ' ' + o.append
    args += ['-kernel', str(image), '-initrd', str(initrd), '-append', append]
    return args + o.qemu_args


def emulator(o: Options) -> Path:
    return o.emulator or paths.QEMU


def prepare(o: Options, command: Optional[List[str]], work: Path) -> List[str]:
    """Kernel and initramfs for these options; QEMU's command line with them."""
    image = o.kernel or kernel.default()
    if o.initrd:
        initrd = o.initrd
    else:
        with locked(paths.BUILD, 'building'):
            base = initramfs.build()
            initrd = work / 'initrd'
            initramfs.with_command(base, command, initrd)
    return [str(emulator(o))] + arguments(o, image, initrd)


def _die_with_parent() -> None:
    """In the child: whatever ends ./tdxemu ends the emulator too."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)     # PR_SET_PDEATHSIG


class Qmp:
    """A QMP connection over an inherited socket."""

    def __init__(self, sock: socket.socket):
        self._sock = sock
        self._file = sock.makefile('rwb')
        self._lock = threading.Lock()
        self._ready = False

    def command(self, name: str, **arguments: Any) -> Any:
        """Run one command; its return value. Failure when the emulator refuses it."""
        with self._lock:
            if not self._ready:
                self._file.readline()                   # the greeting
                self._ready = True
                self._send('qmp_capabilities', {})
            return self._send(name, arguments)

    def _send(self, name: str, arguments: Dict[str, Any]) -> Any:
        request = {'execute': name, 'arguments': arguments}
        try:
            self._file.write(json.dumps(request).encode() + b'\n')
            self._file.flush()
            while True:
                line = self._file.readline()
                if not line:
                    raise Failure('the emulator has gone')
                answer = json.loads(line)
                if 'return' in answer:
                    return answer['return']
                if 'error' in answer:
                    raise Failure(f'{name}: {answer["error"]["desc"]}')
        except OSError as e:
            raise Failure(f'the emulator has gone ({e.strerror})') from None


class L1:
    """A running L1 that executes one command."""

    def __init__(self, o: Options, command: List[str], stdin: Optional[BinaryIO] = None,
                 stdout: Optional[BinaryIO] = None, stderr: Optional[BinaryIO] = None,
                 on_ready: Optional[Callable[['L1'], None]] = None):
        self._on_ready = on_ready
        self._keep = o.keep
        self._work = Path(tempfile.mkdtemp(prefix='tdxemu-'))
        self._threads: List[threading.Thread] = []
        self._control: List[str] = []
        self.process: Optional[subprocess.Popen] = None
        self.console = self._work / 'console.log'
        self.errors = self._work / 'qemu.log'
        self.finished = threading.Event()
        try:
            argv = prepare(o, command, self._work)
            self._launch(argv, stdin, stdout, stderr)
        except BaseException:
            self.close()
            raise

    # --- starting and stopping ---

    def _launch(self, argv: List[str], stdin, stdout, stderr) -> None:
        ours: Dict[str, socket.socket] = {}
        theirs: Dict[str, socket.socket] = {}
        for name in ('qmp', 'in', 'out', 'err', 'ctl'):
            ours[name], theirs[name] = socket.socketpair()

        def chardev(name: str) -> List[str]:
            return ['-chardev', f'socket,id={name},fd={theirs[name].fileno()}']
        argv = argv + ['-chardev', f'file,id=console,path={self.console}',
                       '-serial', 'chardev:console',
                       '-device', 'virtio-serial-pci,max_ports=8']
        argv += chardev('qmp') + ['-mon', 'chardev=qmp,mode=control']
        for name in ('in', 'out', 'err', 'ctl'):
            argv += chardev(name) + ['-device', f'virtserialport,chardev={name},'
                                     f'name=tdxemu.{name}']
        self.started_at = self.ready_at = time.monotonic()
        with open(self.errors, 'wb') as errors:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                pass_fds=[s.fileno() for s in theirs.values()],
                preexec_fn=_die_with_parent, start_new_session=True)
        for s in theirs.values():
            s.close()
        self.qmp = Qmp(ours['qmp'])
        self._ctl = ours['ctl']
        self._outputs = [_Output(ours['out'], stdout), _Output(ours['err'], stderr)]
        for output in self._outputs:
            self._thread(output.copy)
        self._thread(self._watch_control, ours['ctl'])
        if stdin is None:
            ours['in'].close()
        else:
            # Not waited for: it may be blocked in a read for ever.
            self._stdin = ours['in']
            threading.Thread(target=_copy_in, args=(stdin, ours['in']),
                             daemon=True).start()

    def _thread(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _watch_control(self, sock: socket.socket) -> None:
        for line in sock.makefile('r', encoding='ascii', errors='replace'):
            self._control.append(line.strip())
            if line.strip() == 'ready':
                self.ready_at = time.monotonic()
                if self._on_ready:
                    self._on_ready(self)
                self._tell('go')
            elif line.startswith('status '):
                self.finished.set()
        self.finished.set()

    def _tell(self, word: str) -> None:
        try:
            self._ctl.sendall(word.encode() + b'\n')
        except OSError:
            pass                           # L1 has gone already

    @property
    def status(self) -> Optional[int]:
        """The command's exit status; None if L1 ended without telling it."""
        for line in self._control:
            match = re.fullmatch(r'status (\d+)', line)
            if match:
                return int(match.group(1))
        return None

    def wait(self, timeout: Optional[float] = None,
             inspect: Optional[Callable[['L1'], None]] = None) -> int:
        """Wait for the command; its status, or TIMED_OUT or L1_DIED.

        `inspect` is called when the command has ended and L1 is still running; with
        Options.keep also when L1 has died or the time is over (`status` is None then).
        """
        assert self.process
        ended = self._wait_for_end(timeout)
        if ended:
            self._drain()
        if inspect and (self._keep or self.status is not None):
            inspect(self)
        if not ended:
            return TIMED_OUT
        if self._keep:
            self._let_go()
        if self.status is not None:
            self._tell('bye')
        try:
            self.process.wait(20)          # L1 powers off
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(10)
        return L1_DIED if self.status is None else self.status

    def _wait_for_end(self, timeout: Optional[float]) -> bool:
        """Until the command has ended or L1 has; false: the time is over."""
        if not self._keep:
            return self.finished.wait(timeout)
        end = None if timeout is None else time.monotonic() + timeout
        while not self.finished.wait(0.5):
            if self._stopped():
                return True
            if end is not None and time.monotonic() >= end:
                return False
        return True

    def _stopped(self) -> bool:
        """Has L1 died, or the emulator?"""
        try:
            return self.qmp.command('query-status')['status'] in DEAD
        except Failure:
            return True

    def _let_go(self) -> None:
        """End the emulator when L1 powers off, or now if it has died."""
        try:
            self.qmp.command('set-action', shutdown='poweroff')
            if self.status is None:
                self.qmp.command('quit')
        except Failure:
            pass                           # it has gone

    def _drain(self) -> None:
        """Wait until all output of the command has come; it goes when L1 powers off.

        L1's queues hold megabytes while our sockets are full. The emulator moves what
        there is room for in each turn of its main loop, and a QMP command takes one.
        """
        quiet = 0
        while quiet < 4 and self.status is not None:
            before = [output.count for output in self._outputs]
            try:
                self.qmp.command('query-status')
            except Failure:
                return                     # it has gone
            if (all(output.idle() for output in self._outputs)
                    and before == [output.count for output in self._outputs]):
                quiet += 1
            else:
                quiet = 0
                time.sleep(0.002)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._work, ignore_errors=True)

    def __enter__(self) -> 'L1':
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    # --- what happened ---

    def module(self, name: str) -> Any:
        """A property of the TDX module, while L1 is there."""
        return self.qmp.command('qom-get', path=f'/objects/{MODULE_ID}', property=name)

    def dmesg(self) -> List[str]:
        return tail(self.console, 1 << 30)

    def bad_lines(self) -> List[str]:
        return [line for line in self.dmesg() if BAD_LINES.search(line)]

    def explain(self, status: int, timeout: Optional[float] = None) -> str:
        """One sentence on why L1 gave no exit status."""
        if status == TIMED_OUT:
            return f'L1 did not finish within {timeout:g} s'
        refusal = self.refusal()
        if refusal:
            return refusal
        return 'L1 ended before the command did: it powered off, reset or crashed'

    def refusal(self) -> Optional[str]:
        """What the emulator said when it did not even start."""
        if not self.process or self.process.poll() in (0, None):
            return None
        lines = [line for line in tail(self.errors, 50) if 'warning:' not in line]
        if not lines:
            return (f'the emulator died with status {self.process.returncode}'
                    + (' before L1 started' if not self.dmesg() else ''))
        text = re.sub(r'^\S*qemu-system-x86_64: ', '', lines[-1]).rstrip('.')
        for pattern, option in OPTION_OF:
            if re.search(pattern, text):
                text = f'{option}: {text}'
                break
        return f'the emulator refused the machine: {text}'


class _Output:
    """Copies what comes from one of L1's ports to a sink, until the emulator goes."""

    def __init__(self, sock: socket.socket, sink: Optional[BinaryIO]):
        self._sock = sock
        self._sink = sink
        self._busy = False
        self.count = 0          # bytes

    def copy(self) -> None:
        while True:
            select.select([self._sock], [], [])
            self._busy = True   # before it leaves the socket: see idle()
            try:
                data = self._sock.recv(1 << 16)
            except OSError:
                data = b''
            if not data:
                self._busy = False
                return
            self.count += len(data)
            self._put(data)
            self._busy = False

    def _put(self, data: bytes) -> None:
        if self._sink is None:
            return
        try:
            self._sink.write(data)
            self._sink.flush()
        except (OSError, ValueError):
            self._sink = None   # keep draining, so that L1 does not block

    def idle(self) -> bool:
        return not select.select([self._sock], [], [], 0)[0] and not self._busy


def _copy_in(source: BinaryIO, sock: socket.socket) -> None:
    fd = source.fileno()
    try:
        while True:
            select.select([fd], [], [])
            data = os.read(fd, 1 << 16)
            if not data:
                break
            sock.sendall(data)
        # Not closed: at that the emulator would drop what it has not yet read.
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass                    # L1 has gone


# --- what ./tdxemu run does ---------------------------------------------------------

def run_command(o: Options, command: List[str], timeout: Optional[float], verbose: bool,
                inspect: Optional[Callable[[L1], None]] = None) -> int:
    """Run a command in L1 with our own standard streams; its exit status."""
    stdin = None if sys.stdin is None or os.isatty(0) else sys.stdin.buffer
    with L1(o, command, stdin, sys.stdout.buffer, sys.stderr.buffer) as l1:
        status = l1.wait(timeout, inspect)
        if verbose:
            for line in l1.dmesg():
                say(line)
        if status in (TIMED_OUT, L1_DIED) and l1.status is None:
            refusal = l1.refusal() if status == L1_DIED else None
            if not verbose and not refusal:
                for line in tail(l1.console, 25):
                    say(f'  L1| {line}')
            say(f'tdxemu: {l1.explain(status, timeout)}')
            return 1 if refusal else status
        return status


def run_shell(o: Options) -> int:
    """L1 with its console on this terminal; Ctrl-C goes to L1, C-a x ends it."""
    with tempfile.TemporaryDirectory(prefix='tdxemu-') as work:
        argv = prepare(o, None, Path(work))
        argv += ['-chardev', 'stdio,id=console,mux=on,signal=off',
                 '-serial', 'chardev:console', '-mon', 'chardev=console,mode=readline']
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            done = subprocess.run(argv, check=False, preexec_fn=_die_with_parent)
            return done.returncode
        finally:
            signal.signal(signal.SIGINT, previous)


def measure_boot(o: Options, timeout: float) -> Tuple[float, float]:
    """One boot of L1: seconds from the emulator's start to L1's first command, and
    seconds of processor time that the emulator took in all."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with L1(o, ['true']) as l1:
        if l1.wait(timeout) != 0:
            raise Failure('L1 did not boot: ' + l1.explain(L1_DIED))
        wall = l1.ready_at - l1.started_at
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
