#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulator's own command line and QMP: what the tdx-module object refuses."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap  # noqa: E402
from stopped import Qmp, argv, module  # noqa: E402


class Refusals:
    def __init__(self, tap: Tap):
        self.tap = tap

    def machine(self, text: str, words: Sequence[str], line: List[str]) -> None:
        """The emulator ends with status 1 and one sentence that has `words`."""
        try:
            done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False, timeout=20)
        except subprocess.TimeoutExpired:
            self.tap.check(False, text, 'the emulator runs')
            return
        said = [s for s in done.stdout.decode(errors='replace').splitlines()
                if 'warning:' not in s]
        self.tap.check(done.returncode == 1 and len(said) == 1
                       and all(word in said[0] for word in words), text,
                       f'status {done.returncode}: {said}')

    def property(self, properties: str, *words: str) -> None:
        self.machine(properties, words, argv('tdx', *module(properties)))


def properties(refuse: Refusals) -> None:
    for value, words in (
            ('num-tdx-keyids=0', ('num-tdx-keyids', 'at least 2')),
            ('num-tdx-keyids=1', ('num-tdx-keyids', 'at least 2')),
            ('num-tdx-keyids=33', ('33 TDX and 31 MKTME', 'keyid-bits=6')),
            ('num-mktme-keyids=32', ('32 TDX and 32 MKTME', 'keyid-bits=6')),
            ('num-tdx-keyids=4294967295', ('keyid-bits=6',)),
            ('num-tdx-keyids=4294967295,num-mktme-keyids=4294967295', ('keyid-bits=6',)),
            ('num-tdx-keyids=4294967296', ('num-tdx-keyids', 'uint32')),
            ('num-tdx-keyids=-1', ('num-tdx-keyids',)),
            ('num-tdx-keyids=many', ('num-tdx-keyids',)),
            ('keyid-bits=0', ('keyid-bits', 'from 1')),
            ('keyid-bits=1', ('keyid-bits=1',)),
            ('keyid-bits=16', ('keyid-bits', 'from 1')),
            ('keyid-bits=4294967295', ('keyid-bits', 'from 1')),
            ('dynamic-pamt=on,keyid-bits=3,num-tdx-keyids=4,num-mktme-keyids=3',
             ('dynamic-pamt=on', 'keyid-bits of at least 4')),
            ('dynamic-pamt=maybe', ('dynamic-pamt',)),
            ('version=', ('version', 'MAJOR.MINOR.UPDATE')),
            ('version=1.5', ('version', 'MAJOR.MINOR.UPDATE')),
            ('version=1.5.20.1', ('version', 'MAJOR.MINOR.UPDATE')),
            ('version=1.5.x', ('version', 'MAJOR.MINOR.UPDATE')),
            ('version=1.5.65536', ('version', 'MAJOR.MINOR.UPDATE')),
            ('version=1.5.-1', ('version', 'MAJOR.MINOR.UPDATE')),
            ('build-date=20251301', ('build-date', 'YYYYMMDD')),
            ('build-date=20250100', ('build-date', 'YYYYMMDD')),
            ('build-date=2025010a', ('build-date', 'YYYYMMDD')),
            ('build-date=250101', ('build-date', 'YYYYMMDD')),
            ('seed=-0x', ('seed',)),
            ('leaf-stats=1', ('leaf-stats',)),
            ('pages-in-use=1', ('pages-in-use',)),
            ('no-such-property=1', ('no-such-property',))):
        refuse.property(value, *words)


def machines(refuse: Refusals) -> None:
    for cpu in ('tdx,-vmx', 'max,-vmx', 'qemu64', 'Skylake-Server'):
        refuse.machine(f'-cpu {cpu} with the module', ('tdx-module', 'VMX', '-cpu tdx'),
                       argv(cpu, *module()))
    refuse.machine('-cpu max with the module', ('tdx-module', '-cpu tdx'),
                   argv('max', *module()))
    refuse.machine('two modules', ('tdx-module', 'one TDX module'),
                   argv('tdx', *module(), '-object', 'tdx-module,id=tdx1'))
    refuse.machine('a module without id', ('id',), argv('tdx', '-object', 'tdx-module'))
    refuse.machine('too few physical address bits',
                   ('tdx-module', 'physical address bits'),
                   argv('tdx,phys-bits=40', *module()))
    refuse.machine('more CPUs than the module has LPs', ('tdx-module', '-smp'),
                   argv('tdx', *module(), '-smp', '65'))
    refuse.machine('-only-migratable', ('-only-migratable',),
                   argv('tdx', *module(), '-only-migratable'))


def qmp(tap: Tap) -> None:
    def refused(text: str, word: str, answer: Dict[str, Any]) -> None:
        tap.check(word in answer.get('error', {}).get('desc', ''), text, str(answer))

    with Qmp(*module('num-tdx-keyids=8,num-mktme-keyids=3,seed=7')) as q:
        tap.check((q.get('num-tdx-keyids'), q.get('num-mktme-keyids'), q.get('seed'))
                  == (8, 3, 7), 'QMP: properties read as they were given')
        stats = json.loads(q.get('leaf-stats') or '[]')
        names = [(leaf['side'], leaf['name']) for leaf in stats]
        tap.check({('host', 'TDH.SYS.INIT'), ('host', 'TDH.VP.ENTER'),
                   ('guest', 'TDG.VP.VMCALL')} <= set(names)
                  and len(set(names)) == len(names),
                  'QMP: leaf-stats lists leaves of both sides, each once', str(names))
        tap.check(bool(stats) and not any(s['calls'] or s['errors'] for s in stats),
                  'QMP: no leaf was called before L1 starts', str(stats))
        tap.check(q.get('pages-in-use') == 0, 'QMP: no page is in use before L1 starts')
        for name, value in (('num-tdx-keyids', 9), ('seed', 8), ('dynamic-pamt', True),
                            ('version', '1.5.1')):
            refused(f'QMP: {name} of a machine that runs', 'changed',
                    q.send('qom-set', path='/objects/tdx0', property=name, value=value))
        tap.check('error' in q.send('qom-set', path='/objects/tdx0',
                                    property='pages-in-use', value=1),
                  'QMP: pages-in-use is read-only')
        refused('QMP: a second module', 'one TDX module',
                q.send('object-add', **{'qom-type': 'tdx-module', 'id': 'tdx1'}))
        tap.check('error' in q.send('object-del', id='tdx0'), 'QMP: the module stays')
        with tempfile.TemporaryDirectory() as name:
            refused('QMP: migration', 'cannot be saved or migrated',
                    q.send('migrate', uri=f'file:{name}/state'))
        q.send('system_reset')
        tap.check(q.get('pages-in-use') == 0 and q.get('seed') == 7,
                  'QMP: the module outlives a reset')
    with Qmp() as q:
        refused('QMP: a module for a machine that runs', 'started',
                q.send('object-add', **{'qom-type': 'tdx-module', 'id': 'tdx0'}))
        tap.check(q.send('query-status').get('return', {}).get('status') == 'prelaunch',
                  'QMP: that machine goes on')


def main() -> None:
    tap = Tap()
    refuse = Refusals(tap)
    properties(refuse)
    machines(refuse)
    qmp(tap)
    tap.end()


main()
