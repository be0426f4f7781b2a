/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The try-locks, alone and between threads.
 */
#include <glib.h>
#include "lock.h"

static void test_modes(void)
{
    uint16_t l = 0;

    g_assert_true(tdx_trylock(&l, LOCK_SHARED));
    g_assert_true(tdx_trylock(&l, LOCK_SHARED));
    g_assert_false(tdx_trylock(&l, LOCK_EXCLUSIVE));
    tdx_unlock(&l, LOCK_SHARED);
    g_assert_false(tdx_trylock(&l, LOCK_EXCLUSIVE));
    tdx_unlock(&l, LOCK_SHARED);
    g_assert_cmphex(l, ==, 0);
    g_assert_true(tdx_trylock(&l, LOCK_EXCLUSIVE));
    g_assert_false(tdx_trylock(&l, LOCK_SHARED));
    g_assert_false(tdx_trylock(&l, LOCK_EXCLUSIVE));
    tdx_unlock(&l, LOCK_EXCLUSIVE);
    g_assert_cmphex(l, ==, 0);
}

/* Words in RAM may hold anything: never more holders than fit, no underflow. */
static void test_overwritten(void)
{
    uint16_t l = 0;

    tdx_unlock(&l, LOCK_SHARED);
    g_assert_cmphex(l, ==, 0);
    l = 0x7fff;
    g_assert_false(tdx_trylock(&l, LOCK_SHARED));
    l = 0xffff;
    g_assert_false(tdx_trylock(&l, LOCK_SHARED));
    g_assert_false(tdx_trylock(&l, LOCK_EXCLUSIVE));
    tdx_unlock(&l, LOCK_SHARED);
    g_assert_cmphex(l, ==, 0xffff);
}

#define THREADS         4
#define ROUNDS          20000

typedef struct Shared {
    uint16_t lock;
    unsigned value;             /* written only under the exclusive lock */
    int readers;                /* atomic */
    int broken;                 /* atomic: the exclusion failed */
} Shared;

/* Returns how often it had the lock exclusively. */
static gpointer worker(gpointer opaque)
{
    Shared *s = opaque;
    size_t writes = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 2) {
            if (tdx_trylock(&s->lock, LOCK_EXCLUSIVE)) {
                if (g_atomic_int_get(&s->readers)) {
                    g_atomic_int_inc(&s->broken);
                }
                s->value++;
                writes++;
                tdx_unlock(&s->lock, LOCK_EXCLUSIVE);
            }
        } else if (tdx_trylock(&s->lock, LOCK_SHARED)) {
            unsigned value = s->value;

            g_atomic_int_inc(&s->readers);
            g_thread_yield();
            if (s->value != value) {
                g_atomic_int_inc(&s->broken);
            }
            g_atomic_int_add(&s->readers, -1);
            tdx_unlock(&s->lock, LOCK_SHARED);
        }
    }
    return GSIZE_TO_POINTER(writes);
}

static void test_threads(void)
{
    Shared s = { 0 };
    GThread *t[THREADS];
    size_t writes = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = g_thread_new("lock", worker, &s);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        writes += GPOINTER_TO_SIZE(g_thread_join(t[i]));
    }
    g_assert_cmpint(s.broken, ==, 0);
    g_assert_cmphex(s.lock, ==, 0);
    g_assert_cmpuint(writes, >, 0);
    g_assert_cmpuint(s.value, ==, writes);
}

/* Shared holders alone never make each other fail. */
static gpointer reader(gpointer opaque)
{
    size_t failed = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (!tdx_trylock(opaque, LOCK_SHARED)) {
            failed++;
        } else {
            tdx_unlock(opaque, LOCK_SHARED);
        }
    }
    return GSIZE_TO_POINTER(failed);
}

static void test_no_spurious_busy(void)
{
    uint16_t lock = 0;
    GThread *t[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = g_thread_new("reader", reader, &lock);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_assert_cmpuint(GPOINTER_TO_SIZE(g_thread_join(t[i])), ==, 0);
    }
    g_assert_cmphex(lock, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lock/modes", test_modes);
    g_test_add_func("/lock/overwritten", test_overwritten);
    g_test_add_func("/lock/threads", test_threads);
    g_test_add_func("/lock/no-spurious-busy", test_no_spurious_busy);
    return g_test_run();
}
