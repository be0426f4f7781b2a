# SPDX-License-Identifier: GPL-2.0-or-later
"""L1's initramfs: busybox, our programs, the scenarios, and the command to run.

It is a cpio archive that we write ourselves (format "newc"), so that device nodes
and owners need no root.
"""
import gzip
import hashlib
import os
import shlex
import shutil
import stat
from pathlib import Path
from typing import List, Optional

from . import paths
from .ui import Failure, Step, output

BUSYBOX = ('/bin/busybox', '/usr/bin/busybox')
DIRECTORIES = ('bin', 'dev', 'etc', 'lib', 'lib/tdx', 'proc', 'root', 'run', 'sys',
               'tests', 'tdxemu', 'tmp', 'mnt', 'mnt/share')


class Cpio:
    """A cpio archive in the format that Linux unpacks as its initramfs."""

    def __init__(self) -> None:
        self._out: List[bytes] = []
        self._inode = 0

    def _add(self, name: str, mode: int, data: bytes = b'', major: int = 0,
             minor: int = 0) -> None:
        self._inode += 1
        raw = name.encode() + b'\0'
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor,
                  len(raw), 0)
        head = b'070701' + b''.join(b'%08x' % f for f in fields) + raw
        self._out += [head, b'\0' * (-len(head) % 4), data, b'\0' * (-len(data) % 4)]

    def directory(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        self._add(name, stat.S_IFCHR | 0o600, major=major, minor=minor)

    def bytes(self) -> bytes:
        self._add('TRAILER!!!', 0)
        return b''.join(self._out)


def _busybox() -> Path:
    for name in BUSYBOX:
        # Only a static one runs in an initramfs without libraries.
        if os.path.exists(name) and b'/lib64/ld-linux' not in Path(name).read_bytes():
            return Path(name)
    raise Failure('there is no static busybox; install the package busybox-static')


def _programs(step: Step) -> Path:
    """Build L1's programs and payloads; the directory that holds them."""
    out = paths.BUILD / 'l1'
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    script = paths.LINUX_TESTS / 'build.sh'
    if script.exists():
        step.run([script, out])
    return out


def _inputs() -> List[Path]:
    roots = [paths.LINUX_TESTS, paths.ROOT / 'include']
    return sorted(p for root in roots for p in root.rglob('*') if p.is_file())


def build() -> Path:
    """The initramfs of this checkout; made anew only when an input has changed."""
    busybox = _busybox()
    key = hashlib.sha256()
    for path in [busybox, Path(__file__), *_inputs()]:
        key.update(f'{path}\0'.encode() + hashlib.sha256(path.read_bytes()).digest())
    target = paths.BUILD / f'initramfs-{key.hexdigest()[:12]}.gz'
    if target.exists():
        return target
    with Step('building L1\'s user land', 'initramfs', '5 s') as step:
        image = _image(busybox, _programs(step))
        for old in paths.BUILD.glob('initramfs-*'):
            old.unlink()
        part = target.with_suffix('.part')
        part.write_bytes(gzip.compress(image, compresslevel=1, mtime=0))
        part.rename(target)
    return target


def _image(busybox: Path, programs: Path) -> bytes:
    cpio = Cpio()
    for name in DIRECTORIES:
        cpio.directory(name)
    cpio.device('dev/console', 5, 1)
    cpio.device('dev/null', 1, 3)
    cpio.link('sbin', 'bin')
    cpio.file('bin/busybox', busybox.read_bytes(), 0o755)
    applets = set(output([busybox, '--list']).split())
    ours = {p.name for p in programs.iterdir()}
    for applet in sorted(applets - ours - {'busybox'}):
        cpio.link(f'bin/{applet}', 'busybox')
    cpio.file('init', (paths.LINUX_TESTS / 'init').read_bytes(), 0o755)
    # A program finds its payload beside itself: both in lib/tdx, with a link in bin.
    for path in sorted(p for p in programs.iterdir() if p.suffix != '.elf'):
        mode = path.stat().st_mode & 0o777
        cpio.file(f'lib/tdx/{path.name}', path.read_bytes(), mode)
        if mode & 0o100:
            cpio.link(f'bin/{path.name}', f'/lib/tdx/{path.name}')
    scripts = [*paths.LINUX_TESTS.glob('*.sh'), *paths.LINUX_TESTS.glob('scenarios/*.sh')]
    for path in sorted(scripts):
        if path.name != 'build.sh':
            cpio.file(f'tests/{path.name}', path.read_bytes(), 0o755)
    cpio.file('etc/passwd', b'root::0:0:root:/root:/bin/sh\n')
    cpio.file('etc/group', b'root:x:0:\n')
    return cpio.bytes()


def with_command(base: Path, command: Optional[List[str]], target: Path) -> None:
    """Append to an initramfs what L1 is to run; the kernel unpacks both archives."""
    extra = Cpio()
    if command is not None:
        line = ' '.join(shlex.quote(word) for word in command)
        extra.file('tdxemu/command', f'exec {line}\n'.encode())
    data = base.read_bytes()
    with open(target, 'wb') as out:
        out.write(data + b'\0' * (-len(data) % 4))
        out.write(extra.bytes())
