/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time for benchmarks: the HPET's, and the median of slices. */
#ifndef GUEST_BENCH_H
#define GUEST_BENCH_H

#include "cpu.h"

void hpet_start(void);          /* before the first hpet() */
u64 hpet(void);                 /* its counter */
u64 hpet_ns(u64 ticks);
u64 median(u64 *v, u32 n);      /* sorts @v */

#endif
