#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Without the module L1 is a plain VMX machine; without VMX it is stock QEMU's."""
import sys
from pathlib import Path
from typing import Dict, List, Tuple

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402

from house import machine  # noqa: E402

# Flags of /proc/cpuinfo, KVM's parameters, whether there is /dev/kvm.
PROBE = '''
for flag in vmx ept ept_ad vnmi flexpriority tpr_shadow movdir64b; do
    grep -q "^[a-z ]*flags.*: .*\\<$flag\\>" /proc/cpuinfo && echo "$flag"
done
for name in ept eptad unrestricted_guest enable_apicv tdx; do
    value=$(cat /sys/module/kvm_intel/parameters/$name 2> /dev/null)
    echo "kvm_intel.$name=$value"
done
[ -c /dev/kvm ] && echo /dev/kvm
if [ "$1" = vmtest ]; then
    vmtest > /tmp/vmtest && ! grep -q "^not ok" /tmp/vmtest && echo vmtest
fi
dmesg | grep -o 'virt/tdx: .*'
exit 0
'''


class _Sink:
    def __init__(self) -> None:
        self.data = b''

    def write(self, data: bytes) -> None:
        self.data += data

    def flush(self) -> None:
        pass


def boot(options: machine.Options, *words: str) -> Tuple[int, List[str], List[str]]:
    """The status, what the probe said, and the bad lines of L1's log."""
    sink = _Sink()
    with machine.L1(options, ['sh', '-c', PROBE, 'sh', *words], None, sink, sink) as l1:
        status = l1.wait(100)
        return status, sink.data.decode(errors='replace').splitlines(), l1.bad_lines()


def parameters(said: List[str]) -> Dict[str, str]:
    return dict(line.split('=', 1) for line in said if line.startswith('kvm_intel.'))


def without_module(tap: Tap) -> None:
    status, said, bad = boot(machine.Options(smp=2, mem='2G', tdx=False), 'vmtest')
    why = f'{status} {said} {bad}'
    have = parameters(said)
    tap.check(status == 0 and not bad, 'no module: L1 boots, with a clean log', why)
    tap.check('vmx' in said and '/dev/kvm' in said, 'no module: VMX and KVM', why)
    on = ('ept', 'eptad', 'unrestricted_guest', 'enable_apicv')
    tap.check(all(have.get(f'kvm_intel.{name}') == 'Y' for name in on),
              'no module: KVM uses EPT, A/D bits, unrestricted guests and APICv', why)
    tap.check(have.get('kvm_intel.tdx') == 'N'
              and not any('initialized' in line for line in said),
              'no module: no TDX in KVM', why)
    tap.check('vmtest' in said, 'no module: an ordinary VM works', why)


def without_vmx(tap: Tap) -> None:
    for cpu in ('tdx,-vmx', 'max,-vmx'):
        status, said, bad = boot(machine.Options(smp=2, mem='2G', tdx=False, cpu=cpu))
        why = f'{status} {said} {bad}'
        tap.check(status == 0 and not bad, f'-cpu {cpu}: L1 boots, with a clean log',
                  why)
        tap.check('vmx' not in said and '/dev/kvm' not in said, f'-cpu {cpu}: no KVM',
                  why)


def main() -> None:
    tap = Tap()
    without_module(tap)
    without_vmx(tap)
    tap.end()


main()
