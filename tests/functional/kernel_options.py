#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into a kernel: which options are missed, which patches are refused."""
import sys
import tempfile
from pathlib import Path
from typing import List

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402

from house import kernel, paths  # noqa: E402
from house.ui import Failure  # noqa: E402

# Fragments, the .config that came of them, and what of them it lacks.
LOST = (
    ('all is there', ['CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=5\n'],
     'CONFIG_A=y\nCONFIG_C=5\n', []),
    ('an option is off, another has an other value', ['CONFIG_A=y\nCONFIG_C=5\n'],
     '# CONFIG_A is not set\nCONFIG_C=6\n', ['CONFIG_A=y', 'CONFIG_C=5']),
    ('an option is on that must not', ['# CONFIG_B is not set\n'], 'CONFIG_B=m\n',
     ['CONFIG_B=n']),
    ('the last fragment decides: on', ['# CONFIG_A is not set\n', 'CONFIG_A=y\n'],
     'CONFIG_A=y\n', []),
    ('the last fragment decides: off', ['CONFIG_A=y\n', '# CONFIG_A is not set\n'],
     'CONFIG_A=y\n', ['CONFIG_A=n']),
    ('a name that starts alike is another one', ['CONFIG_A=y\n'], 'CONFIG_AB=y\n',
     ['CONFIG_A=y']),
)


def lost(tap: Tap, here: Path) -> None:
    for text, fragments, got, want in LOST:
        files: List[Path] = []
        for i, fragment in enumerate(fragments):
            files.append(here / f'{i}.config')
            files[-1].write_text(fragment)
        seen = kernel._lost(files, got)
        tap.check(seen == want, f'options: {text}', f'{seen} instead of {want}')


def known(tap: Tap, here: Path) -> None:
    code = here / 'arch/x86/virt/vmx/tdx/tdx.c'
    code.parent.mkdir(parents=True)
    ours = kernel._series(paths.DYNAMIC_PAMT_PATCHES)
    other = here / 'other.patch'
    other.write_text('--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-\ttdx_pamt_get(1);\n+\tf(1);\n')

    def refused(series: List[Path]) -> bool:
        try:
            kernel._refuse_known(here, series, 'Linux')
        except Failure:
            return True
        return False

    code.write_text('int tdx_init(void)\n')
    tap.check(not refused(ours), 'our patches go with a Linux without Dynamic PAMT')
    code.write_text('int tdx_pamt_get(u64 pfn)\n')
    tap.check(refused(ours), 'our patches are refused for a Linux with it')
    tap.check(not refused([other]), 'patches that do not bring it go with any Linux')


def main() -> None:
    tap = Tap()
    with tempfile.TemporaryDirectory() as name:
        lost(tap, Path(name))
        known(tap, Path(name))
    tap.end()


main()
