/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages, page tables and the memory functions that gcc wants. */
#include "cpu.h"

extern u64 boot_pml4[512];
static u64 heap = HEAP_START;

void *pages_alloc(u32 n, u64 align)
{
    u64 p = (heap + align - 1) & ~(align - 1);

    heap = p + n * PAGE_SIZE;
    if (heap > ram_below_4g()) {
        panic("out of memory");
    }
    return memset((void *)p, 0, n * PAGE_SIZE);
}

void *page_alloc(void)
{
    return pages_alloc(1, PAGE_SIZE);
}

void map_page(u64 va, u64 pa, u64 size, u64 flags)
{
    u64 *table = boot_pml4;
    int last = size == PAGE_SIZE ? 0 : 1;

    for (int level = 3; level > last; level--) {
        u64 *e = &table[va >> (12 + 9 * level) & 511];

        if (!(*e & 1)) {
            *e = (u64)page_alloc() | 7;
        } else if (*e & 0x80) {         /* split a large page */
            u64 *t = page_alloc();
            u64 step = BIT(12 + 9 * (level - 1));

            for (int i = 0; i < 512; i++) {
                t[i] = ((*e & ~0x80ull) + i * step) | (level > 1 ? 0x80 : 0);
            }
            *e = (u64)t | 7;
        }
        table = (u64 *)(*e & 0xffffffffff000ull);
    }
    table[va >> (12 + 9 * last) & 511] = pa | flags | (last ? 0x80 : 0);
    invlpg((void *)va);
}

void *memset(void *p, int c, size_t n)
{
    void *d = p;

    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return p;
}

void *memcpy(void *d, const void *s, size_t n)
{
    void *r = d;

    asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return r;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n; n--, x++, y++) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}
