#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of ./tdxemu run that make the machine do what they say."""
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Dict

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap, tdxemu  # noqa: E402

from house import initramfs, kernel  # noqa: E402

INITIALIZED = 'virt/tdx: TDX-Module initialized'

# What L1 sees of its machine, as NAME VALUE lines.
PROBE = '''
echo "cpus $(nproc)"
echo "kilobytes $(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
echo "tdx $(cat /sys/module/kvm_intel/parameters/tdx)"
echo "command-line $(cat /proc/cmdline)"
dmesg | sed -n 's/^.*virt\\/tdx: \\(.*\\)$/log virt\\/tdx: \\1/p'
'''


def probe(*options: str, timeout: float = 120) -> Dict[str, str]:
    done = tdxemu('run', *options, '--', 'sh', '-c', PROBE, timeout=timeout)
    found = {'status': str(done.returncode), 'said': str(done), 'log': ''}
    for line in done.stdout.decode(errors='replace').splitlines():
        name, _, value = line.partition(' ')
        found[name] = found['log'] + value + '\n' if name == 'log' else value
    return found


# Few CPUs with much memory and the reverse; tests/linux/scenarios/module.sh has others.
SIZES = ((1, 16), (8, 2), (16, 8), (3, 1))


def sizes(tap: Tap) -> None:
    for smp, gigabytes in SIZES:
        seen = probe('--smp', str(smp), '--mem', f'{gigabytes}G')
        text = f'--smp {smp} --mem {gigabytes}G'
        tap.check(seen['status'] == '0' and INITIALIZED in seen['log'],
                  f'{text}: L1 initialises the module', seen['said'])
        tap.check(seen.get('tdx') == 'Y', f'{text}: KVM uses it', seen['said'])
        share = int(seen.get('kilobytes', 0)) / (gigabytes << 20)
        tap.check(seen.get('cpus') == str(smp) and 0.85 < share < 1,
                  f'{text}: L1 has these CPUs and this memory', seen['said'])


def own_kernel(tap: Tap) -> None:
    with tempfile.TemporaryDirectory() as name:
        image = Path(name, 'my kernel', 'image, of mine')
        image.parent.mkdir()
        shutil.copyfile(kernel.default(), image)
        seen = probe('--mem', '2G', '--kernel', str(image), '--append', 'mine=1 two',
                     '--module', 'num-tdx-keyids=5,num-mktme-keyids=7,version=1.5.99')
    tap.check(seen['status'] == '0' and INITIALIZED in seen['log'],
              '--kernel: a bzImage of the user\'s', seen['said'])
    tap.check(seen.get('command-line', '').endswith(' mine=1 two'),
              '--append: words at the end of the command line', seen['said'])
    tap.check('private KeyID range [8, 13)' in seen['log'],
              '--module: numbers of KeyIDs', seen['said'])
    tap.check('Module version: 1.5.99' in seen['log'], '--module: version', seen['said'])


def own_initrd(tap: Tap) -> None:
    """Without CMD L1's console is on the standard streams."""
    cpio = initramfs.Cpio()
    for name in ('bin', 'dev', 'proc'):
        cpio.directory(name)
    cpio.device('dev/console', 5, 1)
    cpio.file('bin/busybox', Path('/bin/busybox').read_bytes(), 0o755)
    cpio.file('init', b'#!/bin/busybox sh\n/bin/busybox echo "an initramfs of mine"\n'
              b'/bin/busybox poweroff -f\n', 0o755)
    with tempfile.NamedTemporaryFile() as file:
        file.write(cpio.bytes())
        file.flush()
        done = tdxemu('run', '--mem', '2G', '--initrd', file.name)
    tap.check(done.returncode == 0 and b'an initramfs of mine' in done.stdout
              and INITIALIZED.encode() in done.stdout,
              '--initrd: L1\'s console comes to standard output', str(done)[-2000:])


def main() -> None:
    tap = Tap()
    for test in (sizes, own_kernel, own_initrd):
        test(tap)
    tap.end()


main()
