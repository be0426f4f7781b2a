/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running a TD: one thread a vCPU, every exit that KVM passes to user space, and the
 * devices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tdlaunch.h"

#define SIG_KICK SIGUSR1

static void on_kick(int sig)
{
    (void)sig;
}

static void end_td(struct td *td, enum td_end end)
{
    int running = TD_RUNNING;

    atomic_compare_exchange_strong(&td->end, &running, end);
}

static void *memory_of_exit(struct kvm_run *run)
{
    return &run->hw; /* the start of the union of exit data */
}

static void console(struct td *td, uint32_t chars)
{
    for (; chars; chars >>= 8) {
        char c = (char)chars;

        if (c == '\n' || td->line_len == sizeof(td->line) - 1) {
            td->line[td->line_len] = 0;
            td->line_len = 0;
            if (!strncmp(td->line, "ok - ", 5)) {
                td_check(td, true, "%s", td->line + 5);
            } else if (!strncmp(td->line, "not ok - ", 9)) {
                td_check(td, false, "%s", td->line + 9);
            } else {
                td_say(td, "%s", td->line);
            }
        }
        if (c != '\n') {
            td->line[td->line_len++] = c;
        }
    }
}

static void ring(struct td *td)
{
    struct kvm_msi msi = { .address_lo = 0xfee00000, .data = td->notify_vector };

    if (!td->notify_vector || ioctl(td->vm, KVM_SIGNAL_MSI, &msi) != 1) {
        td_check(td, false, "KVM_SIGNAL_MSI: %s", strerror(errno));
    }
}

static void port_out(struct td *td, unsigned port, unsigned size, uint32_t v)
{
    uint8_t *shared;

    if (port >= TD_PORT_STAT && port < TD_PORT_STAT + 4 * TD_STAT_COUNT) {
        td->stat[(port - TD_PORT_STAT) / 4] = v;
        return;
    }
    switch (port) {
    case TD_PORT_CONSOLE:
        console(td, v);
        break;
    case TD_PORT_EXIT:
        td->exit_code = (uint8_t)v;
        end_td(td, TD_END_EXIT);
        break;
    case TD_PORT_ECHO:
        td->echo = v;
        break;
    case TD_PORT_REPORT:
        if (td->report_len + size <= sizeof(td->report)) {
            memcpy(td->report + td->report_len, &v, size);
            td->report_len += size;
        }
        break;
    case TD_PORT_REPORT_GPA:
        shared = td_shared(td, v, sizeof(td->report));
        td->shared_report_ok = shared && !memcmp(shared, td->report, sizeof(td->report));
        break;
    case TD_PORT_RING:
        ring(td);
        break;
    case TD_PORT_NMI:
        if (v >= td->opt->vcpus || ioctl(td->vcpu[v].fd, KVM_NMI, 0)) {
            td_check(td, false, "KVM_NMI: %s", strerror(errno));
        }
        break;
    case TD_PORT_ALIVE:
        td_say(td, "running");
        break;
    default:
        td_check(td, false, "unexpected write to port %#x", port);
    }
}

static void handle_io(struct td *td, struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint32_t v = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&v, data, run->io.size);
            port_out(td, run->io.port, run->io.size, v);
        } else {
            v = run->io.port == TD_PORT_ECHO     ? ~td->echo
                : run->io.port == TD_PORT_ROUNDS ? td->opt->rounds
                                                 : ~0u;
            memcpy(data, &v, run->io.size);
        }
    }
}

/* A register file that answers the complement of what was written. */
static void handle_mmio(struct td *td, struct kvm_run *run)
{
    uint64_t off = run->mmio.phys_addr - TD_MMIO_GPA;

    if (run->mmio.len > 8 || off > sizeof(td->mmio) - 8) {
        td_check(td, false, "unexpected MMIO at %#llx",
                 (unsigned long long)run->mmio.phys_addr);
        return;
    }
    for (uint32_t i = 0; i < run->mmio.len; i++) {
        if (run->mmio.is_write) {
            td->mmio[off + i] = (uint8_t)~run->mmio.data[i];
        } else {
            run->mmio.data[i] = td->mmio[off + i];
        }
    }
}

static void handle_hypercall(struct td *td, struct kvm_run *run)
{
    bool ok = run->hypercall.nr == KVM_HC_MAP_GPA_RANGE &&
              td_convert(td, run->hypercall.args[0], run->hypercall.args[1] * 4096,
                         run->hypercall.args[2] & MAP_GPA_ENCRYPTED);

    run->hypercall.ret = ok ? 0 : EINVAL;
}

static void handle_tdx(struct td *td, struct kvm_run *run)
{
    struct tdx_uapi_exit *x = memory_of_exit(run);

    switch (x->nr) {
    case TDVMCALL_GET_INFO:
        x->ret = 0;
        x->info.r11 = 2; /* SetupEventNotifyInterrupt */
        x->info.r12 = x->info.r13 = x->info.r14 = 0;
        break;
    case TDVMCALL_SETUP_EVENT_NOTIFY:
        td->notify_vector = (unsigned)x->notify.vector;
        x->ret = 0;
        break;
    case TDVMCALL_GET_QUOTE: /* there is no quoting enclave */
    default:
        x->ret = TDVMCALL_UNSUPPORTED;
    }
}

static void handle_system_event(struct td *td, struct kvm_run *run)
{
    if (run->system_event.type != KVM_SYSTEM_EVENT_TDX_FATAL) {
        td_check(td, false, "unexpected system event %u", run->system_event.type);
        end_td(td, TD_END_ERROR);
        return;
    }
    td->exit_code = (uint8_t)run->system_event.data[12]; /* the guest's R12 */
    end_td(td, TD_END_FATAL);
}

static void handle_exit(struct td *td, struct td_vcpu *v)
{
    struct kvm_run *run = v->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        handle_io(td, run);
        break;
    case KVM_EXIT_MMIO:
        handle_mmio(td, run);
        break;
    case KVM_EXIT_TDX:
        handle_tdx(td, run);
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        handle_system_event(td, run);
        break;
    case KVM_EXIT_SHUTDOWN:
        end_td(td, TD_END_SHUTDOWN);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        td_check(td, false, "vCPU %u: KVM_EXIT_INTERNAL_ERROR %u, data %#llx %#llx",
                 v->index, run->internal.suberror,
                 (unsigned long long)run->internal.data[0],
                 (unsigned long long)run->internal.data[1]);
        end_td(td, TD_END_ERROR);
        break;
    default:
        td_check(td, false, "vCPU %u: unexpected exit %u (%#llx)", v->index,
                 run->exit_reason, (unsigned long long)run->hw.hardware_exit_reason);
        end_td(td, TD_END_ERROR);
    }
}

/* The guest used memory in the other way than its attribute says: convert it. */
static bool handle_memory_fault(struct td *td, struct kvm_run *run)
{
    struct tdx_uapi_memory_fault *f = memory_of_exit(run);

    td->memory_faults += run->exit_reason == KVM_EXIT_MEMORY_FAULT;
    return run->exit_reason == KVM_EXIT_MEMORY_FAULT &&
           td_convert(td, f->gpa, f->size, f->flags & KVM_MEMORY_EXIT_FLAG_PRIVATE);
}

/* Where a load waits. */
static bool wait_port(struct td *td, struct kvm_run *run)
{
    switch (run->io.port) {
    case TD_PORT_YIELD:
        sched_yield();
        return true;
    case TD_PORT_TURN:
        if (!td_group_turn(td)) {
            td_check(td, false, "the turn of this TD comes");
        }
        return true;
    case TD_PORT_STEP:
        if (td->group) {
            td_check(td, td_group_step(td), "the other TDs have come so far");
        }
        return true;
    default:
        return false;
    }
}

/*
 * Exits that do not touch the devices: conversions of several vCPUs run at once, and a
 * vCPU that waits does not hold the others up.
 */
static bool handle_alone(struct td *td, struct kvm_run *run, int err)
{
    if (err) {
        return err == EFAULT && handle_memory_fault(td, run);
    }
    if (run->exit_reason == KVM_EXIT_HYPERCALL) {
        handle_hypercall(td, run);
        return true;
    }
    return run->exit_reason == KVM_EXIT_IO && wait_port(td, run);
}

static void run_once(struct td *td, struct td_vcpu *v)
{
    int err = td_fail_run(td, v->fd) ? errno : 0;

    atomic_fetch_or(&v->cpus, 1u << sched_getcpu());
    if (err == ENOMEM && td->opt->fail_every) {
        td->no_memory++;
        return;
    }
    if (err == EINTR || err == EAGAIN || handle_alone(td, v->run, err)) {
        return;
    }
    pthread_mutex_lock(&td->lock);
    if (!err) {
        handle_exit(td, v);
    } else {
        if (td->opt->mode != TD_MODE_UNACCEPTED) {
            td_check(td, false, "vCPU %u: KVM_RUN: %s", v->index, strerror(err));
        }
        td->error = err;
        end_td(td, TD_END_ERROR);
    }
    pthread_mutex_unlock(&td->lock);
}

static void *vcpu_thread(void *arg)
{
    struct td_vcpu *v = arg;

    while (atomic_load(&v->td->end) == TD_RUNNING) {
        run_once(v->td, v);
    }
    return NULL;
}

static bool wait_for_end(struct td *td)
{
    struct timespec tick = { .tv_nsec = 5000000 };
    struct timespec now, start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while (atomic_load(&td->end) == TD_RUNNING) {
        nanosleep(&tick, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (td->opt->mode != TD_MODE_HOLD &&
            now.tv_sec - start.tv_sec >= td->opt->timeout) {
            return false;
        }
    }
    return true;
}

void td_kick(struct td_vcpu *v)
{
    pthread_kill(v->thread, SIG_KICK);
}

void td_run(struct td *td)
{
    struct sigaction sa = { .sa_handler = on_kick };
    pthread_t migrate;
    bool migrates;

    sigaction(SIG_KICK, &sa, NULL);
    for (unsigned i = 0; i < td->opt->vcpus; i++) {
        struct td_vcpu *v = &td->vcpu[i];

        v->started = !pthread_create(&v->thread, NULL, vcpu_thread, v);
        if (!v->started) {
            td_check(td, false, "a thread for vCPU %u", i);
            end_td(td, TD_END_ERROR);
        }
    }
    migrates = td->opt->migrate_ms &&
               !pthread_create(&migrate, NULL, td_migrate_thread, td);
    if (!wait_for_end(td)) {
        pthread_mutex_lock(&td->lock);
        td_check(td, false, "the TD ended within %u s", td->opt->timeout);
        end_td(td, TD_END_ERROR);
        pthread_mutex_unlock(&td->lock);
    }
    if (migrates) {
        pthread_join(migrate, NULL);
    }
    for (unsigned i = 0; i < td->opt->vcpus; i++) {
        struct td_vcpu *v = &td->vcpu[i];

        /* immediate_exit closes the window between the test of td->end and KVM_RUN. */
        if (v->started) {
            v->run->immediate_exit = 1;
            td_kick(v);
            pthread_join(v->thread, NULL);
        }
    }
}
