/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reader/writer try-locks with host atomics.
 */
#include "lock.h"

#define EXCLUSIVE       0x8000u
#define MAX_SHARED      0x7fffu

bool tdx_trylock(uint16_t *lock, LockMode mode)
{
    uint16_t old = __atomic_load_n(lock, __ATOMIC_RELAXED);
    uint16_t new;

    do {
        if (mode == LOCK_EXCLUSIVE) {
            if (old != 0) {
                return false;
            }
            new = EXCLUSIVE;
        } else {
            if (old >= MAX_SHARED) {
                return false;
            }
            new = old + 1;
        }
        /* A lost race is not a conflict: only what the new value says counts. */
    } while (!__atomic_compare_exchange_n(lock, &old, new, true, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return true;
}

void tdx_unlock(uint16_t *lock, LockMode mode)
{
    uint16_t old = __atomic_load_n(lock, __ATOMIC_RELAXED);
    uint16_t new;

    do {
        if (mode == LOCK_EXCLUSIVE) {
            new = 0;
        } else if (old == 0 || (old & EXCLUSIVE)) {
            return;             /* somebody wrote over the word */
        } else {
            new = old - 1;
        }
    } while (!__atomic_compare_exchange_n(lock, &old, new, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
}
