/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One trust domain as tdlaunch sees it. */
#ifndef TESTS_LINUX_TDLAUNCH_H
#define TESTS_LINUX_TDLAUNCH_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm_tdx.h"
#include "td_proto.h"

struct options {
    const char *payload;
    unsigned vcpus;
    unsigned mem_mb;
    unsigned accept_mb;
    unsigned tds;
    unsigned cycles;
    unsigned timeout;           /* seconds for one life of a TD */
    unsigned mode;              /* TD_MODE_* */
    unsigned rounds;            /* of a load */
    unsigned order;             /* enum end_order, with several TDs */
    unsigned migrate_ms;        /* vCPU threads change CPU that often; 0: never */
    unsigned fail_create;       /* page allocation of KVM's TDX ioctls that fails */
    unsigned fail_every;        /* page allocations in one KVM_RUN until one fails */
    unsigned scatter_mb;        /* see td_scatter() */
    unsigned scatter_pages;
    bool prefault;
    bool quiet;
    bool json;
};

/* TDs of a group end one after the other, or as it comes. */
enum end_order { ORDER_ANY, ORDER_UP, ORDER_DOWN };

struct td;
struct td_group;

struct td_vcpu {
    struct td *td;
    unsigned index;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    bool started;
    atomic_uint cpus;           /* of L1 where it ran: bit mask */
};

enum td_slot { TD_SLOT_RAM, TD_SLOT_IMAGE, TD_SLOTS };

/* Guest memory: the shared half is at host, the private half in the guest_memfd gmem. */
struct td_memory {
    uint64_t gpa;
    uint64_t size;
    uint8_t *host;
    int gmem;
};

/* How a TD ended; TD_RUNNING is 0. */
enum td_end { TD_RUNNING, TD_END_EXIT, TD_END_FATAL, TD_END_SHUTDOWN, TD_END_ERROR };

struct td {
    const struct options *opt;
    char name[24];
    unsigned index;
    struct td_group *group;     /* NULL: it is alone */
    bool in_turn;
    int kvm, vm;
    int scatter;                /* guest_memfd of td_scatter() */
    size_t run_size;
    struct td_memory mem[TD_SLOTS];
    struct td_vcpu vcpu[TD_MAX_VCPUS];
    uint8_t *image;             /* TD_IMAGE_SIZE bytes, page aligned */
    uint64_t attributes, xfam;
    uint64_t pages_added;
    uint8_t mrtd[48];           /* our own calculation */

    pthread_mutex_t lock;       /* what the devices keep, from here on */
    char line[256];             /* console line so far */
    size_t line_len;
    uint8_t report[1024];
    size_t report_len;
    bool shared_report_ok;
    uint32_t stat[TD_STAT_COUNT];
    uint32_t echo;
    uint8_t mmio[4096];
    unsigned notify_vector;
    atomic_uint memory_faults;  /* KVM_EXIT_MEMORY_FAULT: implicit conversions */
    unsigned fail_left;         /* of opt->fail_create */
    atomic_uint injected;       /* page allocations that were made to fail */
    atomic_uint no_memory;      /* times that KVM_RUN said ENOMEM */
    uint8_t exit_code;
    int error;                  /* errno of KVM_RUN with TD_END_ERROR */
    atomic_int end;             /* enum td_end */
    unsigned checks, failed;
};

/* tdlaunch.c: one result line "ok - TD: name"; returns ok. */
bool td_check(struct td *td, bool ok, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void td_say(struct td *td, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* td_vm.c: false after a message has been printed; td_destroy() copes with any state. */
bool td_create(struct td *td);
void td_destroy(struct td *td);
int64_t td_kvm_stat(struct td *td, const char *name);
bool td_convert(struct td *td, uint64_t gpa, uint64_t size, bool to_private);
uint8_t *td_shared(struct td *td, uint64_t gpa, uint64_t size);

/* td_run.c: runs all vCPUs until the TD ends. */
void td_run(struct td *td);
void td_kick(struct td_vcpu *v);    /* out of KVM_RUN */

/*
 * td_group.c: TDs in processes of their own that wait for each other. A TD that waits
 * in vain gives up after opt->timeout or when it has ended; then false is returned.
 */
struct td_group *td_group_create(unsigned tds);
bool td_group_turn(struct td *td);
bool td_group_step(struct td *td);  /* in a group only */
void td_group_leave(struct td *td); /* the TD is destroyed */

/* td_stress.c */
int td_fail_ioctl(struct td *td, int fd, unsigned long request, void *arg);
int td_fail_run(struct td *td, int fd);
bool td_scatter(struct td *td);
void td_prefault(struct td *td);
void *td_migrate_thread(void *td);

/* td_measure.c: MRTD as the TDX module defines it, and the checks of a TDREPORT. */
void td_measure(struct td *td);
void td_check_report(struct td *td);

#endif
