/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmboot KERNEL INITRD [COMMAND LINE]: boot Linux as an ordinary VM under KVM, by the
 * 64-bit boot protocol, without firmware, ACPI and PCI: one vCPU, in-kernel interrupt
 * controllers and PIT, a serial port that only transmits (to stderr).  It ends when the
 * guest's init has said so (vmbootinit.c); how long that took goes to stdout.
 */
#define _GNU_SOURCE
#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RAM         (512ul << 20)
#define TIMEOUT     100         /* seconds */
#define GDT         0x500
#define ZERO_PAGE   0x7000
#define PML4        0x9000      /* and a PDPT of 1 GiB pages behind it */
#define CMDLINE     0x20000
#define INITRD      (RAM / 2)
#define MAX_CPUID   256
#define END         "vmboot: init runs"
#define PORT_SERIAL 0x3f8
#define LSR         5           /* line status: bits 5, 6: it may transmit */

struct cpuid_list {
    uint32_t nent, padding;     /* struct kvm_cpuid2, with room */
    struct kvm_cpuid_entry2 entries[MAX_CPUID];
};

static uint8_t *ram;
static struct boot_params *boot;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "vmboot: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* A file's contents at @to, at most up to the end of memory; its length. */
static size_t load(const char *path, uint8_t *to)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;

    must(fd >= 0, path);
    while ((n = read(fd, to + len, ram + RAM - to - len)) > 0) {
        len += n;
    }
    must(!n && len, path);
    close(fd);
    return len;
}

static void load_kernel(const char *path)
{
    uint8_t *file = ram + INITRD;       /* for now */
    size_t len = load(path, file), setup;
    const struct setup_header *hdr = (const void *)(file + 0x1f1);

    setup = ((hdr->setup_sects ? hdr->setup_sects : 4) + 1) * 512u;
    if (len < 4096 || hdr->header != 0x53726448 || hdr->version < 0x20c ||
        !(hdr->xloadflags & XLF_KERNEL_64) || setup >= len ||
        hdr->pref_address + hdr->init_size > INITRD) {
        fprintf(stderr, "vmboot: %s is no bzImage for 64 bits\n", path);
        exit(1);
    }
    boot->hdr = *hdr;
    memcpy(ram + hdr->pref_address, file + setup, len - setup);
    memset(file, 0, len);
}

static void load_all(const char *kernel, const char *initrd, const char *cmdline)
{
    static const struct boot_e820_entry map[] = {
        { 0, 0x9fc00, 1 }, { 0x100000, RAM - 0x100000, 1 },
    };

    boot = (void *)(ram + ZERO_PAGE);
    load_kernel(kernel);
    boot->hdr.type_of_loader = 0xff;
    boot->hdr.loadflags |= LOADED_HIGH;
    boot->hdr.ramdisk_image = INITRD;
    boot->hdr.ramdisk_size = load(initrd, ram + INITRD);
    boot->hdr.cmd_line_ptr = CMDLINE;
    snprintf((char *)ram + CMDLINE, 2048, "%s", cmdline);
    boot->e820_entries = 2;
    memcpy(boot->e820_table, map, sizeof(map));
}

/* Long mode with the first 4 GiB mapped one to one, flat segments 10H and 18H. */
static void set_start(int cpu)
{
    static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
    uint64_t *pml4 = (void *)(ram + PML4), *pdpt = pml4 + 512;
    struct kvm_segment code = { .limit = ~0u, .selector = 0x10, .type = 11, .present = 1,
                                .s = 1, .l = 1, .g = 1 };
    struct kvm_segment data = { .limit = ~0u, .selector = 0x18, .type = 3, .present = 1,
                                .s = 1, .db = 1, .g = 1 };
    struct kvm_regs r = { .rip = boot->hdr.pref_address + 0x200, .rsi = ZERO_PAGE,
                          .rsp = PML4 - 16, .rflags = 2 };
    struct kvm_sregs s;

    memcpy(ram + GDT, gdt, sizeof(gdt));
    pml4[0] = (PML4 + 4096) | 3;
    for (uint64_t i = 0; i < 4; i++) {
        pdpt[i] = i << 30 | 0x83;
    }
    must(!ioctl(cpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.gdt.base = GDT;
    s.gdt.limit = sizeof(gdt) - 1;
    s.cr3 = PML4;
    s.cr4 |= 1 << 5;                    /* PAE */
    s.cr0 |= 1u << 31 | 1;              /* PG, PE */
    s.efer |= 1 << 8 | 1 << 10;         /* LME, LMA */
    must(!ioctl(cpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
    must(!ioctl(cpu, KVM_SET_REGS, &r), "KVM_SET_REGS");
}

static void set_cpuid(int kvm, int cpu)
{
    struct cpuid_list *c = calloc(1, sizeof(*c));

    must(c != NULL, "memory");
    c->nent = MAX_CPUID;
    must(!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c), "KVM_GET_SUPPORTED_CPUID");
    for (uint32_t i = 0; i < c->nent; i++) {
        if (c->entries[i].function == 1) {
            c->entries[i].ebx = (c->entries[i].ebx & 0xffff) | 1 << 16;
            c->entries[i].ecx |= 1u << 24 | 1u << 31;   /* TSC deadline, hypervisor */
        }
    }
    must(!ioctl(cpu, KVM_SET_CPUID2, c), "KVM_SET_CPUID2");
    free(c);
}

static int create_vm(int kvm)
{
    struct kvm_userspace_memory_region region = { .memory_size = RAM };
    struct kvm_pit_config pit = { 0 };
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);

    must(vm >= 0, "KVM_CREATE_VM");
    must(!ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul), "KVM_SET_TSS_ADDR");
    must(!ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    must(!ioctl(vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(ram != MAP_FAILED, "mmap of guest memory");
    region.userspace_addr = (uintptr_t)ram;
    must(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    return vm;
}

/* False: that was the guest's last word. */
static bool transmit(char c)
{
    static size_t matched;

    putc(c, stderr);
    matched = c == END[matched] ? matched + 1 : c == END[0];
    return matched < sizeof(END) - 1;
}

/* False: the guest has ended. */
static bool handle_io(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    bool out = run->io.direction == KVM_EXIT_IO_OUT;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        if (!out) {
            memset(data, run->io.port == PORT_SERIAL + LSR ? 0x60 : 0xff, run->io.size);
        } else if (run->io.port == PORT_SERIAL && !transmit(*data)) {
            return false;
        }
    }
    return true;
}

static void run_vm(int cpu, struct kvm_run *run)
{
    for (;;) {
        int err = ioctl(cpu, KVM_RUN, 0) ? errno : 0;

        if (err == EINTR || err == EAGAIN) {
            continue;
        }
        must(!err, "KVM_RUN");
        switch (run->exit_reason) {
        case KVM_EXIT_IO:
            if (!handle_io(run)) {
                return;
            }
            break;
        case KVM_EXIT_MMIO:             /* nothing is there */
            memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
            break;
        default:
            fprintf(stderr, "vmboot: exit %u\n", run->exit_reason);
            exit(1);
        }
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, cpu;
    double start = now();
    void *run;

    if (argc < 3 || argc > 4) {
        fputs("usage: vmboot KERNEL INITRD [COMMAND LINE]\n", stderr);
        return 1;
    }
    must(kvm >= 0, "/dev/kvm");
    alarm(TIMEOUT);                     /* SIGALRM ends us */
    vm = create_vm(kvm);
    load_all(argv[1], argv[2], argc > 3 ? argv[3] : "");
    cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    must(cpu >= 0, "KVM_CREATE_VCPU");
    run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
               MAP_SHARED, cpu, 0);
    must(run != MAP_FAILED, "mmap of the vCPU");
    set_cpuid(kvm, cpu);
    set_start(cpu);
    run_vm(cpu, run);
    printf("vmboot: %.3f s\n", now() - start);
    return 0;
}
