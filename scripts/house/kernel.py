# SPDX-License-Identifier: GPL-2.0-or-later
"""Obtain Linux's source and build a host kernel that can run TDs."""
import bz2
import gzip
import hashlib
import lzma
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from . import apt, paths, qemu
from .ui import Failure, Step, locked

PREFERRED = '7.3'       # the kernel that the tests are written for
OLDEST = (7, 2)
RECIPE = b'2'           # changes when the way a kernel is built does
ARTEFACTS = ('bzImage', 'vmlinux', 'System.map', 'config')


# --- source -------------------------------------------------------------------

def _package(private: apt.PrivateApt, version: Optional[str]) -> str:
    """The linux-source package to take: PREFERRED, else the newest from OLDEST up."""
    offered = {}
    for name in private.names(r'^linux-source-[0-9]+\.[0-9]+$'):
        offered[tuple(int(n) for n in name.split('-')[-1].split('.'))] = name
    if not offered:
        private.none('linux-source package')
    if version:
        wanted = tuple(int(n) for n in version.split('.')[:2])
        if wanted in offered:
            return offered[wanted]
        names = ', '.join('.'.join(map(str, v)) for v in sorted(offered)) or 'none'
        raise Failure(f'--version {version}: apt has no such linux-source package; it '
                      f'offers {names}; or give your own tree with --source')
    if f'linux-source-{PREFERRED}' in offered.values():
        return f'linux-source-{PREFERRED}'
    recent = [v for v in offered if v >= OLDEST]
    if not recent:
        raise Failure(f'apt offers no linux-source from {OLDEST[0]}.{OLDEST[1]} up; give '
                      'your own kernel with --kernel or ./tdxemu kernel --source')
    return offered[max(recent)]


def fetch(version: Optional[str] = None) -> Path:
    """The directory with the linux-source package."""
    if version and not re.fullmatch(r'\d+\.\d+(\.\d+)?', version):
        raise Failure(f'--version {version}: give a version like {PREFERRED}')
    short = '.'.join((version or PREFERRED).split('.')[:2])
    have = apt.downloaded(f'linux-source-{short}', short)
    if not have and not version:
        have = next(iter(sorted(paths.DOWNLOADS.glob('linux-source-7.*[0-9]'),
                                reverse=True)), None)
    if have:
        return have
    with locked(paths.APT, 'downloads'), \
            Step('fetching Linux\'s source', 'linux-fetch', '1 min', apt.OFFLINE) as step:
        private = apt.PrivateApt(step)
        private.update()
        package = _package(private, version)
        best = apt.newest(private.binary_versions(package))
        if not best:
            private.none(f'version of {package}')
        return private.binary(package, best)


def _unpack(download: Path, into: Path) -> Path:
    """Unpack the source tree of a linux-source package below `into`."""
    part = into.with_name(into.name + '.part')
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(into, ignore_errors=True)
    part.mkdir(parents=True)
    apt.need_room(part, 4, 'Linux\'s source and build')
    with Step('unpacking Linux\'s source', 'linux-unpack', '1 min') as step:
        extract(step, download, part)
        part.rename(into)
    return into / 'src'


def extract(step: Step, download: Path, work: Path, only: Sequence[str] = ()) -> None:
    """Linux's source of this package as `work`/src: all of it, or what tar's patterns
    `only` match below the top directory."""
    deb = next(download.glob('*.deb'), 'no .deb')
    if step.run(['dpkg-deb', '-x', deb, work / 'deb'], check=False):
        apt.damaged(step, download)
    tar = next((work / 'deb/usr/src').glob('linux-source-*.tar.xz'))
    (work / 'src').mkdir()
    patterns = ['--wildcards', '--no-wildcards-match-slash', *(f'*/{o}' for o in only)]
    step.run(['tar', '-C', work / 'src', '--strip-components=1', '-xf', tar,
              *(patterns if only else [])])
    shutil.rmtree(work / 'deb')


# --- build ----------------------------------------------------------------------

def _hash(parts: List[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def _series(directory: Optional[Path]) -> List[Path]:
    if not directory:
        return []
    if not directory.is_dir():
        raise Failure(f'--patches {directory}: there is no such directory')
    names = sorted(p.name for p in directory.glob('*.patch'))
    if (directory / 'series').is_file():
        lines = (directory / 'series').read_text().splitlines()
        names = [line.split('#')[0].strip() for line in lines]
    return [directory / n for n in names if n]


def _configs(fragments: Sequence[Path]) -> List[Path]:
    """The fragments of .config to merge; in a conflict the last one has its way."""
    for f in fragments:
        if not f.is_file():
            raise Failure(f'--config {f}: there is no such file')
    return [paths.KERNEL_CONFIG, *(f.absolute() for f in fragments)]


def build(version: Optional[str] = None, source: Optional[Path] = None,
          patches: Optional[Path] = None, fragments: Sequence[Path] = ()) -> Path:
    """Build a TDX host kernel, or find it in the cache; the directory with it.

    `fragments` are merged over tests/linux/kernel.config, in this order.
    """
    series = _series(patches)
    configs = _configs(fragments)
    if source:
        return _build_own(source.absolute(), series, configs)
    download = fetch(version)
    key = _hash([RECIPE, download.name.encode(), *(c.read_bytes() for c in configs),
                 *(p.read_bytes() for p in series)])
    done = paths.KERNELS / f'{download.name}-{key}'
    if (done / 'bzImage').is_file():
        return done
    with locked(paths.KERNELS, 'a kernel'):
        if (done / 'bzImage').is_file():
            return done                 # another run has built it meanwhile
        for left in paths.KERNELS.glob('work-*'):       # of an interrupted run
            shutil.rmtree(left, ignore_errors=True)
        work = paths.KERNELS / f'work-{key}'
        tree = _unpack(download, work)
        _refuse_known(tree, series, download.name.replace('_', ' '))
        _apply(tree, series)
        _make(tree, work / 'obj', paths.CACHE, configs)
        _keep(work / 'obj', done)
        shutil.rmtree(work)
    return done


def dynamic_pamt(debug: bool) -> Path:
    """Linux with our host patches for Dynamic PAMT; the directory with it.

    With `debug` it checks its locks and contexts, and has the planted mistakes in.
    """
    patches = paths.DYNAMIC_PAMT_PATCHES
    return build(patches=patches, fragments=[
        paths.KERNEL_DEBUG_CONFIG, patches / 'mistakes.config'] if debug else [])


def _build_own(source: Path, series: List[Path], configs: List[Path]) -> Path:
    """A user's own tree: built beside, not in it; incremental."""
    if not (source / 'Kbuild').is_file() or not (source / 'arch/x86').is_dir():
        raise Failure(f'--source {source} is not a Linux source tree')
    _refuse_known(source, series, f'--source {source}')
    if series:
        raise Failure('--patches goes with a downloaded kernel; apply the patches to '
                      'your own --source tree yourself')
    if (source / '.config').exists() or (source / 'include/config').exists():
        raise Failure(f'--source {source} has been built in; run make mrproper there '
                      'first, or give a clean git worktree')
    home = paths.BUILD / ('kernel-' + _hash([str(source).encode(),
                                             *(c.read_bytes() for c in configs[1:])]))
    with locked(home, 'a kernel'):
        _make(source, home / 'obj', source.parent, configs)
        _keep(home / 'obj', home / 'out')
    return home / 'out'


def _refuse_known(tree: Path, series: List[Path], name: str) -> None:
    """Patches that bring Dynamic PAMT are not for a Linux that has it."""
    code = (tree / 'arch/x86/virt/vmx/tdx').glob('*.c')
    bring = re.compile(rb'^\+\w.*\btdx_pamt_get\(', re.M)
    if any(bring.search(p.read_bytes()) for p in series) and \
            any(b'tdx_pamt_get(' in c.read_bytes() for c in code):
        raise Failure(f'{name} has Dynamic PAMT already (tdx_pamt_get), the patches are '
                      'not needed; run the same without --patches')


def _apply(tree: Path, series: List[Path]) -> None:
    if not series:
        return
    with Step(f'applying {len(series)} patches', 'linux-patches') as step:
        step.remedy = 'refresh it against this version of Linux'
        for p in series:
            if step.run(['patch', '-d', tree, '-p1', '-N', '-s', '-i', p.absolute()],
                        check=False):
                step.fail(f'--patches: {p.name} does not apply')


def _make(tree: Path, obj: Path, base: Path, configs: List[Path]) -> None:
    obj.mkdir(parents=True, exist_ok=True)
    env = qemu.ccache_env(base)
    env.update(KBUILD_BUILD_USER='build', KBUILD_BUILD_HOST='l1')
    cc = 'ccache gcc' if shutil.which('ccache') else 'gcc'
    make = ['make', '-C', tree, f'O={obj}', f'CC={cc}', 'HOSTCC=gcc', f'-j{qemu.jobs()}']
    with Step('configuring Linux', 'linux-config', '30 s') as step:
        step.run(make + ['tinyconfig'], env=env)
        step.run([tree / 'scripts/kconfig/merge_config.sh', '-m', '-O', obj,
                  obj / '.config', *configs], cwd=tree, env=env)
        step.run(make + ['olddefconfig'], env=env)
        lost = _lost(configs, (obj / '.config').read_text())
        if lost:
            step.remedy = 'this Linux is too old or lacks their dependencies'
            names = ' and '.join(_shown(c) for c in configs)
            step.fail(f'these options of {names} did not stick: ' + ' '.join(lost))
    with Step('building Linux', 'linux-build', '2 to 12 min') as step:
        step.run(make + ['bzImage'], env=env)


def _shown(path: Path) -> str:
    return str(path.relative_to(paths.ROOT) if paths.ROOT in path.parents else path)


def _lost(configs: List[Path], got: str) -> List[str]:
    """The options that Kconfig did not take as the fragments ask for them."""
    wanted: Dict[str, str] = {}             # the last fragment that names one decides
    for line in '\n'.join(c.read_text() for c in configs).splitlines():
        match = re.match(r'(CONFIG_\w+)=|# (CONFIG_\w+) is not set$', line)
        if match:
            wanted[match.group(1) or match.group(2)] = line
    have = set(got.splitlines())
    on = {h.split('=')[0] for h in have}
    lost = []
    for option, line in wanted.items():
        if not line.startswith('#') and line not in have:
            lost.append(line)
        if line.startswith('#') and option in on:
            lost.append(option + '=n')
    return lost


def _keep(obj: Path, into: Path) -> None:
    part = into.with_name(into.name + '.part')
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, where in (('bzImage', 'arch/x86/boot/bzImage'), ('vmlinux', 'vmlinux'),
                        ('System.map', 'System.map'), ('config', '.config')):
        shutil.copy2(obj / where, part / name)
    shutil.rmtree(into, ignore_errors=True)
    part.rename(into)


def default() -> Path:
    """The bzImage that L1 boots unless the user names another."""
    return build() / 'bzImage'


# --- a user's own bzImage ----------------------------------------------------------

def check(image: Path, tdx: bool) -> None:
    """Refuse a file that cannot boot as L1, or that has no TDX host support."""
    try:
        data = image.read_bytes()
    except OSError as e:
        why = (e.strerror or str(e)).lower()
        raise Failure(f'--kernel {image}: {why}; give a bzImage, for '
                      'example from ./tdxemu kernel') from None
    if len(data) < 0x264 or data[0x202:0x206] != b'HdrS':
        raise Failure(f'--kernel {image} is no x86 bzImage; give arch/x86/boot/bzImage '
                      'of a built kernel')
    payload = _payload(data)
    if tdx and payload is not None and b'virt/tdx: ' not in payload:
        raise Failure(f'--kernel {image} has no TDX host support; build it with '
                      'CONFIG_INTEL_TDX_HOST=y (./tdxemu kernel does), or give --no-tdx '
                      'to boot it without the module')


def _payload(data: bytes) -> Optional[bytes]:
    """The decompressed kernel of a bzImage; None if we cannot decompress it."""
    setup = (data[0x1f1] or 4) + 1
    offset, length = struct.unpack_from('<II', data, 0x248)
    packed = data[setup * 512 + offset:][:length]
    try:
        if packed[:2] == b'\x1f\x8b':
            return zlib.decompressobj(wbits=31).decompress(packed)
        if packed[:3] == b'BZh':
            return bz2.BZ2Decompressor().decompress(packed)
        if packed[:6] == b'\xfd7zXZ\0' or packed[:1] == b'\x5d':
            return lzma.LZMADecompressor().decompress(packed)
        if packed[:4] == b'\x28\xb5\x2f\xfd' and shutil.which('zstd'):
            return subprocess.run(['zstd', '-dcq'], input=packed, check=False,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL).stdout or None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile):
        pass
    return None


def copy_to(done: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in ARTEFACTS:
        shutil.copy2(done / name, out / name)
