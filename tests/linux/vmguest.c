/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmtest's guest: main line, console, port I/O and MMIO. */
#include "vmguest.h"

extern volatile u16 real_io, real_int;
extern volatile u32 real_cpuid;

/* String output: rep outsb is one exit for many characters. */
void console_write(const char *s, size_t n)
{
    __asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"(VM_PORT_CONSOLE) : "memory");
}

void guest_die(void)
{
    for (;;) {
        out8(VM_PORT_EXIT, checks_failed > 255 ? 255 : checks_failed);
    }
}

static void test_real_mode(void)
{
    u32 r[4];

    check_eq(real_io, 0xedcb, "real mode: port I/O");
    check_eq(real_int, 0x4321, "real mode: software interrupt");
    check_eq(*(volatile u32 *)0x15678, 0xcafe1234, "real mode: segment base");
    cpuid(0, 0, r);
    check_eq(real_cpuid, r[1], "real mode: CPUID");
    check_eq(rdmsr(MSR_EFER) & 0xf00, 0xd00, "long mode: LME, LMA, NXE");
}

static void test_port_io(void)
{
    u8 buf[64], *p = buf;
    u64 n = sizeof(buf);
    bool same = true;
    u32 before;

    out8(VM_PORT_ECHO, 0x5a);
    check_eq(in8(VM_PORT_ECHO), 0xa5, "I/O: 8 bits");
    out16(VM_PORT_ECHO, 0x1234);
    check_eq(in16(VM_PORT_ECHO), 0xedcb, "I/O: 16 bits");
    out32(VM_PORT_ECHO, 0x89abcdef);
    check_eq(in32(VM_PORT_ECHO), 0x76543210, "I/O: 32 bits");
    out8(VM_PORT_ECHO, 0x11);
    __asm__ volatile("rep insb" : "+D"(p), "+c"(n) : "d"(VM_PORT_ECHO) : "memory");
    for (unsigned i = 0; i < sizeof(buf); i++) {
        same &= buf[i] == 0xee;
    }
    check(same && n == 0 && p == buf + sizeof(buf), "I/O: rep insb");

    before = in32(VM_PORT_COUNT);
    for (u32 i = 0; i < 10000; i++) {
        out32(VM_PORT_COUNT, i);
    }
    check_eq(in32(VM_PORT_COUNT) - before, 10000, "I/O: 10000 exits in a row");
}

static void test_mmio(void)
{
    u64 va = VM_MMIO_GPA;
    u32 v = 0x01010101;

    mmio_write8(va, 0x5a);
    check_eq(mmio_read8(va), 0xa5, "MMIO: 8 bits");
    mmio_write16(va + 0x10, 0x1234);
    check_eq(mmio_read16(va + 0x10), 0xedcb, "MMIO: 16 bits");
    mmio_write32(va + 0x20, 0x89abcdef);
    check_eq(mmio_read32(va + 0x20), 0x76543210, "MMIO: 32 bits");
    mmio_write64(va + 0x30, 0x0123456789abcdef);
    check_eq(mmio_read64(va + 0x30), 0xfedcba9876543210, "MMIO: 64 bits");
    /* Reads 0x76543210, adds, writes; what is read then is the complement of the sum. */
    __asm__ volatile("addl %0, (%1)" : : "r"(v), "r"(va + 0x20) : "memory", "cc");
    check_eq(mmio_read32(va + 0x20), ~(0x76543210u + 0x01010101u),
             "MMIO: read-modify-write");
}

bool guest_trap(struct trap_frame *f)
{
    if (f->vector == X86_VEC_NMI) {
        this_cpu()->irqs[X86_VEC_NMI]++;
        return true;
    }
    return f->vector == X86_VEC_PF && page_fault(f);
}

/* Called by vmguest_entry.S on every CPU, in 64-bit mode on its own stack. */
void vmguest_main(unsigned index);
void vmguest_main(unsigned index)
{
    percpu_init(index);
    idt_load();
    if (index) {
        ap_main();
    }
    puts_("hello from a nested virtual machine\n");
    test_real_mode();
    test_port_io();
    test_mmio();
    test_cpu();
    test_memory();
    test_irq();
    test_smp();
    guest_die();
}
