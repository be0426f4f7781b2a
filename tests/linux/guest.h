/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freestanding helpers for code that runs in a guest (TD payload and nested VM):
 * instructions, per-CPU data, traps, console, checks. Included by C and by assembly.
 */
#ifndef TESTS_LINUX_GUEST_H
#define TESTS_LINUX_GUEST_H

/* Selectors of the GDT in guest_boot.S and guest_trap.S */
#define SEL_CODE64  0x08
#define SEL_DATA    0x10
#define SEL_CODE32  0x18

#define PERCPU_FIXUP 8          /* offsets in struct percpu, used by assembly */

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define MSR_APIC_BASE       0x1b
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_X2APIC_ID       0x802
#define MSR_X2APIC_TPR      0x808
#define MSR_X2APIC_EOI      0x80b
#define MSR_X2APIC_SVR      0x80f
#define MSR_X2APIC_ICR      0x830
#define MSR_X2APIC_LVTT     0x832
#define MSR_X2APIC_TMICT    0x838
#define MSR_X2APIC_TMCCT    0x839
#define MSR_X2APIC_TDCR     0x83e
#define MSR_X2APIC_SELF_IPI 0x83f
#define MSR_EFER            0xc0000080
#define MSR_STAR            0xc0000081
#define MSR_LSTAR           0xc0000082
#define MSR_GS_BASE         0xc0000101
#define MSR_KERNEL_GS_BASE  0xc0000102

#define X86_VEC_DE  0
#define X86_VEC_NMI 2
#define X86_VEC_BP  3
#define X86_VEC_UD  6
#define X86_VEC_DF  8
#define X86_VEC_GP  13
#define X86_VEC_PF  14
#define X86_VEC_VE  20
#define NO_TRAP     0xffffffffu

/* What the common trap entry in guest_trap.S has pushed. */
struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8;
    u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

/* One per CPU, at GS base. */
struct percpu {
    struct percpu *self;
    u64 fixup;                  /* where to go on after an expected exception */
    volatile u32 index;
    volatile u32 trap_vector;   /* of the last exception that used the fixup */
    volatile u64 trap_error;
    volatile u64 trap_cr2;
    volatile u32 irqs[256];
    volatile u32 ve_count[80];  /* by exit reason */
    volatile u64 ve_gpa;
    volatile u64 ve_status;     /* TDVMCALL status of the last emulation */
};
_Static_assert(offsetof(struct percpu, fixup) == PERCPU_FIXUP, "used by assembly");

static inline struct percpu *this_cpu(void)
{
    struct percpu *p;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(p));
    return p;
}

static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(sub));
}

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 val)
{
    __asm__ volatile("wrmsr" : : "a"((u32)val), "d"((u32)(val >> 32)), "c"(msr)
                     : "memory");
}

/* The next instruction may fault; trap_vector is then its vector, else NO_TRAP. */
#define TRY(insn, ...)                                                  \
    "leaq 771f(%%rip), %%r11\n\t"                                       \
    "movq %%r11, %%gs:8\n\t"                                            \
    insn "\n\t"                                                         \
    "771: movq $0, %%gs:8"

static inline u32 rdmsr_try(u32 msr, u64 *val)
{
    u32 lo = 0, hi = 0;

    this_cpu()->trap_vector = NO_TRAP;
    __asm__ volatile(TRY("rdmsr") : "+a"(lo), "+d"(hi) : "c"(msr) : "memory", "r11");
    *val = (u64)hi << 32 | lo;
    return this_cpu()->trap_vector;
}

static inline u32 wrmsr_try(u32 msr, u64 val)
{
    this_cpu()->trap_vector = NO_TRAP;
    __asm__ volatile(TRY("wrmsr") : : "a"((u32)val), "d"((u32)(val >> 32)), "c"(msr)
                     : "memory", "r11");
    return this_cpu()->trap_vector;
}

#define DEFINE_IO(sz, sfx, type)                                        \
    static inline void out##sz(u16 port, type v)                        \
    {                                                                   \
        __asm__ volatile("out" sfx " %0, %1" : : "a"(v), "Nd"(port) : "memory"); \
    }                                                                   \
    static inline type in##sz(u16 port)                                 \
    {                                                                   \
        type v;                                                         \
        __asm__ volatile("in" sfx " %1, %0" : "=a"(v) : "Nd"(port) : "memory"); \
        return v;                                                       \
    }
DEFINE_IO(8, "b", u8)
DEFINE_IO(16, "w", u16)
DEFINE_IO(32, "l", u32)

/* One-instruction memory accesses that the #VE handler's decoder understands. */
#define DEFINE_MMIO(bits, reg)                                          \
    static inline u##bits mmio_read##bits(u64 addr)                     \
    {                                                                   \
        u##bits v;                                                      \
        __asm__ volatile("mov (%%rdi), %%" reg : "=a"(v) : "D"(addr) : "memory"); \
        return v;                                                       \
    }                                                                   \
    static inline void mmio_write##bits(u64 addr, u##bits v)            \
    {                                                                   \
        __asm__ volatile("mov %%" reg ", (%%rdi)" : : "a"(v), "D"(addr) : "memory"); \
    }
DEFINE_MMIO(8, "al")
DEFINE_MMIO(16, "ax")
DEFINE_MMIO(32, "eax")
DEFINE_MMIO(64, "rax")

#define DEFINE_CR(n)                                                    \
    static inline u64 read_cr##n(void)                                  \
    {                                                                   \
        u64 v;                                                          \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");  \
        return v;                                                       \
    }                                                                   \
    static inline void write_cr##n(u64 v)                               \
    {                                                                   \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");      \
    }
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
DEFINE_CR(8)

static inline u64 rdtsc(void)
{
    u32 lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (u64)hi << 32 | lo;
}

static inline void invlpg(void *p)
{
    __asm__ volatile("invlpg (%0)" : : "r"(p) : "memory");
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline void irq_enable(void)
{
    __asm__ volatile("sti; nop" : : : "memory");
}

static inline void irq_disable(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/*
 * Interrupts on and wait for one; no window between the two. Interrupts are off after
 * it.
 */
static inline void safe_halt(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

static inline u64 strlen_(const char *s)
{
    u64 n = 0;

    while (s[n]) {
        n++;
    }
    return n;
}

/* guest_lib.c */
void puts_(const char *s);
void putx(u64 v);
void putd(u64 v);
bool check(bool ok, const char *name);
bool check_eq(u64 got, u64 want, const char *name);
extern unsigned checks_run, checks_failed;
void *memset(void *p, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void percpu_init(unsigned index);
struct percpu *percpu_of(unsigned index);
bool wait_irqs(struct percpu *cpu, unsigned vector, u32 count);
void trap(struct trap_frame *f);

/* Supplied by payload.c or vmguest.c */
void console_write(const char *s, size_t n);
bool guest_trap(struct trap_frame *f);      /* true: handled, frame updated */
void guest_eoi(void);
void guest_die(void) __attribute__((noreturn));

/* guest_trap.S */
void idt_load(void);
#endif
#endif
