/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several TDs that take turns and end in a given order, each in its own process. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tdlaunch.h"

/* In memory that the processes share; each counter is a futex. */
struct td_group {
    unsigned tds;
    atomic_uint turn;           /* index of the TD whose turn it is */
    atomic_ullong taking;       /* TDs that take turns: bit mask */
    atomic_uint arrived;        /* TDs that have come to TD_PORT_STEP */
    atomic_uint gone;           /* TDs that are destroyed */
};

struct td_group *td_group_create(unsigned tds)
{
    struct td_group *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (g == MAP_FAILED) {
        perror("tdlaunch: memory to share");
        return NULL;
    }
    g->tds = tds;
    g->taking = tds == 64 ? ~0ull : (1ull << tds) - 1;
    return g;
}

static void wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Until @word is at least @min and at most @max. */
static bool wait_for(struct td *td, atomic_uint *word, unsigned min, unsigned max)
{
    struct timespec slice = { .tv_nsec = 100000000 };
    unsigned slices = 0, value;

    while ((value = atomic_load(word)) < min || value > max) {
        long r = syscall(SYS_futex, word, FUTEX_WAIT, value, &slice, NULL, 0);

        slices += r && errno == ETIMEDOUT;
        if (slices > 10 * td->opt->timeout || atomic_load(&td->end) != TD_RUNNING) {
            return false;
        }
    }
    return true;
}

/* The turn goes to the next TD that takes one. */
static void pass_turn(struct td *td)
{
    struct td_group *g = td->group;
    unsigned long long taking = atomic_load(&g->taking);
    unsigned next = td->index;

    do {
        next = (next + 1) % g->tds;
    } while (next != td->index && !(taking >> next & 1));
    atomic_store(&g->turn, next);
    wake(&g->turn);
}

static void take_no_more_turns(struct td *td)
{
    atomic_fetch_and(&td->group->taking, ~(1ull << td->index));
    if (atomic_load(&td->group->turn) == td->index) {
        pass_turn(td);
    }
}

bool td_group_turn(struct td *td)
{
    if (!td->group) {
        return true;
    }
    if (td->in_turn) {
        pass_turn(td);
    }
    td->in_turn = wait_for(td, &td->group->turn, td->index, td->index);
    return td->in_turn;
}

/* With an order, until all have arrived here and those that end before this are gone. */
bool td_group_step(struct td *td)
{
    unsigned rank = td->index;

    take_no_more_turns(td);
    atomic_fetch_add(&td->group->arrived, 1);
    wake(&td->group->arrived);
    if (td->opt->order == ORDER_ANY) {
        return true;
    }
    if (td->opt->order == ORDER_DOWN) {
        rank = td->group->tds - 1 - rank;
    }
    return wait_for(td, &td->group->arrived, td->group->tds, UINT_MAX) &&
           wait_for(td, &td->group->gone, rank, UINT_MAX);
}

void td_group_leave(struct td *td)
{
    if (td->group) {
        take_no_more_turns(td);
        atomic_fetch_add(&td->group->gone, 1);
        wake(&td->group->gone);
    }
}
