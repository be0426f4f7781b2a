/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memhog MIB: takes that much memory, says "holding" and waits to be killed. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    size_t size = argc == 2 ? strtoul(argv[1], NULL, 10) << 20 : 0;
    char *p;

    if (!size) {
        fprintf(stderr, "usage: memhog MIB\n");
        return 1;
    }
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("memhog");
        return 1;
    }
    madvise(p, size, MADV_HUGEPAGE);    /* only because it is quicker */
    for (size_t i = 0; i < size; i += 4096) {
        p[i] = 1;
    }
    printf("holding\n");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
