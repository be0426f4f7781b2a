# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the checkout, its build directory and the shared cache."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What belongs to this checkout: the patched QEMU tree, its objects, L1's programs.
BUILD = ROOT / 'build'
QEMU_SRC = BUILD / 'qemu-src'
QEMU_BUILD = BUILD / 'qemu'
QEMU = QEMU_BUILD / 'qemu-system-x86_64'
FIRMWARE = BUILD / 'firmware'
LOGS = BUILD / 'logs'

QEMU_FILES = ROOT / 'subprojects' / 'packagefiles' / 'qemu'
LINUX_TESTS = ROOT / 'tests' / 'linux'
KERNEL_CONFIG = LINUX_TESTS / 'kernel.config'
KERNEL_DEBUG_CONFIG = LINUX_TESTS / 'kernel-debug.config'
SELFTESTS_LIST = LINUX_TESTS / 'selftests.list'
DYNAMIC_PAMT_PATCHES = LINUX_TESTS / 'patches' / 'dynamic-pamt'


def _cache() -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base).absolute() / 'tdxemu'


# What every checkout of this user shares; each entry is named by its content.
CACHE = _cache()
DOWNLOADS = CACHE / 'downloads'
KERNELS = CACHE / 'kernels'
SELFTESTS = CACHE / 'selftests'
STOCK = CACHE / 'stock-qemu'
CCACHE = CACHE / 'ccache'
APT = CACHE / 'apt'
