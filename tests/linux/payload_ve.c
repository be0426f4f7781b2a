/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The payload's #VE handler: asks the host by TDVMCALL for what the module does not
 * emulate.
 */
#include "payload_td.h"

/* A standard TDVMCALL; returns R10, the host's status. @out may be NULL. */
u64 vmcall(u64 leaf, u64 r12, u64 r13, u64 r14, u64 r15, struct vmcall_regs *out)
{
    struct vmcall_regs r = { 0, leaf, r12, r13, r14, r15 };
    u64 status = tdvmcall(&r);

    if (out) {
        *out = r;
    }
    return status ? status : r.r10;
}

void port_out32(u16 port, u32 v)
{
    vmcall(EXIT_IO, 4, 1, port, v, NULL);
}

/* All ones if the host answers nothing. */
u32 port_in32(u16 port)
{
    struct vmcall_regs r;

    return vmcall(EXIT_IO, 4, 0, port, 0, &r) ? ~0u : (u32)r.r11;
}

void stat_out(enum td_stat what, u64 v)
{
    port_out32(TD_PORT_STAT + 4 * what, (u32)v);
}

/* Four characters a call. */
void console_write(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        u32 v = 0;

        for (size_t j = 0; j < 4 && i + j < n; j++) {
            v |= (u32)(u8)s[i + j] << (8 * j);
        }
        port_out32(TD_PORT_CONSOLE, v);
    }
}

void guest_die(void)
{
    for (;;) {
        vmcall(EXIT_IO, 1, 1, TD_PORT_EXIT, checks_failed ? checks_failed & 0xff : 0,
               NULL);
    }
}

void guest_eoi(void)
{
    wrmsr(MSR_X2APIC_EOI, 0);
}

static bool ve_cpuid(struct trap_frame *f)
{
    struct vmcall_regs r;

    if (vmcall(EXIT_CPUID, (u32)f->rax, (u32)f->rcx, 0, 0, &r)) {
        return false;
    }
    f->rax = (u32)r.r12;
    f->rbx = (u32)r.r13;
    f->rcx = (u32)r.r14;
    f->rdx = (u32)r.r15;
    return true;
}

static bool ve_msr(struct trap_frame *f, bool write)
{
    struct vmcall_regs r;
    u64 val = (u32)f->rax | f->rdx << 32;

    this_cpu()->ve_status =
        vmcall(write ? EXIT_WRMSR : EXIT_RDMSR, (u32)f->rcx, write ? val : 0, 0, 0, &r);
    if (this_cpu()->ve_status) {
        return false;
    }
    if (!write) {
        f->rax = (u32)r.r11;
        f->rdx = r.r11 >> 32;
    }
    return true;
}

/* Exit qualification of I/O: [2:0] size - 1, 3 in, 4 string, [31:16] port. */
static bool ve_io(struct trap_frame *f, u64 qual)
{
    unsigned size = (qual & 7) + 1;
    u64 mask = (1ull << (8 * size)) - 1;
    bool in = qual & 8;
    struct vmcall_regs r;

    if ((qual & 0x10) ||
        vmcall(EXIT_IO, size, !in, qual >> 16 & 0xffff, in ? 0 : f->rax & mask, &r)) {
        return false;
    }
    if (in && size == 4) {
        f->rax = r.r11 & mask;
    } else if (in) {
        f->rax = (f->rax & ~mask) | (r.r11 & mask);
    }
    return true;
}

/* Only what mmio_read/write compile to: [66] [REX.W] 88/89/8A/8B with (%rdi) and RAX. */
static bool ve_mmio(struct trap_frame *f, u64 gpa)
{
    const u8 *p = (const u8 *)f->rip;
    unsigned size = 4;
    struct vmcall_regs r;
    u64 mask;
    bool write;

    if (*p == 0x66) {
        size = 2;
        p++;
    }
    if (*p == 0x48) {
        size = 8;
        p++;
    }
    if ((*p & 0xfc) != 0x88 || p[1] != 0x07) {
        return false;
    }
    if (!(*p & 1)) {
        size = 1;
    }
    write = !(*p & 2);
    mask = size == 8 ? ~0ull : (1ull << (8 * size)) - 1;
    if (vmcall(EXIT_EPT, size, write, gpa, write ? f->rax & mask : 0, &r)) {
        return false;
    }
    if (!write) {
        f->rax = size == 4 ? r.r11 & mask : (f->rax & ~mask) | (r.r11 & mask);
    }
    f->rip = (u64)p + 2;
    return true;
}

static bool ve_vmcall(struct trap_frame *f)
{
    struct vmcall_regs r = { f->rax, f->rbx, f->rcx, f->rdx, f->rsi, 0 };

    if (!r.r10 || tdvmcall(&r)) {
        return false;
    }
    f->rax = r.r10;
    return true;
}

/* Returns false for what the payload does not handle: a fixup or the end follows. */
static bool handle_ve(struct trap_frame *f, const struct td_regs *ve)
{
    switch ((u32)ve->rcx) {
    case EXIT_CPUID:
        return ve_cpuid(f);
    case EXIT_HLT:
        /* R12 = 1: interrupts are blocked. */
        return !vmcall(EXIT_HLT, !(f->rflags & 0x200), 0, 0, 0, NULL);
    case EXIT_RDMSR:
        return ve_msr(f, false);
    case EXIT_WRMSR:
        return ve_msr(f, true);
    case EXIT_IO:
        return ve_io(f, ve->rdx);
    case EXIT_VMCALL:
        return ve_vmcall(f);
    case EXIT_INVD:
    case EXIT_WBINVD:
        return true;
    default:
        return false;
    }
}

bool guest_trap(struct trap_frame *f)
{
    struct percpu *cpu = this_cpu();
    struct td_regs ve = { 0 };
    u32 reason;

    if (f->vector == X86_VEC_NMI) {
        cpu->irqs[X86_VEC_NMI]++;
        return true;
    }
    if (f->vector != X86_VEC_VE || tdcall(TDG_VP_VEINFO_GET, &ve)) {
        return false;
    }
    reason = (u32)ve.rcx;
    if (reason < 80) {
        cpu->ve_count[reason]++;
    }
    cpu->ve_gpa = ve.r9;
    if (reason == EXIT_EPT) {
        return ve_mmio(f, ve.r9);
    }
    if (!handle_ve(f, &ve)) {
        return false;
    }
    f->rip += (u32)ve.r10;
    return true;
}
