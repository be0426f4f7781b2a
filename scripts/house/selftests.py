# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM's own selftests, built from the distribution's Linux source for L1 to run.

tests/linux/selftests.list says which, with what time limit, and why not the others. The
programs and a list for tests/linux/selftests.sh make a directory of the cache, which L1
mounts. Nothing of Linux's source comes into the checkout.
"""
import hashlib
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

from . import apt, kernel, paths, qemu
from .ui import Failure, Step, locked

RECIPE = b'1'           # changes when the way they are built does

# What is needed of the source: the user-space headers, the tests, what they include.
WANTED = ('Makefile', 'scripts', 'include', 'arch/x86', 'tools/arch/x86', 'tools/build',
          'tools/include', 'tools/lib', 'tools/scripts', 'tools/testing/selftests/*.h',
          'tools/testing/selftests/*.sh', 'tools/testing/selftests/lib.mk',
          'tools/testing/selftests/cgroup', 'tools/testing/selftests/clone3',
          'tools/testing/selftests/kselftest', 'tools/testing/selftests/kvm',
          'tools/testing/selftests/rseq', 'tools/testing/selftests/vfio')


@dataclass
class Selection:
    """The list: lines of tests to run as L1 reads them, and reasons for the others."""
    run: List[str] = field(default_factory=list)
    programs: List[str] = field(default_factory=list)
    left_out: Dict[str, str] = field(default_factory=dict)


def selection(path: Path = paths.SELFTESTS_LIST) -> Selection:
    """Lines `PROGRAM SECONDS [ARGUMENT...]` and `- PROGRAM: reason`."""
    chosen = Selection()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        left_out = re.fullmatch(r'- ([\w/-]+): (.+)', line)
        run = re.fullmatch(r'([\w/-]+) +(\d+)((?: +[\w./-]+)*)', line)
        if not line.strip() or line.startswith('#'):
            continue
        if left_out:
            chosen.left_out[left_out.group(1)] = left_out.group(2)
        elif run:
            chosen.run.append(f'{Path(run.group(1)).name} {run.group(2)}{run.group(3)}')
            chosen.programs.append(run.group(1))
        else:
            raise Failure(f'{path.name}:{number}: neither a test nor one left out')
    return chosen


def build() -> Path:
    """The directory for L1, with the programs and `list`; in the cache once built."""
    chosen = selection()
    download = kernel.fetch()
    key = hashlib.sha256(RECIPE + b'\n' + download.name.encode() + b'\n'
                         + '\n'.join(chosen.run + chosen.programs).encode())
    done = paths.SELFTESTS / f'{download.name}-{key.hexdigest()[:12]}'
    if (done / 'list').is_file():
        return done
    with locked(paths.SELFTESTS, 'KVM\'s selftests'):
        if (done / 'list').is_file():
            return done                 # another run has built them meanwhile
        for left in paths.SELFTESTS.glob('work-*'):     # of an interrupted run
            shutil.rmtree(left, ignore_errors=True)
        work = paths.SELFTESTS / f'work-{key.hexdigest()[:12]}'
        _unpack(download, work)
        _make(work, chosen)
        _keep(work / 'out', chosen, done)
        shutil.rmtree(work)
    return done


def _unpack(download: Path, work: Path) -> None:
    work.mkdir(parents=True)
    apt.need_room(work, 1, 'KVM\'s selftests')
    with Step('unpacking KVM\'s selftests', 'selftests-unpack', '1 min') as step:
        kernel.extract(step, download, work, WANTED)


def _make(work: Path, chosen: Selection) -> None:
    """Static programs: L1 has no C library."""
    env = qemu.ccache_env(paths.CACHE)
    source, out = work / 'src', work / 'out'
    out.mkdir()
    headers = ['make', '-C', source, 'ARCH=x86', f'-j{qemu.jobs()}', 'headers']
    # Without the VFIO library, which only one test needs: it wants libuuid.
    tests = ['make', '-C', source / 'tools/testing/selftests/kvm', 'ARCH=x86',
             f'-j{qemu.jobs()}', f'OUTPUT={out}', 'LIBVFIO_O=', 'LDLIBS=-ldl',
             'CC=' + ('ccache gcc' if shutil.which('ccache') else 'gcc'),
             'EXTRA_CFLAGS=-static', f'KHDR_INCLUDES=-isystem {source}/usr/include']
    with Step('building KVM\'s selftests', 'selftests-build', '2 min') as step:
        step.run(headers, env=env)
        step.run(tests + [out / name for name in chosen.programs], env=env)
        for name in set(chosen.programs):
            step.run(['strip', out / name])


def _keep(out: Path, chosen: Selection, done: Path) -> None:
    part = done.with_name(done.name + '.part')
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in set(chosen.programs):
        shutil.copy2(out / name, part / Path(name).name)
    (part / 'list').write_text('\n'.join(chosen.run) + '\n')
    shutil.rmtree(done, ignore_errors=True)
    part.rename(done)
