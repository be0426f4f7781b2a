#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./tdxemu run passes a command's streams and exit status through, exactly."""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / 'lib'))
from tap import Tap, tdxemu  # noqa: E402


def main() -> None:
    tap = Tap()

    done = tdxemu('run', '--mem', '2G', '--', 'sh', '-c',
                  'printf "out\\n  two"; printf err >&2; exit 7')
    tap.check(done.returncode == 7, 'the exit status', str(done))
    tap.check(done.stdout == b'out\n  two', 'standard output', str(done.stdout))
    tap.check(done.stderr.splitlines()[-1:] == [b'err'], 'standard error',
              str(done.stderr))

    data = bytes(range(256)) * 8192
    done = tdxemu('run', '--mem', '2G', '--', 'cat', data=data)
    tap.check(done.returncode == 0 and done.stdout == data,
              '2 MiB of any bytes through standard input and output',
              f'status {done.returncode}, {len(done.stdout)} bytes')

    done = tdxemu('run', '--smp', '4', '--', 'sh', '-c', 'dmesg | grep -i tdx')
    lines = done.stdout.decode().splitlines()
    tap.check(done.returncode == 0 and bool(lines)
              and all('tdx' in line.lower() for line in lines),
              'grep prints only its lines', str(done))
    tap.check(any('TDX-Module initialized' in line for line in lines),
              'the module is initialised', str(done))
    done = tdxemu('run', '--smp', '4', '--', 'sh', '-c', 'dmesg | grep "no such line"')
    tap.check(done.returncode == 1 and not done.stdout, 'grep\'s status 1', str(done))

    with tempfile.TemporaryDirectory() as name:
        Path(name, 'in').write_text('from outside')
        done = tdxemu('run', '--mem', '2G', '--share', name, '--', 'sh', '-c',
                      'cd /mnt/share && cat in && echo from L1 > out')
        made = Path(name, 'out')
        tap.check(done.stdout == b'from outside', 'L1 reads a shared directory',
                  str(done))
        tap.check(made.exists() and made.read_text() == 'from L1\n',
                  'L1 writes a shared directory', str(done))

        # The command of the first boot makes the file that the second one finds.
        done = tdxemu('run', '--reboot', '--mem', '2G', '--share', name, '--', 'sh', '-c',
                      '[ -e /mnt/share/again ] || { touch /mnt/share/again; reboot -f; '
                      'sleep 60; }; dmesg | grep -c "TDX-Module initialized"')
        tap.check(done.returncode == 0 and done.stdout == b'1\n',
                  'L1 reboots and initialises the module again', str(done))

    done = tdxemu('run', '--mem', '2G', '--timeout', '20', '--', 'sleep', '1000')
    tap.check(done.returncode == 124, '--timeout ends L1 with status 124', str(done))
    done = tdxemu('run', '--mem', '2G', '--', 'sh', '-c',
                  'poweroff -f; sleep 60')
    tap.check(done.returncode == 125 and b'L1 ended' in done.stderr,
              'an L1 that dies gives status 125 and a sentence', str(done))
    tap.end()


main()
