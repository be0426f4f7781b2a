# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that waits before its first instruction, and its QMP."""
import json
import os
import subprocess
from typing import Any, Dict, List, Sequence

from house import paths

QEMU = os.environ.get('TDXEMU_QEMU', str(paths.QEMU))
FIRMWARE = os.environ.get('TDXEMU_FIRMWARE', str(paths.FIRMWARE))
MODULE = 'tdx-module,id=tdx0'


def argv(cpu: str, *words: str) -> List[str]:
    return [QEMU, '-L', FIRMWARE, '-machine', 'q35', '-accel', 'tcg', '-cpu', cpu,
            '-m', '256M', '-nodefaults', '-no-user-config', '-display', 'none', '-S',
            *words]


def module(properties: str = '') -> Sequence[str]:
    return ('-object', f'{MODULE},{properties}' if properties else MODULE)


class Qmp:
    """QMP on the machine's standard streams."""

    def __init__(self, *words: str):
        self.process = subprocess.Popen(argv('tdx', *words, '-qmp', 'stdio'),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.answer()               # the greeting
        self.send('qmp_capabilities')

    def answer(self) -> Dict[str, Any]:
        assert self.process.stdout
        while True:
            line = self.process.stdout.readline()
            answer = json.loads(line or '{"error": {"desc": "the emulator has gone"}}')
            if 'event' not in answer:
                return answer

    def send(self, command: str, **arguments: Any) -> Dict[str, Any]:
        assert self.process.stdin
        request = {'execute': command, 'arguments': arguments}
        try:
            self.process.stdin.write(json.dumps(request).encode() + b'\n')
            self.process.stdin.flush()
        except OSError:
            pass                    # answer() tells
        return self.answer()

    def get(self, name: str) -> Any:
        return self.send('qom-get', path='/objects/tdx0', property=name).get('return')

    def hmp(self, line: str) -> str:
        answer = self.send('human-monitor-command', **{'command-line': line})
        return answer.get('return', str(answer))

    def __enter__(self) -> 'Qmp':
        return self

    def __exit__(self, *_exc) -> None:
        self.process.kill()
        self.process.communicate()
