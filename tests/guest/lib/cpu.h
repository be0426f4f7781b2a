/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor: instructions, fault-safe forms of those that may fault, the
 * per-CPU block, local APIC, other CPUs, pages.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "layout.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT(n)          (1ull << (n))
#define ARRAY_SIZE(a)   (sizeof(a) / sizeof((a)[0]))
#define PAGE_SIZE       4096ull

/* exception vectors */
enum { DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, UD = 6, NM = 7, DF = 8, TS = 10,
       NP = 11, SS = 12, GP = 13, PF = 14, AC = 17, VE = 20 };
#define NO_FAULT        0xffu

#define MSR_TSC                 0x10
#define MSR_FEATURE_CONTROL     0x3a
#define MSR_EFER                0xc0000080u
#define MSR_STAR                0xc0000081u
#define MSR_LSTAR               0xc0000082u
#define MSR_FMASK               0xc0000084u
#define MSR_FS_BASE             0xc0000100u
#define MSR_GS_BASE             0xc0000101u
#define MSR_KERNEL_GS_BASE      0xc0000102u
#define MSR_PAT                 0x277
#define MSR_APIC_BASE           0x1b
#define MSR_SYSENTER_CS         0x174

#define CR0_PE  BIT(0)
#define CR0_TS  BIT(3)
#define CR0_NE  BIT(5)
#define CR0_WP  BIT(16)
#define CR0_NW  BIT(29)
#define CR0_CD  BIT(30)
#define CR0_PG  BIT(31)
#define CR4_TSD BIT(2)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define CR4_VMXE BIT(13)
#define CR4_OSXSAVE BIT(18)

#define FLAGS_CF 0x001
#define FLAGS_PF 0x004
#define FLAGS_AF 0x010
#define FLAGS_ZF 0x040
#define FLAGS_SF 0x080
#define FLAGS_TF 0x100
#define FLAGS_IF 0x200
#define FLAGS_OF 0x800
#define FLAGS_ARITH (FLAGS_CF | FLAGS_PF | FLAGS_AF | FLAGS_ZF | FLAGS_SF | FLAGS_OF)

/* What an interrupt or exception pushed. */
typedef struct Regs {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
} Regs;

typedef void (*VectorHandler)(Regs *regs);

typedef struct PerCpu {
    struct PerCpu *self;
    u64 saved_rsp, user_rsp;
    u32 index, apic_id;
    /* the last fault that a fault-safe instruction took */
    u32 fault_vector;
    u64 fault_error, fault_cr2, fault_rip;
    u32 count[256];             /* interrupts and exceptions taken */
    VectorHandler handler[256];
    u64 gdt[GDT_SIZE / 8];
    u8 tss[104];
    /* work for smp_run() */
    void (*volatile work)(void *arg);
    void *work_arg;
} PerCpu;
_Static_assert(offsetof(PerCpu, saved_rsp) == PERCPU_SAVED_RSP, "as in assembly");
_Static_assert(offsetof(PerCpu, user_rsp) == PERCPU_USER_RSP, "as in assembly");

static inline PerCpu *this_cpu(void)
{
    PerCpu *p;

    asm volatile("movq %%gs:0, %0" : "=r"(p));
    return p;
}

/*
 * Fault-safe instructions: an entry in .ex_table makes a fault at @from go on
 * at @to; the fault is then in this_cpu().
 */
#define EX_TABLE(from, to) \
    ".pushsection .ex_table, \"a\"\n.quad " #from ", " #to "\n.popsection\n"

static inline void fault_clear(void)
{
    this_cpu()->fault_vector = NO_FAULT;
}

static inline u32 fault_vector(void)
{
    return this_cpu()->fault_vector;
}

/* Execute @insn (a string); the vector it raised or NO_FAULT. */
#define TRY(insn, ...) ({                                               \
    fault_clear();                                                      \
    asm volatile("1: " insn "\n2:\n" EX_TABLE(1b, 2b) __VA_ARGS__);     \
    fault_vector(); })

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;

    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 val)
{
    asm volatile("wrmsr" : : "c"(msr), "a"((u32)val), "d"((u32)(val >> 32)) : "memory");
}

static inline u32 rdmsr_safe(u32 msr, u64 *val)
{
    u32 lo = 0, hi = 0;
    u32 v = TRY("rdmsr", : "+a"(lo), "+d"(hi) : "c"(msr) : "memory");

    *val = lo | (u64)hi << 32;
    return v;
}

static inline u32 wrmsr_safe(u32 msr, u64 val)
{
    return TRY("wrmsr", : : "c"(msr), "a"((u32)val), "d"((u32)(val >> 32)) : "memory");
}

typedef struct Cpuid { u32 a, b, c, d; } Cpuid;

static inline Cpuid cpuid(u32 leaf, u32 sub)
{
    Cpuid r;

    asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
                 : "a"(leaf), "c"(sub));
    return r;
}

#define DEFINE_REG(name)                                                \
    static inline u64 read_##name(void)                                 \
    {                                                                   \
        u64 v;                                                          \
        asm volatile("movq %%" #name ", %0" : "=r"(v));                 \
        return v;                                                       \
    }                                                                   \
    static inline void write_##name(u64 v)                              \
    {                                                                   \
        asm volatile("movq %0, %%" #name : : "r"(v) : "memory");        \
    }                                                                   \
    static inline u32 write_##name##_safe(u64 v)                        \
    {                                                                   \
        return TRY("movq %0, %%" #name, : : "r"(v) : "memory");         \
    }
DEFINE_REG(cr0)
DEFINE_REG(cr2)
DEFINE_REG(cr3)
DEFINE_REG(cr4)
DEFINE_REG(cr8)
DEFINE_REG(dr7)

static inline u64 read_flags(void)
{
    u64 f;

    asm volatile("pushfq; popq %0" : "=r"(f));
    return f;
}

static inline u64 rdtsc(void)
{
    u32 lo, hi;

    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return lo | (u64)hi << 32;
}

static inline void outb(u16 port, u8 v)
{
    asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(u16 port, u16 v)
{
    asm volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(u16 port, u32 v)
{
    asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 v;

    asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline void cli(void) { asm volatile("cli" : : : "memory"); }
static inline void sti(void) { asm volatile("sti" : : : "memory"); }
/* Let pending interrupts in, then close again. */
static inline void sti_nop_cli(void) { asm volatile("sti; nop; cli" : : : "memory"); }
static inline void cpu_relax(void) { asm volatile("pause" : : : "memory"); }
static inline void invlpg(const void *p)
{
    asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

/* except.c */
void cpu_init(PerCpu *cpu, u32 index, u64 stack_top);
void set_handler(u32 vector, VectorHandler handler);
extern u64 idt[256][2];
void run_user(void (*fn)(void));

/* smp.c: the others are idle with interrupts off until smp_run() */
extern PerCpu percpu[MAX_CPUS];
extern volatile u32 cpus_online;
u32 cpu_count(void);            /* as the machine says (fw_cfg) */
void smp_start(void);           /* start them all */
void smp_run(u32 cpu, void (*fn)(void *), void *arg);   /* does not wait */
void smp_wait(u32 cpu);
void smp_call(u32 cpu, void (*fn)(void *), void *arg);

/* The xAPIC page, or the MSRs once x2APIC mode is on. */
#define APIC_ID         0x020
#define APIC_VERSION    0x030
#define APIC_TPR        0x080
#define APIC_EOI        0x0b0
#define APIC_SVR        0x0f0
#define APIC_ISR        0x100
#define APIC_IRR        0x200
#define APIC_ICR        0x300
#define APIC_ICR2       0x310
#define APIC_TIMER      0x320
#define APIC_TIMER_INIT 0x380
#define APIC_TIMER_DIV  0x3e0
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 val);
void apic_send(u32 apic_id, u32 icr_low);
void apic_self(u32 vector);
bool apic_bit(u32 base, u32 vector);    /* of ISR or IRR */
u64 ram_below_4g(void);

/* mem.c */
void *page_alloc(void);         /* zeroed 4 KiB; never returns NULL */
void *pages_alloc(u32 n, u64 align);
/* Map @va in the boot page tables: @size 4 KiB or 2 MiB; @flags: PTE bits. */
void map_page(u64 va, u64 pa, u64 size, u64 flags);
void *memset(void *p, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* test.c */
extern const char test_name[];
void test_main(void);
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* One check; the text names the rule. */
bool check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool check_eq(u64 got, u64 want, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void check_skip(const char *why, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* As check(), of something that docs/not-modelled.md lists: no failure. */
void check_gap(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void finish(void) __attribute__((noreturn));
void panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
