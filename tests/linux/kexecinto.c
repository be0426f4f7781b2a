/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kexecinto [--on-panic] KERNEL INITRD COMMAND-LINE: the running kernel is replaced at
 * once, as kexec does it, without any shutdown of user space; or, later, when it panics.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "kexecinto: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    bool on_panic = argc > 1 && !strcmp(argv[1], "--on-panic");
    unsigned long flags = on_panic ? KEXEC_FILE_ON_CRASH : 0;
    int kernel, initrd;

    argc -= on_panic;
    argv += on_panic;
    if (argc != 4) {
        fputs("usage: kexecinto [--on-panic] KERNEL INITRD COMMAND-LINE\n", stderr);
        return 1;
    }
    kernel = open(argv[1], O_RDONLY);
    if (kernel < 0) {
        return fail(argv[1]);
    }
    initrd = open(argv[2], O_RDONLY);
    if (initrd < 0) {
        return fail(argv[2]);
    }
    if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1, argv[3],
                flags)) {
        return fail("kexec_file_load");
    }
    if (on_panic) {
        return 0;
    }
    sync();
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC,
            NULL);
    return fail("reboot into the new kernel");
}
