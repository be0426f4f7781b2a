# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of ./tdxemu."""
import argparse
import os
import re
import signal
import sys
from pathlib import Path
from typing import List

from . import (bench, demo, initramfs, kernel, machine, packages, pamt, paths, qemu,
               suites)
from .symbols import Symbols
from .ui import Failure, locked, say

DESCRIPTION = '''\
Run Linux's TDX host code on any x86-64 machine: QEMU's TCG with VMX, SEAM and a model
of the Intel TDX module. demo and test do all the set-up themselves.'''


def _machine_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--kernel', type=Path, metavar='BZIMAGE',
        help='the host kernel to boot (default: one that setup has built)')
    add('--smp', type=int, default=2, metavar='N', help='CPUs of L1 (default 2)')
    add('--mem', default='4G', metavar='SIZE',
        help='memory of L1, as 4G or 3072M (default 4G)')
    add('--append', default='', metavar='STR',
        help='more words for the kernel command line')
    add('--initrd', type=Path, metavar='F',
        help='boot this initramfs instead of ours; goes without CMD')
    add('--share', type=Path, metavar='DIR',
        help='a directory that L1 mounts by 9p as /mnt/share')
    add('--module', default='', metavar='PROP=VALUE,...',
        help='properties of the TDX module, as num-tdx-keyids=16; '
             '"./tdxemu qemu -object tdx-module,help" lists them')
    add('--cpu', default='', metavar='PROP=VALUE,...',
        help='properties of L1\'s CPUs, as phys-bits=46')
    add('--no-tdx', action='store_true', help='leave the TDX module out')
    add('--faults', type=Path, metavar='FILE', help='fault rules (not there yet)')
    add('--trace', type=Path, metavar='FILE',
        help='trace events to switch on, one a line (QEMU\'s -trace events=FILE)')
    add('--reboot', action='store_true',
        help='let L1 reboot; otherwise that ends the emulator')
    add('--qemu-args', default='', metavar='ARGS',
        help='more arguments for the emulator, in one word')


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog='tdxemu', description=DESCRIPTION)
    commands = top.add_subparsers(dest='command', metavar='COMMAND', required=True)

    def command(name: str, text: str, **kwargs) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text[0].upper() + text[1:]
                                   + '.', **kwargs)
    p = command('setup', 'install packages, fetch sources, build emulator and kernel')
    p.add_argument('--update', action='store_true',
                   help='look for a newer QEMU 10.0.x even if one is in the cache')
    p = command('demo', 'boot L1, initialise the TDX module and run trust domains')
    p.add_argument('--dynamic-pamt', action='store_true',
                   help='run them with and without Dynamic PAMT, on a kernel with it, '
                        'and compare what that costs')
    p = command('test', 'run all tests, or the suites named')
    p.add_argument('suites', nargs='*', metavar='SUITE',
                   help=f'{", ".join(suites.SUITES)}; or one test, as linux/td-one')
    p.add_argument('--kernel', type=Path, metavar='BZIMAGE',
                   help='your kernel with Dynamic PAMT for the scenarios linux/pamt-*, '
                        'in the place of one with our patches')
    p = command('run', 'boot L1; with CMD run it there and exit with its status, '
                'without start a shell')
    _machine_options(p)
    p.add_argument('--timeout', type=float, metavar='SECONDS',
                   help=f'give up after so long, with status {machine.TIMED_OUT}')
    p.add_argument('--verbose', action='store_true', help='show L1\'s console afterwards')
    p.add_argument('--check', choices=('pamt',),
                   help='look at the module after CMD: "pamt" reports leaks and errors '
                        'of Dynamic PAMT, makes the exit status 1 if there are any, and '
                        'implies --module dynamic-pamt=on')
    p.add_argument('cmd', nargs=argparse.REMAINDER, metavar='-- CMD',
                   help='the command and its arguments')
    p = command('kernel', 'build a TDX host kernel; print the path of its bzImage')
    which = p.add_mutually_exclusive_group()
    which.add_argument('--version', metavar='V',
                       help=f'a version that apt offers (default {kernel.PREFERRED})')
    which.add_argument('--source', type=Path, metavar='DIR', help='a clean tree of yours')
    p.add_argument('--patches', type=Path, metavar='DIR',
                   help='patches to apply first (*.patch, or as its "series" says)')
    p.add_argument('--config', type=Path, metavar='FILE', action='append', default=[],
                   help='options to merge over tests/linux/kernel.config, as '
                        'tests/linux/kernel-debug.config; may come again')
    p.add_argument('--out', type=Path, metavar='DIR',
                   help='copy bzImage, vmlinux, System.map and config there')
    p = command('bench', 'run benchmarks, each with its peer in the same run')
    p.add_argument('names', nargs='*', metavar='NAME', help=', '.join(bench.BENCHMARKS))
    p.add_argument('--runs', type=int, default=10, metavar='N',
                   help='runs of each side, interleaved; the median counts (default 10)')
    p.add_argument('--json', action='store_true', help='one JSON object a figure')
    p = command('qemu', 'run the built emulator itself with ARGS', add_help=False)
    p.add_argument('args', nargs=argparse.REMAINDER, metavar='ARGS')
    return top


def _prepare() -> None:
    """What any build needs: packages, paths that make can use, a place to write to."""
    for place, remedy in ((paths.ROOT, 'move the checkout'),
                          (paths.CACHE, 'set XDG_CACHE_HOME to another')):
        if re.search(r'[^\w/.,+@~-]', str(place)):
            raise Failure(f'cannot build below "{place}": make does not take a path with '
                          f'spaces or special characters; {remedy}')
    try:
        paths.LOGS.mkdir(parents=True, exist_ok=True)
        writable = os.access(paths.BUILD, os.W_OK) and os.access(paths.LOGS, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise Failure(f'cannot write below {paths.BUILD}; if an earlier run as root has '
                      'made it, remove it as root, else use a clone of your own')
    packages.install()


def setup(update: bool = False, with_kernel: bool = True) -> None:
    """All that a run needs; does nothing where it is there already."""
    if os.environ.get('TDXEMU_READY'):      # a test's call: the set-up was just done
        return
    _prepare()
    with locked(paths.BUILD, 'building'):
        qemu.build(update)
        initramfs.build()
    if with_kernel:
        kernel.build()


def _options(args: argparse.Namespace) -> machine.Options:
    if args.faults:
        raise Failure('--faults: fault injection is not there yet; leave the option out')
    if args.trace and not args.trace.is_file():
        raise Failure(f'--trace {args.trace}: there is no such file; it lists trace '
                      'events, one a line')
    options = machine.Options(
        smp=args.smp, mem=args.mem, kernel=args.kernel, initrd=args.initrd,
        append=args.append, share=args.share, module=args.module, trace=args.trace,
        tdx=not args.no_tdx, reboot=args.reboot,
        cpu=f'{machine.CPU_MODEL},{args.cpu}' if args.cpu else None,
        qemu_args=args.qemu_args.split())
    machine.validate(options)
    return options


def run(args: argparse.Namespace) -> int:
    cmd = args.cmd[1:] if args.cmd[:1] == ['--'] else args.cmd
    options = _options(args)
    if cmd and args.initrd:
        raise Failure('--initrd goes without CMD: only our own initramfs knows how to '
                      'run it')
    if args.check and (args.no_tdx or not cmd):
        raise Failure('--check looks at the TDX module after CMD: it goes with CMD and '
                      'without --no-tdx')
    setup(with_kernel=not args.kernel)
    if args.check:
        return _run_checked(args, options, cmd)
    if cmd:
        return machine.run_command(options, cmd, args.timeout, args.verbose)
    return machine.run_shell(options)


def _run_checked(args: argparse.Namespace, options: machine.Options,
                 cmd: List[str]) -> int:
    options.keep = True
    if 'dynamic-pamt' not in options.module:
        options.module = ','.join(filter(None, (options.module, 'dynamic-pamt=on')))
    check = pamt.Check(Symbols.beside(options.kernel or kernel.default()))
    bad: List[str] = []

    def inspect(l1: machine.L1) -> None:
        check(l1)
        bad.extend(l1.bad_lines())
    status = machine.run_command(options, cmd, args.timeout, args.verbose, inspect)
    for line in check.report():
        say(line)
    if bad:
        say(f'WARN, BUG or failed SEAMCALL lines in L1\'s log: {len(bad)}')
        for line in bad[:5]:
            say(f'    {line}')
    return status or (1 if check.wrong or bad else 0)


def build_kernel(args: argparse.Namespace) -> int:
    _prepare()
    done = kernel.build(args.version, args.source, args.patches, args.config)
    if args.out:
        kernel.copy_to(done, args.out)
        done = args.out
    print(done / 'bzImage')
    return 0


def exec_qemu(args: List[str]) -> int:
    if not paths.QEMU.exists():
        setup(with_kernel=False)
    os.execv(paths.QEMU, [str(paths.QEMU), '-L', str(paths.FIRMWARE), *args])


def _terminate(number, _frame) -> None:
    raise SystemExit(128 + number)


def dispatch(argv: List[str]) -> int:
    if argv[:1] == ['qemu']:            # all of ARGS is the emulator's
        return exec_qemu(argv[1:])
    args = parser().parse_args(argv)
    if args.command == 'setup':
        setup(args.update)
        say(f'ready; the emulator is {paths.QEMU}')
        return 0
    if args.command == 'run':
        return run(args)
    if args.command == 'kernel':
        return build_kernel(args)
    if args.command == 'demo':
        setup(with_kernel=not args.dynamic_pamt)
        return demo.run_dynamic_pamt() if args.dynamic_pamt else demo.run()
    if args.command == 'test':
        suites.validate(args.suites, args.kernel)
        setup()
        return suites.run(args.suites, args.kernel)
    bench.validate(args.names, args.runs)
    setup()
    return bench.run(args.names, args.runs, args.json)


def _open_standard_streams() -> None:
    """A stream that our caller has closed must not become some other file."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)      # the lowest free number: fd


def main(argv: List[str]) -> int:
    _open_standard_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:      # as under nohup
            signal.signal(number, _terminate)
    try:
        return dispatch(argv)
    except Failure as e:
        sys.stdout.flush()
        say(f'tdxemu: {e}')
        return e.status
    except KeyboardInterrupt:
        say('tdxemu: interrupted')
        return 130
