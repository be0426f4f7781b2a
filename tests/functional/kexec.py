#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""L1 replaces its kernel by kexec after it has run a TD; the next one works."""
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap, tdxemu  # noqa: E402

from house import initramfs, kernel, machine  # noqa: E402

SECOND = 'uname -r; cat /proc/cmdline; dmesg | grep "virt/tdx: "'


def main() -> None:
    tap = Tap()
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(kernel.default(), Path(name, 'bzImage'))
        initramfs.with_command(initramfs.build(), ['sh', '-c', SECOND], Path(name, 'initrd'))
        line = f'{machine.APPEND} after-kexec'
        done = tdxemu('run', '--smp', '2', '--mem', '3G', '--share', name, '--', 'sh', '-c',
                      f'tdlaunch --quiet || exit 99; cd /mnt/share && kexecinto bzImage '
                      f'initrd "{line}"', timeout=200)
    said = done.stdout.decode()
    tap.check(done.returncode != 99, 'a TD runs before kexec', str(done))
    tap.check(done.returncode == 0 and 'after-kexec' in said, 'the second kernel boots',
              str(done))
    tap.check('TDX-Module initialized' in said, 'the second kernel initialises the module',
              said)
    tap.end()


main()
