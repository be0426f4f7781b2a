#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sentences about Dynamic PAMT and names of functions, from answers made up here."""
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402

from house import pamt  # noqa: E402
from house.symbols import Symbols  # noqa: E402

# A kernel of these functions, 0x100 bytes each, in the order of their addresses.
BASE = 0xffffffff81000000
FUNCTIONS = ('__seamcall_ret', 'tdh_phymem_pamt_add', 'tdx_pamt_get', 'get_and_leave',
             'map_leaf', 'fault.isra.0', 'stale', 'free_page')
PLACE = {name: BASE + 0x100 * i for i, name in enumerate(FUNCTIONS)}


def kernel(directory: Path, vmlinux: bool) -> Symbols:
    """The kernel's files. tdh_* makes the SEAMCALL, tdx_pamt_get calls that, and
    get_and_leave jumps to it; map_leaf calls get_and_leave, fault calls by a pointer."""
    code = bytearray(b'\x90' * 0x100 * len(FUNCTIONS))

    def branch(opcode: int, at: str, to: str) -> None:
        offset = PLACE[at] - BASE + 0x20
        code[offset:offset + 5] = struct.pack('<Bi', opcode,
                                              PLACE[to] - PLACE[at] - 0x25)
    branch(0xe8, 'tdh_phymem_pamt_add', '__seamcall_ret')
    branch(0xe8, 'tdx_pamt_get', 'tdh_phymem_pamt_add')
    branch(0xe9, 'get_and_leave', 'tdx_pamt_get')
    branch(0xe8, 'map_leaf', 'get_and_leave')
    offset = PLACE['fault.isra.0'] - BASE + 0x23
    code[offset:offset + 2] = b'\xff\xd0'               # call *%rax
    branch(0xe8, 'stale', 'free_page')
    lines = [f'{PLACE[name]:016x} t {name}\n' for name in FUNCTIONS]
    lines.append(f'{BASE + len(code):016x} D data\n')
    (directory / 'System.map').write_text(''.join(lines))
    if vmlinux:
        head = struct.pack('<16sHHIQQQIHHHHHH', b'\x7fELF\x02\x01\x01', 2, 62, 1, BASE,
                           64, 0, 0, 64, 56, 1, 0, 0, 0)
        segment = struct.pack('<IIQQQQQQ', 1, 5, 120, BASE, 0, len(code), len(code), 1)
        (directory / 'vmlinux').write_bytes(head + segment + code)
    (directory / 'bzImage').touch()
    return Symbols.beside(directory / 'bzImage')


def returns(*names: str) -> List[int]:
    """Where calls in these functions return to."""
    return [PLACE[name] + 0x25 for name in names]


def names(tap: Tap, known: Symbols, checked: Symbols) -> None:
    seamcall = PLACE['__seamcall_ret'] + 7
    way = returns('tdh_phymem_pamt_add', 'tdx_pamt_get', 'map_leaf', 'fault.isra.0')
    found = known.chain(seamcall, way)
    tap.check(found == ['tdx_pamt_get', 'map_leaf', 'fault'],
              'System.map: functions without helpers and compilers\' endings', str(found))
    found = checked.chain(seamcall, way)
    tap.check(found == ['tdx_pamt_get', 'get_and_leave', 'map_leaf'],
              'vmlinux: a function that ended with a jump is there too', str(found))
    dirty = [word for good in way for word in (*returns('stale'), BASE + 3, good)]
    found = checked.chain(seamcall, dirty)
    tap.check(found == ['tdx_pamt_get', 'get_and_leave', 'map_leaf'],
              'vmlinux: words that no call has left there are none', str(found))
    found = checked.chain(PLACE['map_leaf'] + 3, returns('fault.isra.0'))
    tap.check(found == ['map_leaf', 'fault'], 'vmlinux: a call by a pointer', str(found))
    tap.check(known.name(BASE - 1) is None and known.name(BASE + 0x10000) is None,
              'an address outside of the code has no name')
    said = Symbols().where(0x1234, [0x5678])
    tap.check(said == 'at 0x1234 < 0x5678', 'without System.map: addresses', said)


# --- sentences --------------------------------------------------------------------------

def call(number: int, leaf: str, *way: str, cpu: int = 0, status: str = 'TDX_SUCCESS',
         **more: Any) -> Dict[str, Any]:
    return {'number': number, 'leaf': leaf, 'cpu': cpu, 'status': status,
            'ip': PLACE['__seamcall_ret'] + 7, 'callers': returns(*way), **more}


ADD = call(1, 'TDH.PHYMEM.PAMT.ADD', 'tdh_phymem_pamt_add', 'tdx_pamt_get', cpu=1)
TAKE = call(2, 'TDH.MEM.PAGE.AUG', 'map_leaf', cpu=1, page=0x612000)
FREE = call(3, 'TDH.MEM.PAGE.REMOVE', 'free_page', page=0x612000)
REMOVE = call(4, 'TDH.PHYMEM.PAMT.REMOVE', 'fault.isra.0', cpu=3)


def region(**changes: Any) -> Dict[str, Any]:
    r = {'address': 0x600000, 'backed': False, 'pair': [], 'count': 0, 'recount': 0,
         'add': ADD, 'remove': REMOVE, 'assign': TAKE, 'release': FREE}
    return {**r, **changes}


def info(*regions: Dict[str, Any], **changes: Any) -> pamt.Info:
    pairs = sum(r['backed'] for r in regions)
    clean = {'offered': True, 'enabled': True, 'static-bytes': 167936, 'pairs': pairs,
             'dynamic-bytes': 8192 * pairs, 'peak-pairs': 2, 'adds': 2 + pairs,
             'removes': 2, 'corruptions': 0, 'deepest-pairs': 3, 'placed-own': 0,
             'placed-unbacked': 4, 'placed-backed': 0, 'failures': 0, 'failed': [],
             'last-failures': [], 'regions': list(regions)}
    return {**clean, **changes}


def failed(status: str, leaf: str, *other: Dict[str, Any]) -> pamt.Info:
    failure = {'region': 0x600000, 'call': call(9, leaf, 'free_page', status=status)}
    if other:
        failure['other'] = other[0]
    return info(failures=1, **{'last-failures': [failure]})


IN_ADD = 'TDH.PHYMEM.PAMT.ADD in tdx_pamt_get (CPU 1)'
IN_TAKE = 'TDH.MEM.PAGE.AUG in map_leaf (CPU 1)'
IN_FREE = 'TDH.MEM.PAGE.REMOVE in free_page (CPU 0)'
IN_REMOVE = 'TDH.PHYMEM.PAMT.REMOVE in fault (CPU 3)'
BAD = 'region 0x600000: {} in free_page (CPU 0) answered {}'
P_ADD, P_REMOVE = 'TDH.PHYMEM.PAMT.ADD', 'TDH.PHYMEM.PAMT.REMOVE'

SENTENCES = (
    ('clean', info(region()), []),
    ('a pair that is left', info(region(backed=True, remove=None)), [
        f'region 0x600000: the pair that {IN_ADD} gave was never taken back, though '
        f'{IN_FREE} freed its last page']),
    ('the same in two regions', info(region(backed=True),
                                     region(address=0x800000, backed=True)), [
        f'region 0x600000: the pair that {IN_ADD} gave was never taken back, though '
        f'{IN_FREE} freed its last page (and 1 more of this kind)']),
    ('a pair that was never used', info(region(backed=True, assign=None, release=None)), [
        f'region 0x600000: the pair that {IN_ADD} gave was never taken back, though no '
        'page of the region was used since']),
    ('pages that are in use', info(region(backed=True, count=7, recount=7)), [
        f'region 0x600000: the pair that {IN_ADD} gave is still there and 7 pages are in '
        f'use: the last one, 0x612000, was taken by {IN_TAKE}']),
    ('a wrong count', info(region(count=0, recount=1)), [
        'region 0x600000: the module counts 0 pages in use, their entries say 1: '
        f'{IN_ADD} gave the pair, {IN_FREE} was the last to change it']),
    ('REMOVE of a region in use',
     failed('TDX_PAMT_PAGE_NOT_EMPTY 0x1', P_REMOVE, TAKE), [
         BAD.format(P_REMOVE, 'TDX_PAMT_PAGE_NOT_EMPTY 0x1 while pages are in use: the '
                    f'last one, 0x612000, was taken by {IN_TAKE}')]),
    ('REMOVE twice', failed('TDX_NO_PAMT_PAGE_PAIR RCX', P_REMOVE, REMOVE), [
        BAD.format(P_REMOVE, f'TDX_NO_PAMT_PAGE_PAIR RCX after {IN_REMOVE} took the pair '
                   'back')]),
    ('REMOVE of a region that never had a pair',
     failed('TDX_NO_PAMT_PAGE_PAIR RCX', P_REMOVE), [
         BAD.format(P_REMOVE, 'TDX_NO_PAMT_PAGE_PAIR RCX, though no call was about this '
                    'region before')]),
    ('ADD twice', failed('TDX_HPA_RANGE_NOT_FREE RCX', P_ADD, ADD), [
        BAD.format(P_ADD, 'TDX_HPA_RANGE_NOT_FREE RCX while the region has the pair '
                   f'that {IN_ADD} gave')]),
    ('a page given twice', failed('TDX_PAGE_NOT_FREE RDX', P_ADD, ADD), [
        BAD.format(P_ADD, 'TDX_PAGE_NOT_FREE RDX while a page that it names is in the '
                   f'pair that {IN_ADD} gave')]),
    ('a page without a pair',
     failed('TDX_MISSING_PAMT_PAGE_PAIR R8', 'TDH.MEM.PAGE.AUG', REMOVE), [
         BAD.format('TDH.MEM.PAGE.AUG', 'TDX_MISSING_PAMT_PAGE_PAIR R8 after '
                    f'{IN_REMOVE} took the pair back')]),
    ('busy', failed('TDX_OPERAND_BUSY RCX', P_REMOVE, FREE), [
        BAD.format(P_REMOVE, 'TDX_OPERAND_BUSY RCX; the last call about these pages '
                   f'before was {IN_FREE}')]),
    ('more failures than are kept', info(failures=3),
     ['3 calls failed before these']),
    ('corruption', info(corruptions=2), [
        'L1 wrote into PAMT memory that the module owns: noticed 2 times']),
    ('a sum that is not right', info(adds=9),
     ['9 pairs were given, 2 taken back, and 0 are there']),
    ('no TD', info(adds=0, removes=0),
     ['no region was ever given a pair: L1 has run no TD']),
    ('a kernel without it', info(enabled=False), [
        'L1 has not enabled Dynamic PAMT in TDH.SYS.CONFIG: its kernel lacks the series, '
        'or did not come that far']),
    ('a module without it', info(offered=False, enabled=False), [
        'the module does not offer Dynamic PAMT; --module dynamic-pamt=on does']),
)


def sentences(tap: Tap, known: Symbols) -> None:
    for text, answer, want in SENTENCES:
        found = pamt.judge(answer, known)
        tap.check(found == want, text, '\n'.join(found))
    running = info(region(backed=True, count=2, recount=2))
    tap.check(pamt.judge(running, known, over=False) == [],
              'pages of a TD that runs are no finding')
    found = pamt.judge(info(), known, needs=['placed-own', 'placed-unbacked'])
    tap.check(len(found) == 1 and found[0].startswith('placed-own is 0'),
              'a figure that was to rise', str(found))
    different = [region(address=0x200000 * i, backed=True, add=call(
        i, f'TDH.LEAF.{i}', 'map_leaf')) for i in range(1, 21)]
    found = pamt.judge(info(*different), known)
    tap.check(len(found) == pamt.SHOWN + 1 and found[-1] == '... and 8 more',
              'not more sentences than anyone reads', '\n'.join(found))


def main() -> None:
    tap = Tap()
    with tempfile.TemporaryDirectory() as name:
        for side in ('map', 'both'):
            Path(name, side).mkdir()
        known = kernel(Path(name, 'map'), False)
        names(tap, known, kernel(Path(name, 'both'), True))
        sentences(tap, known)
    tap.end()


main()
