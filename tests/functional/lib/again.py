# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell script that L1 runs in one boot after the other, by reset or by kexec.

It lies in a directory that L1 shares, and appends what it says to the file "out" there:
what is in the virtio ports when L1 goes would be lost. BOOT is 1 in the first boot, and
so on. `next_by_button` waits for somebody outside to press the machine's reset button,
or that for an NMI.
"""
import shutil
import time
from pathlib import Path
from typing import List

from house import initramfs, kernel, machine

HEAD = '''\
cd /mnt/share || exit 1
BOOT=$(($(cat boots 2> /dev/null || echo 0) + 1))
echo $BOOT > boots
exec >> out 2>&1
echo "boot $BOOT"
dmesg | grep -o 'virt/tdx: TDX-Module initialized'
next_by_reset() { reboot -f; sleep 60; }
next_by_kexec() { kexecinto bzImage initrd "$(cat /proc/cmdline)"; }
next_by_button() { echo "$1" > button.new; mv button.new button; sleep 60; }
wait_for() {        # wait_for TEXT FILE
    tries=0
    while ! grep -q "$1" "$2" 2> /dev/null && [ $tries -lt 600 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}
'''


KVM_ENDS = 'kvm: exiting hardware virtualization'


class Again:
    """Runs `script` in L1, boot after boot, until it comes to its end."""

    def __init__(self, share: Path, script: str, smp: int, mem: str, append: str = ''):
        self.share = share
        self.status = machine.TIMED_OUT
        command = ['sh', '/mnt/share/script']
        (share / 'script').write_text(HEAD + script)
        shutil.copyfile(kernel.default(), share / 'bzImage')
        initramfs.with_command(initramfs.build(), command, share / 'initrd')
        options = machine.Options(smp=smp, mem=mem, reboot=True, share=share,
                                  append=append)
        with machine.L1(options, command) as l1:
            self._watch(l1, 240)
            self.console = l1.dmesg()

    def _watch(self, l1: machine.L1, timeout: float) -> None:
        button = self.share / 'button'
        end = time.monotonic() + timeout
        while not l1.finished.wait(0.1) and time.monotonic() < end:
            if button.exists():
                command = button.read_text().strip()
                button.unlink()
                l1.qmp.command(command)
        if l1.finished.is_set():
            self.status = l1.wait(20)

    def boots(self) -> List[List[str]]:
        """What the script said in each boot, by lines."""
        found: List[List[str]] = []
        out = self.share / 'out'
        for line in out.read_text(errors='replace').splitlines() if out.exists() else []:
            if line.startswith('boot '):
                found.append([])
            elif found:
                found[-1].append(line)
        return found

    def logs(self) -> List[List[str]]:
        """The kernel's log of each boot."""
        found: List[List[str]] = []
        for line in self.console:
            if line.startswith('Linux version '):
                found.append([])
            elif found:
                found[-1].append(line)
        return found

    def __str__(self) -> str:
        lines = [f'status {self.status}']
        lines += [f'{i}: {said}' for i, said in enumerate(self.boots(), 1)]
        return '\n'.join(lines + (self.console[-20:] if self.status else []))


def bad_lines(log: List[str], dying: bool = False) -> List[str]:
    """What a log may not hold; with `dying`, only until the kernel ends KVM."""
    bad = []
    for line in log:
        if dying and line.startswith(KVM_ENDS):
            break
        if machine.BAD_LINES.search(line):
            bad.append(line)
    return bad
