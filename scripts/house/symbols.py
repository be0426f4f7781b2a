# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of kernel functions for the addresses that the emulator notes of SEAMCALLs.

The emulator gives the RIP of a SEAMCALL and words of L1's stack that look like return
addresses. System.map has the names (L1 boots with nokaslr). Where vmlinux is there too,
words that no call has left on the stack are told from those that one has.
"""
import bisect
import re
import struct
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

# Who makes a SEAMCALL says nothing that the leaf's name does not.
HELPERS = re.compile(r'_*(seamcall|sc_retry|sc_error|tdh_)|do_seamcall')
# What a call through a pointer goes to.
THUNKS = re.compile(r'__SCT__|__x86_indirect_')
SHOWN = 3               # functions of a chain


class Call(NamedTuple):
    """A call instruction: where it goes, if it says so itself."""
    target: Optional[int]


class Text:
    """The code of a kernel, as vmlinux has it."""

    def __init__(self, vmlinux: Path):
        self._segments: List[Tuple[int, bytes]] = []
        with open(vmlinux, 'rb') as file:
            head = file.read(64)
            if head[:5] != b'\x7fELF\x02':
                return
            offset, = struct.unpack_from('<Q', head, 32)
            size, number = struct.unpack_from('<HH', head, 54)
            file.seek(offset)
            table = file.read(size * number)
            for i in range(number):
                kind, flags, start, va, _, length = struct.unpack_from(
                    '<IIQQQQ', table, i * size)
                if kind == 1 and flags & 1:             # PT_LOAD, PF_X
                    file.seek(start)
                    self._segments.append((va, file.read(length)))

    def _before(self, address: int, size: int) -> bytes:
        for va, data in self._segments:
            if va + size <= address <= va + len(data):
                return data[address - va - size:address - va]
        return b''

    def call_before(self, address: int) -> Optional[Call]:
        """The call instruction that ends at `address`."""
        code = self._before(address, 7)
        if not code:
            return None
        if code[2] == 0xe8:
            return Call(address + struct.unpack_from('<i', code, 3)[0])
        for length in range(2, 8):                      # FF /2: by register or memory
            if code[7 - length] == 0xff and code[8 - length] >> 3 & 7 == 2:
                return Call(None)
        return None

    def jumps(self, start: int, end: int) -> List[int]:
        """Where the code from `start` to `end` may jump to, outside of itself."""
        code = self._before(end, end - start)
        targets = []
        for i in range(len(code) - 4):
            if code[i] == 0xe9 or code[i] & 0xf0 == 0x80 and code[i - 1] == 0x0f:
                targets.append(start + i + 5 + struct.unpack_from('<i', code, i + 1)[0])
        return [t for t in targets if not start <= t < end]


class Symbols:
    """Names of addresses; without a System.map there are none."""

    def __init__(self, system_map: Optional[Path] = None,
                 vmlinux: Optional[Path] = None):
        self._addresses: List[int] = []
        self._names: List[Tuple[str, str]] = []         # kind, name
        self._text = Text(vmlinux) if system_map and vmlinux else None
        if system_map:
            rows = []
            for line in system_map.read_text(errors='replace').splitlines():
                row = line.split()
                if len(row) == 3 and re.fullmatch(r'[0-9a-f]{16}', row[0]):
                    rows.append((int(row[0], 16), row[1], row[2]))
            rows.sort(key=lambda row: row[0])
            self._addresses = [row[0] for row in rows]
            self._names = [(row[1], row[2]) for row in rows]

    @classmethod
    def beside(cls, image: Path) -> 'Symbols':
        """Those of a bzImage: the files are next to it, or where Linux's build has
        them."""
        places = [image.resolve().parent]
        if places[0].parts[-3:] == ('arch', 'x86', 'boot'):
            places.append(places[0].parents[2])
        for place in places:
            if (place / 'System.map').is_file():
                vmlinux = place / 'vmlinux'
                return cls(place / 'System.map', vmlinux if vmlinux.is_file() else None)
        return cls()

    def name(self, address: int) -> Optional[str]:
        """The function that has this address, as its author wrote it."""
        i = bisect.bisect_right(self._addresses, address) - 1
        if i < 0 or self._names[i][0] not in 'tTwW':
            return None
        # Aliases and paddings (__pfx_) come before the name.
        name = self._names[i][1]
        return re.sub(r'\.(isra|constprop|part|cold)\b.*$', '', name)

    def _jumps(self, function: int, callee: str) -> bool:
        """Does `function`, given by its first address, end with a jump to `callee`?"""
        assert self._text
        i = bisect.bisect_right(self._addresses, function)
        end = self._addresses[i] if i < len(self._addresses) else function
        return any(self.name(t) == callee for t in self._text.jumps(function, end))

    def _callers(self, callee: str, words: Sequence[int]) -> Tuple[List[str], int]:
        """Who called `callee`, innermost first, and how many of `words` that took."""
        if not self._text:
            name = self.name(words[0] - 1)
            return ([name], 1) if name else ([], len(words))
        guess: Tuple[List[str], int] = ([], len(words))
        for i, address in enumerate(words):
            call = self._text.call_before(address)
            name = self.name(address - 1)
            if not call or not name:
                continue
            target = self.name(call.target) if call.target is not None else None
            if target == callee:
                return [name], i + 1
            if target and self._jumps(call.target or 0, callee):
                return [target, name], i + 1
            if not guess[0] and (not target or THUNKS.match(target)):
                guess = [name], i + 1
        return guess

    def chain(self, ip: int, callers: Sequence[int]) -> List[str]:
        """Functions from the one that made the SEAMCALL outwards, helpers left out."""
        first = self.name(ip)
        names = [first] if first else []
        rest = list(callers)
        while rest and names:
            found, taken = self._callers(names[-1], rest)
            names += found
            rest = rest[taken:]
        known = [n for i, n in enumerate(names) if n not in names[:i]]
        return ([n for n in known if not HELPERS.match(n)] or known)[:SHOWN]

    def where(self, ip: int, callers: Sequence[int]) -> str:
        """For a sentence: "in tdx_pamt_get < tdx_td_init", or "at 0x...". """
        chain = self.chain(ip, callers)
        if chain:
            return 'in ' + ' < '.join(chain)
        return f'at {" < ".join(f"{a:#x}" for a in [ip, *callers[:SHOWN]])}'
