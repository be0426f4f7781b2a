# SPDX-License-Identifier: GPL-2.0-or-later
"""Obtain QEMU's source, apply our hooks and overlay, build it, and its firmware."""
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Dict, List

from . import apt, paths
from .ui import Failure, Step, locked, output

VERSION = '10.0.'
PYTHON = '/usr/bin/python3'
SEABIOS = Path('/usr/share/seabios/bios-256k.bin')
OPTION_ROMS = ('linuxboot_dma.bin', 'linuxboot.bin', 'pvh.bin', 'kvmvapic.bin')


def jobs() -> str:
    return os.environ.get('TDXEMU_JOBS') or str(len(os.sched_getaffinity(0)))


def ccache_env(base: Path) -> Dict[str, str]:
    """The environment in which checkouts at different paths share compilations."""
    env = dict(os.environ)
    env.update(CCACHE_DIR=str(paths.CCACHE), CCACHE_BASEDIR=str(base),
               CCACHE_NOHASHDIR='1', CCACHE_MAXSIZE='2G')
    return env


# --- source -------------------------------------------------------------------

def fetch(update: bool = False) -> Path:
    """The directory with the downloaded source package of the newest QEMU 10.0.x."""
    have = apt.downloaded('qemu', VERSION)
    if have and not update:
        return have
    with locked(paths.APT, 'downloads'), \
            Step('fetching QEMU\'s source', 'qemu-fetch', '30 s', apt.OFFLINE) as step:
        private = apt.PrivateApt(step)
        private.update()
        versions = [v for v in private.source_versions('qemu')
                    if apt.without_epoch(v).startswith(VERSION)]
        best = apt.newest(versions)
        if not best:
            private.none(f'QEMU {VERSION}x in {apt.SUITE}')
        return private.source('qemu', best)


def unpack(download: Path, into: Path, log: str) -> None:
    """Unpack a source package with the distribution's patches, or not at all."""
    part = into.with_name(into.name + '.part')
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    apt.need_room(part.parent, 2, 'QEMU\'s source and build')
    with Step('unpacking QEMU\'s source', log, '20 s') as step:
        dsc = next(download.glob('*.dsc'), 'no .dsc')
        if step.run(['dpkg-source', '--no-copy', '-x', dsc, part], check=False):
            apt.damaged(step, download)
        part.rename(into)


def _own_tree(source: Path, into: Path) -> None:
    if not (source / 'configure').is_file():
        raise Failure(f'TDXEMU_QEMU_SRC={source} is not a QEMU source tree; it needs '
                      f'the source of QEMU {VERSION}x')
    with Step(f'copying {source}', 'qemu-unpack') as step:
        part = into.with_name(into.name + '.part')
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        step.run(['cp', '-a', '--reflink=auto', source, part])
        part.rename(into)


def source_tree(update: bool = False) -> str:
    """Have build/qemu-src in place, unpatched or patched; the source's name."""
    own = os.environ.get('TDXEMU_QEMU_SRC')
    name = str(Path(own).absolute()) if own else fetch(update).name
    stamp = paths.BUILD / 'qemu-src.from'
    if paths.QEMU_SRC.is_dir() and stamp.is_file() and stamp.read_text() == name:
        return name
    stamp.unlink(missing_ok=True)
    shutil.rmtree(paths.QEMU_SRC, ignore_errors=True)
    if own:
        _own_tree(Path(name), paths.QEMU_SRC)
    else:
        unpack(paths.DOWNLOADS / name, paths.QEMU_SRC, 'qemu-unpack')
    stamp.write_text(name)
    return name


# --- meson ----------------------------------------------------------------------

def _recent(version: str) -> bool:
    numbers = [int(n) for n in version.split('.')[:2] if n.isdigit()]
    return len(numbers) == 2 and numbers >= [1, 5]


def meson_env(env: Dict[str, str]) -> Dict[str, str]:
    """`env` with a meson that is new enough for QEMU 10.0 in its PATH."""
    clean = dict(env)
    clean['PATH'] = '/usr/local/bin:/usr/bin:/bin:' + clean.get('PATH', '')
    if _recent(output(['meson', '--version'], env=clean).strip()):
        return clean
    tree = _private_meson()
    clean['PATH'] = f'{tree}/run:' + clean['PATH']
    clean['PYTHONPATH'] = str(tree / 'usr/lib/python3/dist-packages')
    return clean


def _private_meson() -> Path:
    ready = sorted(p for p in paths.CACHE.glob('meson-*') if p.suffix != '.part')
    if ready:
        return ready[-1]
    with locked(paths.APT, 'downloads'), \
            Step('fetching a meson that is new enough for QEMU', 'meson', '30 s',
                 apt.OFFLINE) as step:
        deb = apt.downloaded('meson', '1.')
        if not deb:
            private = apt.PrivateApt(step)
            private.update()
            best = apt.newest([v for v in private.binary_versions('meson') if _recent(v)])
            if not best:
                private.none('meson from 1.5 up')
            deb = private.binary('meson', best)
        tree = paths.CACHE / deb.name.replace('_', '-')
        if tree.is_dir():
            return tree                 # another run was faster
        part = tree.with_name(tree.name + '.part')
        shutil.rmtree(part, ignore_errors=True)
        if step.run(['dpkg-deb', '-x', next(deb.glob('*.deb')), part], check=False):
            apt.damaged(step, deb)
        run = part / 'run'
        run.mkdir()
        (run / 'meson').write_text(
            f'#!/bin/sh\nexport PYTHONPATH="{tree}/usr/lib/python3/dist-packages"\n'
            f'exec {PYTHON} "{tree}/usr/bin/meson" "$@"\n')
        (run / 'meson').chmod(0o755)
        part.rename(tree)
    return tree


# --- build ----------------------------------------------------------------------

def build(update: bool = False) -> Path:
    """Build the emulator of this checkout; does nothing when nothing has changed."""
    source_tree(update)
    _prepare()
    env = meson_env(ccache_env(paths.ROOT))
    fresh = not paths.QEMU.exists()
    if fresh:
        apt.need_room(paths.BUILD, 2, 'QEMU\'s source and build')
    with Step('building QEMU', 'qemu-build', '1 to 8 min' if fresh else '5 s') as step:
        step.run([paths.QEMU_FILES / 'build.sh', paths.QEMU_SRC, paths.QEMU_BUILD,
                  jobs()], env=env)
    _compile_commands()
    _firmware()
    return paths.QEMU


def _prepare() -> None:
    script = paths.QEMU_FILES / 'prepare.sh'
    for attempt in (1, 2):
        with Step('applying hooks and overlay', 'qemu-prepare') as step:
            status = step.run([script, paths.ROOT, paths.QEMU_SRC], check=False)
            if status == 0:
                return
            if status != 3 or attempt == 2:
                step.remedy = 'the patches fit the 10.0 series only'
                # A failed series leaves the tree half-patched: start afresh next time.
                shutil.rmtree(paths.QEMU_SRC, ignore_errors=True)
                step.fail('\n'.join(_last(step.log)) or 'prepare.sh failed')
        shutil.rmtree(paths.QEMU_SRC)
        source_tree()


def _last(log: Path) -> List[str]:
    return [line for line in log.read_text().splitlines()
            if line.startswith('prepare.sh: ')][-1:]


def _firmware() -> None:
    """SeaBIOS from the distribution, option ROMs from QEMU's source."""
    if not SEABIOS.is_file():
        raise Failure(f'{SEABIOS} is missing; install the package seabios')
    paths.FIRMWARE.mkdir(parents=True, exist_ok=True)
    bios = paths.FIRMWARE / SEABIOS.name
    if not bios.exists() or bios.read_bytes() != SEABIOS.read_bytes():
        shutil.copyfile(SEABIOS, bios)
    if all((paths.FIRMWARE / rom).exists() for rom in OPTION_ROMS):
        return
    work = paths.BUILD / 'optionrom'
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / 'config.mak').write_text(
        f'TOPSRC_DIR={paths.QEMU_SRC}\nCC=gcc -m32\nOBJCOPY=objcopy\n'
        f'PYTHON={PYTHON}\nTARGET_DIR=\n')
    with Step('building option ROMs', 'optionrom', '2 s') as step:
        step.run(['make', '-f', paths.QEMU_SRC / 'pc-bios/optionrom/Makefile',
                  *OPTION_ROMS], cwd=work)
        for rom in OPTION_ROMS:
            shutil.copyfile(work / rom, paths.FIRMWARE / rom)


def _compile_commands() -> None:
    """clangd: QEMU's compile commands with our paths instead of the links."""
    source = paths.QEMU_BUILD / 'compile_commands.json'
    target = paths.ROOT / 'compile_commands.json'
    if not source.exists() or (target.exists()
                               and target.stat().st_mtime >= source.stat().st_mtime):
        return
    commands = json.loads(source.read_text())
    for entry in commands:
        real = os.path.realpath(os.path.join(entry['directory'], entry['file']))
        if real.startswith(f'{paths.ROOT}/') and not real.startswith(f'{paths.BUILD}/'):
            entry['command'] = entry['command'].replace(f' -c {entry["file"]}',
                                                        f' -c {real}')
            entry['file'] = real
    target.write_text(json.dumps(commands, indent=1))


# --- the stock emulator, peer of the benchmarks -----------------------------------

def stock() -> Path:
    """QEMU of the same source and options without our hooks, cached by content."""
    download = fetch()
    options = (paths.QEMU_FILES / 'configure-options').read_bytes()
    key = hashlib.sha256(options).hexdigest()[:12]
    home = paths.STOCK / f'{download.name}-{key}'
    binary = home / 'qemu-system-x86_64'
    with locked(paths.STOCK, 'stock QEMU'):
        if not binary.exists():
            _build_stock(download, home)
    return binary


def _build_stock(download: Path, home: Path) -> None:
    work = paths.STOCK / 'work'
    shutil.rmtree(work, ignore_errors=True)
    unpack(download, work / 'qemu-src', 'stock-unpack')
    with Step('building stock QEMU', 'stock-build', '1 to 8 min') as step:
        step.run([paths.QEMU_FILES / 'build.sh', work / 'qemu-src', work / 'qemu',
                  jobs()], env=meson_env(ccache_env(work)))
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy2(work / 'qemu/qemu-system-x86_64', home / 'binary.part')
    (home / 'binary.part').rename(home / 'qemu-system-x86_64')
    shutil.rmtree(work)
