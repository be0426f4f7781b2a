/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a TD's life may be like: page allocations fail, vCPUs change CPU, L1's memory is
 * free in single pages only, memory is mapped before the TD touches it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tdlaunch.h"

#define PAGE_4K 0x1000
#define PAGE_2M 0x200000

/*
 * Fault injection of the thread that opens it: N written makes its Nth allocation from
 * now on fail, 0 switches it off; what is read is how many are left, 0 after a failure.
 */
static __thread int fail_nth = -1;

static bool arm(struct td *td, unsigned n)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u", n);

    if (fail_nth < 0) {
        fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
    }
    if (fail_nth < 0 || pwrite(fail_nth, text, len, 0) != len) {
        td_check(td, false, "/proc/thread-self/fail-nth: %s", strerror(errno));
        return false;
    }
    return true;
}

/* Returns how many allocations were left before the one that fails; keeps errno. */
static unsigned disarm(struct td *td)
{
    int err = errno;
    char text[16] = "";

    if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0) {
        text[0] = '1';
    }
    arm(td, 0);
    errno = err;
    return (unsigned)strtoul(text, NULL, 10);
}

/* An ioctl that counts for --fail-create. */
int td_fail_ioctl(struct td *td, int fd, unsigned long request, void *arg)
{
    int r;

    if (!td->fail_left || !arm(td, td->fail_left)) {
        return ioctl(fd, request, arg);
    }
    r = ioctl(fd, request, arg);
    td->fail_left = disarm(td);
    if (!td->fail_left) {
        td->injected++;
        printf("%s: a page allocation failed\n", td->name);
    }
    return r;
}

/* KVM_RUN with --fail-every. */
int td_fail_run(struct td *td, int fd)
{
    int r;

    if (!td->opt->fail_every || !arm(td, td->opt->fail_every)) {
        return ioctl(fd, KVM_RUN, 0);
    }
    r = ioctl(fd, KVM_RUN, 0);
    td->injected += !disarm(td);
    return r;
}

/*
 * --scatter: takes scatter_mb of L1's memory, of the kind that a TD's pages are, and
 * gives back scatter_pages of each 2 MiB. The kernel hands out last what was freed
 * first, and what another CPU has freed: the TD should be made on this CPU.
 */
bool td_scatter(struct td *td)
{
    struct tdx_uapi_gmem gmem = { .size = td->opt->scatter_mb * 0x100000ULL };
    off_t size = (off_t)gmem.size, keep = (off_t)td->opt->scatter_pages * PAGE_4K;

    if (!size) {
        return true;
    }
    td->scatter = ioctl(td->vm, TDX_UAPI_CREATE_GMEM, &gmem);
    if (td->scatter < 0 || fallocate(td->scatter, FALLOC_FL_KEEP_SIZE, 0, size)) {
        return td_check(td, false, "memory to scatter: %s", strerror(errno));
    }
    for (off_t at = 0; at < size; at += PAGE_2M) {
        if (fallocate(td->scatter, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
                      keep)) {
            return td_check(td, false, "giving back a page: %s", strerror(errno));
        }
    }
    return true;
}

/* A vCPU's part of what the payload accepts. Returns NULL if KVM has mapped all of it. */
static void *prefault_thread(void *arg)
{
    struct td_vcpu *v = arg;
    uint64_t pages = v->td->opt->accept_mb * 256ULL, vcpus = v->td->opt->vcpus;
    uint64_t from = pages * v->index / vcpus, to = pages * (v->index + 1) / vcpus;
    struct tdx_uapi_pre_fault range = {
        .gpa = TD_ACCEPT_GPA + from * PAGE_4K,
        .size = (to - from) * PAGE_4K,
    };

    while (range.size) {
        if (ioctl(v->fd, TDX_UAPI_PRE_FAULT, &range) && errno != EINTR &&
            errno != EAGAIN) {
            return v;
        }
    }
    return NULL;
}

/* --prefault: all vCPUs at once map their parts, none of which runs yet. */
void td_prefault(struct td *td)
{
    int64_t before = td_kvm_stat(td, "pages_4k"), pages = td->opt->accept_mb * 256LL;

    for (unsigned i = 0; i < td->opt->vcpus; i++) {
        struct td_vcpu *v = &td->vcpu[i];

        v->started = !pthread_create(&v->thread, NULL, prefault_thread, v);
    }
    for (unsigned i = 0; i < td->opt->vcpus; i++) {
        struct td_vcpu *v = &td->vcpu[i];
        void *failed = v;

        if (v->started) {
            pthread_join(v->thread, &failed);
        }
        td_check(td, !failed, "vCPU %u: KVM_PRE_FAULT_MEMORY", i);
    }
    td_check(td, td_kvm_stat(td, "pages_4k") - before == pages,
             "%lld pages are mapped before the TD runs", (long long)pages);
}

/* Every vCPU goes to the next CPU; every third time it leaves KVM_RUN, too. */
static void migrate(struct td *td, unsigned step, unsigned cpus)
{
    for (unsigned i = 0; i < td->opt->vcpus; i++) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((i + step) % cpus, &set);
        if (pthread_setaffinity_np(td->vcpu[i].thread, sizeof(set), &set)) {
            td_check(td, false, "vCPU %u goes to another CPU", i);
        }
        if (step % 3 == 0) {
            td_kick(&td->vcpu[i]);
        }
    }
}

void *td_migrate_thread(void *arg)
{
    struct td *td = arg;
    struct timespec pause = { .tv_nsec = td->opt->migrate_ms * 1000000L };
    unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN), steps = 0;

    while (atomic_load(&td->end) == TD_RUNNING) {
        nanosleep(&pause, NULL);
        migrate(td, ++steps, cpus);
    }
    td_say(td, "vCPUs have changed CPU %u times", steps);
    return NULL;
}
