/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmtest: an ordinary VM through /dev/kvm, two vCPUs, in-kernel interrupt controllers.
 * Its guest (vmguest.bin) checks the CPU from inside and prints "ok - " and "not ok - "
 * lines; this program plays the devices and passes the lines on. Exits 0 if there is no
 * "not ok".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "beside.h"
#include "vm_proto.h"

#define MAX_CPUID 256

struct cpuid_list {
    uint32_t nent, padding; /* struct kvm_cpuid2, with room */
    struct kvm_cpuid_entry2 entries[MAX_CPUID];
};

static struct {
    int kvm, vm;
    uint8_t *ram;
    size_t run_size;
    struct {
        int fd;
        struct kvm_run *run;
        pthread_t thread;
    } cpu[VM_MAX_CPUS];
    pthread_mutex_t lock;
    char line[256];
    size_t line_len;
    unsigned checks, failed, timeout, io_exits, mmio_exits;
    uint32_t echo, count;
    uint8_t mmio[4096];
    atomic_int end; /* 0 running, else 1 + exit code, or -1 */
} vm = { .lock = PTHREAD_MUTEX_INITIALIZER, .timeout = 120 };

static void check(bool ok, const char *name)
{
    vm.checks++;
    vm.failed += !ok;
    printf("%sok - vm: %s\n", ok ? "" : "not ", name);
    fflush(stdout);
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        printf("not ok - vm: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void end_vm(int how)
{
    int running = 0;

    atomic_compare_exchange_strong(&vm.end, &running, how);
}

static void console(char c)
{
    if (c != '\n' && vm.line_len < sizeof(vm.line) - 1) {
        vm.line[vm.line_len++] = c;
        return;
    }
    vm.line[vm.line_len] = 0;
    vm.line_len = 0;
    if (!strncmp(vm.line, "ok - ", 5)) {
        check(true, vm.line + 5);
    } else if (!strncmp(vm.line, "not ok - ", 9)) {
        check(false, vm.line + 9);
    } else {
        printf("vm: %s\n", vm.line);
        fflush(stdout);
    }
}

static void set_irq(uint32_t gsi, uint32_t level)
{
    struct kvm_irq_level irq = { .irq = gsi, .level = level };

    if (ioctl(vm.vm, KVM_IRQ_LINE, &irq)) {
        check(false, "KVM_IRQ_LINE");
    }
}

static void port_out(unsigned port, uint32_t v)
{
    switch (port) {
    case VM_PORT_CONSOLE:
        console((char)v);
        break;
    case VM_PORT_EXIT:
        end_vm(1 + (int)v);
        break;
    case VM_PORT_ECHO:
        vm.echo = v;
        break;
    case VM_PORT_COUNT:
        vm.count++;
        break;
    case VM_PORT_IRQ:
        set_irq(v, 1);
        break;
    case VM_PORT_LEVEL:
        set_irq(v, 0);
        break;
    default:
        check(false, "unexpected port");
    }
}

static uint32_t port_in(unsigned port)
{
    return port == VM_PORT_ECHO ? ~vm.echo : port == VM_PORT_COUNT ? vm.count : ~0u;
}

static void handle_io(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    vm.io_exits++;
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint32_t v = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&v, data, run->io.size);
            port_out(run->io.port, v);
        } else {
            v = port_in(run->io.port);
            memcpy(data, &v, run->io.size);
        }
    }
}

/* A register file that answers the complement of what was written. */
static void handle_mmio(struct kvm_run *run)
{
    uint64_t off = run->mmio.phys_addr - VM_MMIO_GPA;

    vm.mmio_exits++;
    if (run->mmio.len > 8 || off > sizeof(vm.mmio) - 8) {
        printf("# MMIO at %#llx\n", (unsigned long long)run->mmio.phys_addr);
        check(false, "unexpected MMIO");
        end_vm(-1);
        return;
    }
    for (uint32_t i = 0; i < run->mmio.len; i++) {
        if (run->mmio.is_write) {
            vm.mmio[off + i] = (uint8_t)~run->mmio.data[i];
        } else {
            run->mmio.data[i] = vm.mmio[off + i];
        }
    }
}

static void print_state(int index)
{
    struct kvm_sregs s;
    struct kvm_regs r;

    if (ioctl(vm.cpu[index].fd, KVM_GET_REGS, &r) ||
        ioctl(vm.cpu[index].fd, KVM_GET_SREGS, &s)) {
        return;
    }
    printf("# vCPU %d: rip %#llx rsp %#llx rflags %#llx rax %#llx rcx %#llx rdx %#llx\n",
           index, (unsigned long long)r.rip, (unsigned long long)r.rsp,
           (unsigned long long)r.rflags, (unsigned long long)r.rax,
           (unsigned long long)r.rcx, (unsigned long long)r.rdx);
    printf("# cs %#x base %#llx cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx efer %#llx\n",
           s.cs.selector, (unsigned long long)s.cs.base, (unsigned long long)s.cr0,
           (unsigned long long)s.cr2, (unsigned long long)s.cr3,
           (unsigned long long)s.cr4, (unsigned long long)s.efer);
    fflush(stdout);
}

static void handle_exit(int index)
{
    struct kvm_run *run = vm.cpu[index].run;
    char text[128];

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        handle_io(run);
        return;
    case KVM_EXIT_MMIO:
        handle_mmio(run);
        return;
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(text, sizeof(text), "VM entry failed: %#llx",
                 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        snprintf(text, sizeof(text), "KVM_EXIT_INTERNAL_ERROR %u, data %#llx %#llx",
                 run->internal.suberror, (unsigned long long)run->internal.data[0],
                 (unsigned long long)run->internal.data[1]);
        break;
    default:
        snprintf(text, sizeof(text), "unexpected exit %u", run->exit_reason);
    }
    check(false, text);
    print_state(index);
    end_vm(-1);
}

static void *vcpu_thread(void *arg)
{
    int index = (int)(intptr_t)arg;

    while (!atomic_load(&vm.end)) {
        int err = ioctl(vm.cpu[index].fd, KVM_RUN, 0) ? errno : 0;

        if (err == EINTR || err == EAGAIN) {
            continue;
        }
        pthread_mutex_lock(&vm.lock);
        if (err) {
            errno = err;
            perror("# KVM_RUN");
            check(false, "KVM_RUN");
            end_vm(-1);
        } else if (!atomic_load(&vm.end)) {
            handle_exit(index);
        }
        pthread_mutex_unlock(&vm.lock);
    }
    return NULL;
}

/* What KVM supports, the APIC id, and a brand string of ours. */
static void set_cpuid(int index)
{
    static const char brand[48] = VM_BRAND;
    struct cpuid_list *c = calloc(1, sizeof(*c));

    must(c != NULL, "memory");
    c->nent = MAX_CPUID;
    must(!ioctl(vm.kvm, KVM_GET_SUPPORTED_CPUID, c), "KVM_GET_SUPPORTED_CPUID");
    for (uint32_t i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];

        if (e->function == 1) {
            e->ebx = (e->ebx & 0xffff) | (uint32_t)index << 24 | VM_MAX_CPUS << 16;
            e->ecx |= 1u << 24 | 1u << 31; /* TSC deadline timer, hypervisor */
        } else if (e->function >= 0x80000002 && e->function <= 0x80000004) {
            memcpy(&e->eax, brand + 16 * (e->function - 0x80000002), 16);
        }
    }
    must(!ioctl(vm.cpu[index].fd, KVM_SET_CPUID2, c), "KVM_SET_CPUID2");
    free(c);
}

static void set_start(int fd)
{
    struct kvm_sregs s;
    struct kvm_regs r = { .rip = VM_START, .rflags = 2 };

    must(!ioctl(fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
    s.cs.selector = 0;
    s.cs.base = 0;
    must(!ioctl(fd, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
    must(!ioctl(fd, KVM_SET_REGS, &r), "KVM_SET_REGS");
}

static void create_vcpu(int index)
{
    vm.cpu[index].fd = ioctl(vm.vm, KVM_CREATE_VCPU, index);
    must(vm.cpu[index].fd >= 0, "KVM_CREATE_VCPU");
    vm.cpu[index].run =
        mmap(NULL, vm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm.cpu[index].fd, 0);
    must(vm.cpu[index].run != MAP_FAILED, "mmap of a vCPU");
    set_cpuid(index);
    if (!index) {
        set_start(vm.cpu[index].fd);
    }
}

static void create_vm(void)
{
    struct kvm_userspace_memory_region region = { .memory_size = VM_RAM_SIZE };

    vm.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    must(vm.kvm >= 0, "open /dev/kvm");
    vm.run_size = ioctl(vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    vm.vm = ioctl(vm.kvm, KVM_CREATE_VM, 0);
    must(vm.vm >= 0, "KVM_CREATE_VM");
    must(!ioctl(vm.vm, KVM_SET_TSS_ADDR, 0xfffbd000ul), "KVM_SET_TSS_ADDR");
    must(!ioctl(vm.vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    vm.ram = mmap(NULL, VM_RAM_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(vm.ram != MAP_FAILED, "mmap of guest memory");
    region.userspace_addr = (uintptr_t)vm.ram;
    must(!ioctl(vm.vm, KVM_SET_USER_MEMORY_REGION, &region),
         "KVM_SET_USER_MEMORY_REGION");
}

static void load(const char *path)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0 || read(fd, vm.ram + VM_START, 0x80000) <= 0) {
        fprintf(stderr, "vmtest: cannot read the guest %s: %s\n", path, strerror(errno));
        exit(1);
    }
    close(fd);
}

static void on_kick(int sig)
{
    (void)sig;
}

static void run(void)
{
    struct sigaction sa = { .sa_handler = on_kick };
    struct timespec tick = { .tv_nsec = 5000000 };
    time_t start = time(NULL);

    sigaction(SIGUSR1, &sa, NULL);
    for (intptr_t i = 0; i < VM_MAX_CPUS; i++) {
        must(!pthread_create(&vm.cpu[i].thread, NULL, vcpu_thread, (void *)i),
             "a thread");
    }
    while (!atomic_load(&vm.end) && time(NULL) - start < vm.timeout) {
        nanosleep(&tick, NULL);
    }
    if (!atomic_load(&vm.end)) {
        pthread_mutex_lock(&vm.lock);
        check(false, "the guest ended in time");
        end_vm(-1);
        pthread_mutex_unlock(&vm.lock);
    }
    for (int i = 0; i < VM_MAX_CPUS; i++) {
        vm.cpu[i].run->immediate_exit = 1;
        pthread_kill(vm.cpu[i].thread, SIGUSR1);
        pthread_join(vm.cpu[i].thread, NULL);
        if (atomic_load(&vm.end) < 0) {
            print_state(i);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option table[] = {
        { "guest", 1, NULL, 'g' },
        { "timeout", 1, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    const char *guest = beside("vmguest.bin");
    int c;

    while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (c == 'g') {
            guest = optarg;
        } else if (c == 't' && atoi(optarg) > 0) {
            vm.timeout = (unsigned)atoi(optarg);
        } else {
            fputs("usage: vmtest [--guest FILE] [--timeout SECONDS]\n", stderr);
            return 1;
        }
    }
    create_vm();
    load(guest);
    for (int i = 0; i < VM_MAX_CPUS; i++) {
        create_vcpu(i);
    }
    run();
    check(atomic_load(&vm.end) == 1, "the guest ended without failures");
    check(vm.count >= 10000 && vm.io_exits >= 10000, "10000 port I/O exits were counted");
    check(vm.mmio_exits >= 10, "MMIO exits were counted");
    printf("vm: %u checks, %u failed\n", vm.checks, vm.failed);
    return vm.failed ? 1 : 0;
}
