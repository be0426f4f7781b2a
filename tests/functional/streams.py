#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A command's streams are its own: large, binary, apart, with every end of line kept."""
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import ROOT, Tap, tdxemu  # noqa: E402

# More than 10 MiB of all kinds of bytes: busybox, several times.
MANY = '''
: > /tmp/many
while [ $(wc -c < /tmp/many) -lt 11000000 ]; do cat /bin/busybox >> /tmp/many; done
printf 'end without newline' >> /tmp/many
sha256sum < /tmp/many >&2
wc -c < /tmp/many >&2
cat /tmp/many
'''

# Both streams at once, many small writes: none may get into the other one.
MIXED = '''
i=0
while [ $i -lt 2000 ]; do
    echo "out $i"
    echo "err $i" >&2
    i=$((i + 1))
done
'''


def large_output(tap: Tap) -> None:
    done = tdxemu('run', '--mem', '2G', '--', 'sh', '-c', MANY)
    said = done.stderr.decode(errors='replace').splitlines()[-2:]
    digest = hashlib.sha256(done.stdout).hexdigest()
    good = done.returncode == 0 and len(said) == 2 and said[0].startswith(digest)
    tap.check(good and len(done.stdout) == int(said[1]) > 10 << 20,
              f'{len(done.stdout)} bytes of output arrive whole', f'{said} {digest}')
    tap.check(done.stdout.endswith(b'end without newline'),
              'output that does not end a line gets no newline')


def mixed(tap: Tap) -> None:
    done = tdxemu('run', '--mem', '2G', '--', 'sh', '-c', MIXED)
    out = ''.join(f'out {i}\n' for i in range(2000)).encode()
    err = out.replace(b'out', b'err')
    tap.check(done.stdout == out, 'standard output has its own lines only',
              str(done.stdout[:200]))
    tap.check(done.stderr.endswith(err) and b'out' not in done.stderr
              and done.stderr.count(b'err ') == 2000,
              'standard error has its own lines only', str(done.stderr[:200]))


def stdin(tap: Tap) -> None:
    data = os.urandom(4096) * 3072      # 12 MiB
    done = tdxemu('run', '--mem', '2G', '--', 'sha256sum', data=data)
    tap.check(done.stdout.startswith(hashlib.sha256(data).hexdigest().encode()),
              '12 MiB of standard input', str(done))
    done = tdxemu('run', '--mem', '2G', '--', 'head', '-c', '3', data=data)
    tap.check(done.returncode == 0 and done.stdout == data[:3],
              'a command may leave its input unread', f'{done.returncode} {done.stdout}')


def statuses(tap: Tap) -> None:
    for words, status in ((['sh', '-c', 'exit 255'], 255),
                          (['no-such-command'], 127), (['/etc/passwd'], 126),
                          (['sh', '-c', 'kill -KILL $$'], 137)):
        done = tdxemu('run', '--mem', '2G', '--', *words)
        tap.check(done.returncode == status, f'status {status} of {words[-1]}', str(done))
    words = ['a b', '', "it's", '$HOME', '*', '\\', '"', 'é', '--', '-x', 'two\nlines']
    done = tdxemu('run', '--mem', '2G', '--', 'printf', '<%s>', *words)
    want = ''.join(f'<{word}>' for word in words).encode()
    tap.check(done.stdout == want, 'arguments reach the command as they are',
              f'{done.stdout!r} instead of {want!r}')


def late_reader(tap: Tap) -> None:
    """What L1's queues and all pipes still hold when the command ends is not lost."""
    want = tdxemu('run', '--mem', '2G', '--', 'sha256sum', '/bin/busybox').stdout[:64]
    with subprocess.Popen([str(ROOT / 'tdxemu'), 'run', '--mem', '2G', '--', 'cat',
                           '/bin/busybox'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout
        first = process.stdout.read(1)
        time.sleep(3)                   # the command ends meanwhile
        data = first + process.stdout.read()
    tap.check(process.returncode == 0
              and hashlib.sha256(data).hexdigest().encode() == want,
              'a reader that comes late', f'{process.returncode}, {len(data)} bytes')


def closed_early(tap: Tap) -> None:
    """`./tdxemu run ... | head -1` ends, as with any other command."""
    start = time.monotonic()
    with subprocess.Popen([str(ROOT / 'tdxemu'), 'run', '--mem', '2G', '--timeout', '60',
                           '--', 'sh', '-c', 'echo first; cat /bin/busybox; exit 3'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.wait()
    tap.check(line == b'first\n' and process.returncode == 3 and b'Traceback' not in said
              and time.monotonic() - start < 55, 'a reader that goes early',
              f'{line!r} {process.returncode} {said!r}')


def full_disk(tap: Tap) -> None:
    """What cannot be written is lost, but the command runs to its end."""
    with open('/dev/full', 'wb', buffering=0) as full:
        argv = [str(ROOT / 'tdxemu'), 'run', '--mem', '2G', '--timeout', '60', '--', 'sh',
                '-c', 'cat /bin/busybox /bin/busybox /bin/busybox; exit 4']
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=full, check=False,
                              stderr=subprocess.PIPE, timeout=120)
    tap.check(done.returncode == 4 and b'Traceback' not in done.stderr,
              'standard output on a full disk', str(done))


def closed_stdin(tap: Tap) -> None:
    with tempfile.TemporaryFile() as out:
        argv = ['sh', '-c', 'exec "$@" <&-', 'sh', str(ROOT / 'tdxemu'), 'run',
                '--mem', '2G', '--', 'sh', '-c', 'cat; echo here']
        status = subprocess.run(argv, stdout=out, check=False, timeout=120).returncode
        out.seek(0)
        said = out.read()
    tap.check(status == 0 and said == b'here\n', 'no standard input at all',
              f'{status} {said!r}')


def main() -> None:
    tap = Tap()
    for test in (large_output, mixed, stdin, statuses, late_reader, closed_early,
                 full_disk, closed_stdin):
        test(tap)
    tap.end()


main()
