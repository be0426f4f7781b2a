/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench.h"

#define HPET            0xfed00000ull
#define HPET_PERIOD     (HPET + 4)      /* femtoseconds, 32 bits */
#define HPET_CONFIG     (HPET + 0x10)
#define HPET_COUNTER    (HPET + 0xf0)

void hpet_start(void)
{
    *(volatile u64 *)HPET_CONFIG |= 1;
}

u64 hpet(void)
{
    return *(volatile u64 *)HPET_COUNTER;
}

u64 hpet_ns(u64 ticks)
{
    return ticks * (*(volatile u32 *)HPET_PERIOD / 1000) / 1000;
}

u64 median(u64 *v, u32 n)
{
    for (u32 i = 1; i < n; i++) {
        u64 x = v[i];
        u32 at = i;

        for (; at && v[at - 1] > x; at--) {
            v[at] = v[at - 1];
        }
        v[at] = x;
    }
    return v[n / 2];
}
