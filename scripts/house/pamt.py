# SPDX-License-Identifier: GPL-2.0-or-later
"""What the module has seen of Dynamic PAMT: the figures, and what is wrong with them.

A host that does all right gives each 2 MiB region its page pair before it uses the first
4K page and takes it back after the last: no call fails, and when all TDs are gone no
region has a pair. Anything else becomes a sentence about one region and the two calls
that are at odds there, with the kernel's functions that made them.
"""
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from . import machine
from .symbols import Symbols
from .ui import Failure

PAIR_BYTES = 2 * 4096
CACHE_PAGES = 10        # of a vCPU's cache: a pair for each level of a walk of five
SHOWN = 12              # sentences

GIVES = ('TDH.PHYMEM.PAMT.ADD', 'TDH.MEM.PAGE.DEMOTE')
TAKES = ('TDH.PHYMEM.PAMT.REMOVE', 'TDH.MEM.PAGE.PROMOTE')
NO_PAIR = ('TDX_NO_PAMT_PAGE_PAIR', 'TDX_MISSING_PAMT_PAGE_PAIR')
IN_USE = ('TDX_PAMT_PAGE_NOT_EMPTY', 'TDX_HPA_RANGE_NOT_FREE', 'TDX_PAGE_NOT_FREE')

Info = Dict[str, Any]   # what query-tdx-pamt returns
Region = Dict[str, Any]
Call = Dict[str, Any]


def query(l1: machine.L1) -> Info:
    """With the regions that had a pair once."""
    return l1.qmp.command('query-tdx-pamt', all=True)


@dataclass
class Finding:
    """Something wrong; those with the same `kind` are of the same making."""
    kind: str
    text: str
    count: int = 1


def merged(findings: Sequence[Finding]) -> List[str]:
    """Sentences, each kind once; not more than anyone reads."""
    kinds: Dict[str, Finding] = {}
    for f in findings:
        if f.kind in kinds:
            kinds[f.kind].count += 1
        else:
            kinds[f.kind] = Finding(f.kind, f.text)
    lines = [f.text + (f' (and {f.count - 1} more of this kind)' if f.count > 1 else '')
             for f in kinds.values()]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f'... and {len(lines) - SHOWN} more']
    return lines


# --- calls as words -----------------------------------------------------------------

def _address(value: int) -> int:
    return value & (1 << 64) - 1


class Calls:
    """Puts calls into words, with the names of one kernel."""

    def __init__(self, names: Symbols):
        self._names = names

    def kind(self, call: Optional[Call]) -> str:
        """The leaf and who made it: "TDH.VP.ADDCX in tdx_td_vcpu_init"."""
        if not known(call):
            return 'no call'
        assert call
        where = self._names.where(_address(call['ip']),
                                  [_address(a) for a in call['callers']])
        return f'{call["leaf"]} {where}'

    def full(self, call: Optional[Call]) -> str:
        if not known(call):
            return 'no call'
        assert call
        return f'{self.kind(call)} (CPU {call["cpu"]})'


def known(call: Optional[Call]) -> bool:
    return bool(call) and call['number'] > 0        # type: ignore[index]


def _number(call: Optional[Call]) -> int:
    return call['number'] if call else 0


def _taken(assign: Optional[Call], words: Calls) -> str:
    page = f'{assign["page"]:#x}' if assign and assign.get('page') else 'unknown'
    return f'{page}, was taken by {words.full(assign)}'


# --- judgement ----------------------------------------------------------------------

def _at_odds(failed: Call, other: Optional[Call], words: Calls) -> str:
    """The second half of a sentence on a failed call: why the module refused it."""
    if not known(other):
        return ', though no call was about this region before'
    assert other
    told = words.full(other)
    code, leaf = failed['status'].split()[0], other['leaf']
    if leaf in GIVES and code == 'TDX_HPA_RANGE_NOT_FREE':
        return f' while the region has the pair that {told} gave'
    if leaf in GIVES and code == 'TDX_PAGE_NOT_FREE':
        return f' while a page that it names is in the pair that {told} gave'
    if leaf in TAKES and code in NO_PAIR:
        return f' after {told} took the pair back'
    if code in IN_USE and other.get('page'):
        return f' while pages are in use: the last one, {_taken(other, words)}'
    return f'; the last call about these pages before was {told}'


def _failure(failure: Dict[str, Any], words: Calls) -> Finding:
    call, other = failure['call'], failure.get('other')
    text = (f'region {failure["region"]:#x}: {words.full(call)} answered '
            f'{call["status"]}{_at_odds(call, other, words)}')
    code = call['status'].split()[0]
    return Finding(f'{words.kind(call)} {code} {words.kind(other)}', text)


def _left_behind(region: Region, words: Calls) -> Optional[Finding]:
    """A region that still has its pair when all TDs are gone."""
    add, assign, release = (region.get(n) for n in ('add', 'assign', 'release'))
    kind = f'left {words.kind(add)}'
    text = f'region {region["address"]:#x}: the pair that {words.full(add)} gave '
    if region['count']:
        kind += f' used {words.kind(assign)}'
        text += (f'is still there and {region["count"]} pages are in use: the last one, '
                 f'{_taken(assign, words)}')
    elif _number(release) > _number(add):
        kind += f' freed {words.kind(release)}'
        text += f'was never taken back, though {words.full(release)} freed its last page'
    else:
        text += 'was never taken back, though no page of the region was used since'
    return Finding(kind, text)


def _region(region: Region, over: bool, words: Calls) -> List[Finding]:
    found = []
    if region['count'] != region['recount']:
        last = max((region.get('assign'), region.get('release')), key=_number)
        found.append(Finding('count', f'region {region["address"]:#x}: the module counts '
                             f'{region["count"]} pages in use, their entries say '
                             f'{region["recount"]}: {words.full(region.get("add"))} gave '
                             f'the pair, {words.full(last)} was the last to change it'))
    if over and region['backed']:
        found.append(_left_behind(region, words))       # type: ignore[arg-type]
    elif over and region['count']:
        found.append(Finding('no pair', f'region {region["address"]:#x}: '
                             f'{region["count"]} pages are in use without a pair, which '
                             f'{words.full(region.get("remove"))} took back'))
    return found


def _sums(info: Info) -> List[Finding]:
    found = []
    if info['adds'] == 0:
        found.append(Finding('adds', 'no region was ever given a pair: L1 has run no TD'))
    if info['adds'] != info['removes'] + info['pairs']:
        found.append(Finding('sum', f'{info["adds"]} pairs were given, {info["removes"]} '
                             f'taken back, and {info["pairs"]} are there'))
    return found


def judge(info: Info, names: Symbols, over: bool = True,
          needs: Sequence[str] = ()) -> List[str]:
    """What is wrong, in sentences. @over: no TD is left; @needs: figures above 0."""
    if not info['offered']:
        return ['the module does not offer Dynamic PAMT; --module dynamic-pamt=on does']
    if not info['enabled'] and not over:
        return ['L1 ended with the module disabled, as a shutdown or reboot leaves it: '
                'nothing is known of Dynamic PAMT']
    if not info['enabled']:
        return ['L1 has not enabled Dynamic PAMT in TDH.SYS.CONFIG: its kernel lacks the '
                'series, or did not come that far']
    words = Calls(names)
    found = [_failure(f, words) for f in info['last-failures']]
    earlier = info['failures'] - len(info['last-failures'])
    if earlier > 0:
        found.append(Finding('earlier', f'{earlier} calls failed before these'))
    if info['corruptions']:
        found.append(Finding('corruption', 'L1 wrote into PAMT memory that the module '
                             f'owns: noticed {info["corruptions"]} times'))
    for region in info['regions']:
        found += _region(region, over, words)
    if over:
        found += _sums(info)
    found += [Finding(name, f'{name} is 0: nothing of that kind has happened')
              for name in needs if not info[name]]
    return merged(found)


# --- report -------------------------------------------------------------------------

def amount(size: int) -> str:
    return f'{size / (1 << 20):.1f} MiB' if size >= 10 << 20 else f'{size >> 10} KiB'


def cache_use(info: Info) -> str:
    pairs = info['deepest-pairs']
    return (f'pairs for one mapping: at most {pairs}, which is {2 * pairs} of the '
            f'{CACHE_PAGES} pages that a vCPU\'s cache holds')


def figures(info: Info) -> List[str]:
    """What happened, right or wrong."""
    if not info['enabled']:
        return [f'not enabled; {amount(info["static-bytes"])} of PAMT']
    return [
        f'{info["adds"]} pairs given, {info["removes"]} taken back, at most '
        f'{info["peak-pairs"]} at once: {amount(info["peak-pairs"] * PAIR_BYTES)} beside '
        f'{amount(info["static-bytes"])} that is fixed',
        cache_use(info),
        f'pages of pairs in the region that they serve: {info["placed-own"]}, in one '
        f'without a pair: {info["placed-unbacked"]}, in another one with a pair: '
        f'{info["placed-backed"]}']


def report(info: Info, wrong: Sequence[str]) -> List[str]:
    """For a developer who wants to know how a run went."""
    lines = ['Dynamic PAMT:'] + [f'  {line}' for line in figures(info)]
    lines.append(f'  findings: {len(wrong) or "none"}')
    return lines + [f'    {line}' for line in wrong]


class Check:
    """Looks at a machine when its command has ended, as L1.wait()'s `inspect`."""

    def __init__(self, names: Symbols, needs: Sequence[str] = ()):
        self._names = names
        self._needs = needs
        self.info: Optional[Info] = None
        self.wrong: List[str] = []

    def __call__(self, l1: machine.L1) -> None:
        try:
            self.info = query(l1)
        except Failure as e:
            if l1.refusal() is None:
                self.wrong = [f'nothing is known of Dynamic PAMT: {e}']
            return
        over = l1.status is not None    # else TDs that ran have their pages still
        self.wrong = judge(self.info, self._names, over, self._needs if over else ())

    def report(self) -> List[str]:
        return report(self.info, self.wrong) if self.info else self.wrong
