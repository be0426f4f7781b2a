# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user sees: one line for each long step, one sentence for each error.

A Step runs commands with their output in a log file. What takes less than SHOW_AFTER
seconds is not worth a line. On a terminal the line counts the seconds and shows ninja's
progress; elsewhere there is one line when it starts and one when it ends.
"""
import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from . import paths


class Failure(Exception):
    """An error for the user: one sentence that says what to do about it."""

    def __init__(self, sentence: str, status: int = 1):
        super().__init__(sentence)
        self.status = status


def say(text: str = '') -> None:
    """Tell the user something on stderr; stdout belongs to the results."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    if seconds < 60:
        return f'{seconds:.0f} s'
    return f'{int(seconds) // 60} min {int(seconds) % 60:02d} s'


SHOW_AFTER = 2.0


class Step:
    """One long step of the set-up: a title, a log file and a running clock.

    `expect` tells how long it usually takes, `remedy` is what to do when it fails.
    """

    def __init__(self, title: str, log: str, expect: str = '',
                 remedy: str = 'read the log'):
        paths.LOGS.mkdir(parents=True, exist_ok=True)
        self.title = title
        self.log = paths.LOGS / f'{log}.log'
        self.expect = expect
        self.remedy = remedy
        self.detail = ''
        self._start = time.monotonic()
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._shown = False

    def __enter__(self) -> 'Step':
        self.log.write_text('')
        self._start = time.monotonic()
        self._ticker.start()
        return self

    def __exit__(self, kind, _exc, _tb) -> None:
        self._done.set()
        self._ticker.join()
        if self._shown and sys.stderr.isatty():
            sys.stderr.write('\r\033[K')
        if kind:
            say(f'  !! {self.title}: {duration(time.monotonic() - self._start)}')
        elif self._shown:
            say(f'  ok {self.title}: {duration(time.monotonic() - self._start)}')

    def _tick(self) -> None:
        if self._done.wait(SHOW_AFTER):
            return
        self._shown = True
        if not sys.stderr.isatty():
            usual = f' (usually {self.expect})' if self.expect else ''
            say(f'  .. {self.title}{usual}')
            return
        while not self._done.wait(0.5):
            line = f'  .. {self.title}: {duration(time.monotonic() - self._start)}'
            if self.expect:
                line += f' (usually {self.expect})'
            progress = self._progress()
            if progress:
                line += f' {progress}'
            width = _columns() - 1
            sys.stderr.write('\r\033[K' + line[:width])
            sys.stderr.flush()

    def _progress(self) -> str:
        """The last [n/m] that ninja wrote."""
        try:
            with open(self.log, 'rb') as f:
                f.seek(max(0, os.path.getsize(self.log) - 4096))
                hits = re.findall(rb'\[(\d+/\d+)\]', f.read())
        except OSError:
            return ''
        return f'[{hits[-1].decode()}]' if hits else ''

    def run(self, argv: Sequence, cwd: Optional[Path] = None,
            env: Optional[Dict[str, str]] = None, check: bool = True) -> int:
        """Run one command into the log; a failure ends the step."""
        args = [str(a) for a in argv]
        with open(self.log, 'ab') as log:
            log.write(('+ ' + ' '.join(args) + '\n').encode())
            log.flush()
            try:
                # A group of its own, so that all of it can be ended. sudo needs ours:
                # only a terminal's foreground group may ask for a password.
                child = subprocess.Popen(
                    args, cwd=cwd, env=env, stdout=log, stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=args[0] != 'sudo')
            except FileNotFoundError:
                raise Failure(f'{self.title}: the command {args[0]} is missing; '
                              'run ./tdxemu setup as root or with sudo') from None
            try:
                child.wait()
            except BaseException:
                _end(child)
                raise
        if check and child.returncode:
            self.fail(f'{os.path.basename(args[0])} failed')
        return child.returncode

    def fail(self, what: str) -> None:
        raise Failure(f'{self.title}: {what}; {self.remedy} (log: {self.log})')

    def note(self, text: str) -> None:
        with open(self.log, 'a', encoding='utf-8') as log:
            log.write(text + '\n')


def _end(child: subprocess.Popen) -> None:
    """End a command and all it has started; it may clean up first."""
    try:
        group = os.getpgid(child.pid)
        if group == os.getpgrp():       # sudo: it is root's, and ends by itself
            child.wait()
            return
        os.killpg(group, signal.SIGTERM)
        child.wait(10)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        os.killpg(group, signal.SIGKILL)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


def output(argv: Sequence, **kwargs) -> str:
    """A command's output, '' when it fails or does not exist."""
    try:
        return subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              check=False, text=True, **kwargs).stdout
    except FileNotFoundError:
        return ''


def tail(path: Path, lines: int) -> List[str]:
    try:
        return path.read_text(errors='replace').splitlines()[-lines:]
    except OSError:
        return []


@contextlib.contextmanager
def locked(directory: Path, why: str) -> Iterator[None]:
    """Hold a directory's lock, so that two runs of ./tdxemu do not collide."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = open(directory / '.lock', 'w', encoding='ascii')
    except OSError as e:
        raise Failure(f'cannot write below {directory} ({e.strerror}); set '
                      'XDG_CACHE_HOME to a directory of yours') from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notice = threading.Timer(SHOW_AFTER, say, [
                f'  .. waiting for another ./tdxemu that is busy with {why}'])
            notice.start()
            fcntl.flock(handle, fcntl.LOCK_EX)
            notice.cancel()
        yield
