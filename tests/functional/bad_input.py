#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong input gets one sentence that names the option, status 1, and no machine."""
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap, tdxemu  # noqa: E402
from house import paths  # noqa: E402


def bzimage_without_tdx() -> bytes:
    """The smallest file that looks like a bzImage whose payload has no TDX code."""
    import struct
    import zlib
    packer = zlib.compressobj(wbits=31)
    payload = packer.compress(b'a kernel without that support') + packer.flush()
    head = bytearray(1024)
    head[0x1f1] = 1
    head[0x202:0x206] = b'HdrS'
    struct.pack_into('<II', head, 0x248, 0, len(payload))
    return bytes(head) + payload


def with_dynamic_pamt(here: Path) -> Path:
    """What of a Linux tree tells that it has the series already."""
    tree = here / 'linux'
    tdx = tree / 'arch/x86/virt/vmx/tdx'
    tdx.mkdir(parents=True)
    (tree / 'Kbuild').touch()
    (tdx / 'tdx.c').write_text('int tdx_pamt_get(u64 pfn, struct cache *cache)\n{\n')
    return tree


def main() -> None:
    tap = Tap()

    def refused(text: str, word: str, *args: str) -> None:
        done = tdxemu(*args)
        said = done.stderr.decode()
        last = said.splitlines()[-1] if said else ''
        tap.check(done.returncode == 1 and last.startswith('tdxemu: ') and word in last
                  and 'Traceback' not in said, text,
                  f'status {done.returncode}: {said}')

    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        (here / 'text').write_text('no kernel at all')
        (here / 'no-tdx').write_bytes(bzimage_without_tdx())
        (here / 'empty').mkdir()
        refused('a missing kernel', '--kernel', 'run', '--kernel', f'{here}/absent', '--',
                'true')
        refused('a directory as kernel', '--kernel', 'run', '--kernel', name, '--',
                'true')
        refused('a file that is no bzImage', '--kernel', 'run', '--kernel',
                f'{here}/text', '--', 'true')
        refused('a kernel without TDX support', 'CONFIG_INTEL_TDX_HOST', 'run',
                '--kernel', f'{here}/no-tdx', '--', 'true')
        if os.geteuid():
            (here / 'secret').write_text('')
            (here / 'secret').chmod(0)
            refused('an unreadable kernel', '--kernel', 'run', '--kernel',
                    f'{here}/secret', '--', 'true')
        refused('a machine too small for the PAMT', '--mem', 'run', '--mem', '256M', '--',
                'true')
        refused('a size that is none', '--mem', 'run', '--mem', 'lots', '--', 'true')
        refused('more memory than there is', '--mem', 'run', '--mem', '900000G', '--',
                'true')
        refused('no CPU', '--smp', 'run', '--smp', '0', '--', 'true')
        refused('more CPUs than the kernel takes', '--smp', 'run', '--smp', '17', '--',
                'true')
        refused('a missing initramfs', '--initrd', 'run', '--initrd', f'{here}/absent')
        refused('an initramfs with a command', '--initrd', 'run', '--initrd',
                f'{here}/text', '--', 'true')
        refused('a missing directory to share', '--share', 'run', '--share',
                f'{here}/absent', '--', 'true')
        refused('a missing file of trace events', '--trace', 'run', '--trace',
                f'{here}/absent', '--', 'true')
        refused('no KeyIDs for TDX', 'num-tdx-keyids', 'run', '--module',
                'num-tdx-keyids=0', '--', 'true')
        refused('one KeyID for TDX', 'num-tdx-keyids', 'run', '--module',
                'num-tdx-keyids=1', '--', 'true')
        refused('a property that the module has not', 'no-such-property', 'run',
                '--module', 'no-such-property=1', '--', 'true')
        refused('phys-bits without room for KeyIDs', 'phys-bits', 'run', '--cpu',
                'phys-bits=40', '--', 'true')
        refused('a source tree that is none', '--source', 'kernel', '--source',
                f'{here}/empty')
        refused('a missing file of kernel options', '--config', 'kernel', '--config',
                f'{here}/absent')
        refused('patches for a Linux that has Dynamic PAMT', 'tdx_pamt_get', 'kernel',
                '--source', str(with_dynamic_pamt(here)), '--patches',
                str(paths.DYNAMIC_PAMT_PATCHES))
        refused('a missing directory of patches', '--patches', 'kernel', '--patches',
                f'{here}/absent')
        refused('a version that apt has not', '--version', 'kernel', '--version', 'new')
        refused('a suite that is none', 'suite', 'test', 'everything')
        refused('a benchmark that is none', 'benchmark', 'bench', 'everything')
    tap.end()


main()
