# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot of Linux as L2, against the boot of the same kernel as L1."""
import gzip
import io
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import List

from . import initramfs, kernel, machine, paths
from .figure import Figure
from .ui import Failure, locked, say

# One CPU, 512 MiB, and a console that only transmits, in both places.
_APPEND = 'earlyprintk=serial,ttyS0,keep panic=-1 nokaslr'
_TARGET = 1.5                           # times L1's boot, at most
_TIMEOUT = 120
_END = b'vmboot: init runs'
_LINE = re.compile(rb'vmboot: ([0-9.]+) s')


def _files(work: Path) -> None:
    """Kernel and initramfs, whose init is a program that only says so."""
    with locked(paths.BUILD, 'building'):
        initramfs.build()
        program = (paths.BUILD / 'l1/vmbootinit').read_bytes()
    cpio = initramfs.Cpio()
    cpio.directory('dev')
    cpio.device('dev/console', 5, 1)
    cpio.device('dev/kmsg', 1, 11)
    cpio.file('init', program, 0o755)
    (work / 'initrd').write_bytes(gzip.compress(cpio.bytes(), mtime=0))
    shutil.copyfile(kernel.default(), work / 'bzImage')


def _end_of(console: bytes) -> str:
    return console[-500:].decode('ascii', 'replace')


def _as_l1(work: Path) -> float:
    """Seconds from the emulator's start until the kernel has started its init."""
    args = [paths.QEMU, '-L', paths.FIRMWARE, '-machine', 'q35', '-accel', 'tcg',
            '-cpu', machine.CPU_MODEL, '-smp', '1', '-m', '512M', '-nodefaults',
            '-no-user-config', '-display', 'none', '-no-reboot',
            '-serial', 'stdio', '-kernel', work / 'bzImage', '-initrd', work / 'initrd',
            '-append', _APPEND]
    start, console = time.monotonic(), b''
    with subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as qemu:
        assert qemu.stdout
        ending = threading.Timer(_TIMEOUT, qemu.kill)
        ending.start()
        for line in qemu.stdout:
            console += line
            if _END in line:
                break
        took = time.monotonic() - start
        ending.cancel()
        qemu.kill()
    if _END not in console:
        raise Failure('L1 does not boot: ' + _end_of(console))
    return took


def _as_l2(work: Path) -> float:
    """The same from the start of the VM's user, tests/linux/vmboot.c, in L1."""
    options = machine.Options(tdx=False, mem='2G', share=work)
    output, errors = io.BytesIO(), io.BytesIO()
    command = ['vmboot', '/mnt/share/bzImage', '/mnt/share/initrd', _APPEND]
    with machine.L1(options, command, stdout=output, stderr=errors) as l1:
        status = l1.wait(_TIMEOUT)
    match = _LINE.search(output.getvalue())
    if status or not match:
        raise Failure(f'L2 does not boot (status {status}): '
                      + _end_of(errors.getvalue()))
    return float(match.group(1))


def nested(runs: int) -> List[Figure]:
    """What Linux takes to boot as L2 of our L1; the peer is its boot as L1.

    Both are the kernel that we build, with one CPU and 512 MiB. L1's boot has the
    firmware and PCI devices in addition. There is no figure of stock QEMU's SVM: the
    kernel has no KVM for it.
    """
    with tempfile.TemporaryDirectory(prefix='tdxemu-') as name:
        work = Path(name)
        _files(work)
        as_l1, as_l2 = [], []
        for n in range(runs):
            as_l1.append(_as_l1(work))
            as_l2.append(_as_l2(work))
            say(f'  nested {n + 1}/{runs}: as L1 {as_l1[-1]:.2f} s, '
                f'as L2 {as_l2[-1]:.2f} s')
    peer = statistics.median(as_l1)
    return [Figure('nested-boot', statistics.median(as_l2), peer, 's', _TARGET * peer)]
