# SPDX-License-Identifier: GPL-2.0-or-later
"""The distribution's packages that a build needs."""
import os
import shutil
import subprocess
from typing import List

from .ui import Failure, Step, output, say

# Package and what it is for.
PACKAGES = {
    'gcc': 'compiler of everything',
    'libc6-dev': 'static C library for L1\'s programs',
    'binutils': 'assembler and linker',
    'make': 'Linux, option ROMs',
    'patch': 'our hooks into QEMU\'s files',
    'ccache': 'fast rebuilds',
    'ninja-build': 'QEMU',
    'pkgconf': 'QEMU',
    'python3-venv': 'QEMU\'s configure',
    'libglib2.0-dev': 'QEMU and the module model',
    'libpixman-1-dev': 'QEMU',
    'zlib1g-dev': 'QEMU',
    'libfdt-dev': 'QEMU',
    'libattr1-dev': 'QEMU\'s 9p server (run --share)',
    'dpkg-dev': 'unpacking source packages',
    'xz-utils': 'unpacking sources',
    'gpgv': 'apt\'s signature checks',
    'flex': 'Linux',
    'bison': 'Linux',
    'bc': 'Linux',
    'libelf-dev': 'Linux\'s objtool',
    'seabios': 'the firmware that L1 boots from',
    'busybox-static': 'L1\'s user land',
}


def missing() -> List[str]:
    listing = output(['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n'])
    have = {line.split()[0] for line in listing.splitlines()
            if line.endswith(' installed')}
    return [p for p in PACKAGES if p not in have]


def _become_root(by_hand: str) -> List[str]:
    """The words before a command that make it root's."""
    if not os.geteuid():
        return []
    if not shutil.which('sudo'):
        raise Failure('packages are missing and there is no sudo; as root run: '
                      + by_hand)
    if subprocess.run(['sudo', '-n', 'true'], stderr=subprocess.DEVNULL,
                      check=False).returncode == 0:
        return ['sudo', '-n']
    if os.isatty(0):                    # else sudo must not wait for a password
        say(f'packages are missing; sudo asks for your password to run: {by_hand}')
        if subprocess.run(['sudo', 'true'], check=False).returncode == 0:
            return ['sudo']
    raise Failure('packages are missing and sudo does not let you install them; as root '
                  f'run: {by_hand}')


def install() -> None:
    """Install what is missing, as root or through sudo."""
    if not shutil.which('dpkg-query') or not shutil.which('apt-get'):
        raise Failure('this is not Debian: ./tdxemu setup needs apt and knows the '
                      'package names of Debian 12 and 13')
    absent = missing()
    if not absent:
        return
    by_hand = 'apt-get install ' + ' '.join(absent)
    root = _become_root(by_hand)
    env = root + ['env', 'DEBIAN_FRONTEND=noninteractive']
    with Step(f'installing {len(absent)} packages', 'packages', '1 min',
              f'check the network, or as root run: {by_hand}') as step:
        step.note(' '.join(absent))
        step.run(env + ['apt-get', '-q', 'update'], check=False)
        step.run(env + ['apt-get', '-q', 'install', '-y', '--no-install-recommends']
                 + absent, check=False)
        left = missing()
        if left:
            step.fail('apt-get did not install all of them')
