/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptor tables, exceptions and interrupts of the test programs. */
#include "cpu.h"

u64 idt[256][2] __attribute__((aligned(4096)));
extern char vector_stubs[], user_return[];
extern const u64 ex_table_start[][2], ex_table_end[][2];

static void idt_set(u32 vector, u64 entry, u32 dpl)
{
    idt[vector][0] = (entry & 0xffff) | (u64)SEL_CODE64 << 16 |
                     (0x8e00ull | dpl << 13) << 32 | (entry >> 16 & 0xffff) << 48;
    idt[vector][1] = entry >> 32;
}

/* Tables and GS base of this CPU. */
void cpu_init(PerCpu *cpu, u32 index, u64 stack_top)
{
    static const u64 segments[] = {
        0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff,
        0x00cff3000000ffff, 0x00affb000000ffff,
    };
    struct __attribute__((packed)) { u16 limit; u64 base; } dtr;
    u64 tss = (u64)cpu->tss, rsp0 = stack_top - STACK_SIZE / 2;

    if (!idt[0][0]) {
        for (u32 v = 0; v < 256; v++) {
            idt_set(v, (u64)vector_stubs + v * 16, v == BP || v == OF ? 3 : 0);
        }
        idt_set(VECTOR_USER_END, (u64)user_return, 3);
    }
    memcpy(cpu->gdt, segments, sizeof(segments));
    cpu->gdt[SEL_TSS / 8] = 0x67 | (tss & 0xffffff) << 16 | 0x89ull << 40 |
                            (tss >> 24 & 0xff) << 56;
    cpu->gdt[SEL_TSS / 8 + 1] = tss >> 32;
    memcpy(cpu->tss + 4, &rsp0, 8);
    *(u16 *)(cpu->tss + 102) = 104;     /* no I/O bitmap */
    cpu->self = cpu;
    cpu->index = index;
    cpu->user_rsp = stack_top - STACK_SIZE * 3 / 4;
    cpu->fault_vector = NO_FAULT;

    dtr.limit = GDT_SIZE - 1;
    dtr.base = (u64)cpu->gdt;
    asm volatile("lgdt %0" : : "m"(dtr));
    asm volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
                 : : "i"(SEL_CODE64) : "rax", "memory");
    asm volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%ss" : : "r"(SEL_DATA));
    dtr.limit = sizeof(idt) - 1;
    dtr.base = (u64)idt;
    asm volatile("lidt %0" : : "m"(dtr));
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
    wrmsr(MSR_GS_BASE, (u64)cpu);
}

void set_handler(u32 vector, VectorHandler handler)
{
    this_cpu()->handler[vector] = handler;
}

/*
 * The order: an instruction that expects the fault, a handler of the test, an
 * interrupt (counted, EOI).  Anything else is a defect.
 */
void vector_handler(Regs *regs)
{
    PerCpu *cpu = this_cpu();

    cpu->count[regs->vector]++;
    if (cpu->handler[regs->vector]) {
        cpu->handler[regs->vector](regs);
        return;
    }
    if (regs->vector < 32) {
        for (const u64 (*e)[2] = ex_table_start; e < ex_table_end; e++) {
            if ((*e)[0] == regs->rip) {
                cpu->fault_vector = regs->vector;
                cpu->fault_error = regs->error;
                cpu->fault_rip = regs->rip;
                cpu->fault_cr2 = read_cr2();
                regs->rip = (*e)[1];
                return;
            }
        }
        panic("unexpected vector %u error %llx at %llx, cr2 %llx, cpu %u",
              (u32)regs->vector, (long long)regs->error, (long long)regs->rip,
              (long long)read_cr2(), cpu->index);
    }
    apic_write(APIC_EOI, 0);
}
