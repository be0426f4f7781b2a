/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX for tests: the instructions with all ways they can end, and a runner of
 * small guests that share the program's code and memory.
 */
#ifndef GUEST_VMX_H
#define GUEST_VMX_H

#include "cpu.h"
#include "vmx/vmcs.h"

#define MSR_VMX_BASIC           0x480
#define MSR_VMX_PIN             0x481
#define MSR_VMX_PRIMARY         0x482
#define MSR_VMX_EXIT            0x483
#define MSR_VMX_ENTRY           0x484
#define MSR_VMX_MISC            0x485
#define MSR_VMX_CR0_FIXED0      0x486
#define MSR_VMX_CR0_FIXED1      0x487
#define MSR_VMX_CR4_FIXED0      0x488
#define MSR_VMX_CR4_FIXED1      0x489
#define MSR_VMX_ENUM            0x48a
#define MSR_VMX_SECONDARY       0x48b
#define MSR_VMX_EPT_VPID        0x48c
#define MSR_VMX_TRUE_PIN        0x48d
#define MSR_VMX_TRUE_PRIMARY    0x48e
#define MSR_VMX_TRUE_EXIT       0x48f
#define MSR_VMX_TRUE_ENTRY      0x490

/* How a VMX instruction ended (SDM vol. 3, 31.2). */
#define VM_SUCCEED      0u
#define VM_INVALID      1u              /* VMfailInvalid */
#define VM_VALID        2u              /* VMfailValid; see vm_error() */
#define VM_ODD          0x1000u         /* | flags: none of the three patterns */
#define VM_FAULT(v)     (0x100u | (v))

u32 vm_result(u64 flags);               /* from RFLAGS and the recorded fault */

/* Execute @insn with all arithmetic flags set before; its result as above. */
#define VM_INSN(insn, ...) ({                                           \
    u64 _f = 0;                                                         \
    fault_clear();                                                      \
    asm volatile("pushfq; orq $0x8d5, (%%rsp); popfq\n"                 \
                 "1: " insn "\n"                                        \
                 "pushfq; popq %[f]\n2:\n" EX_TABLE(1b, 2b)             \
                 : [f] "+r"(_f) : __VA_ARGS__ : "memory", "cc");        \
    vm_result(_f); })

static inline u32 vmxon(u64 pa) { return VM_INSN("vmxon %[m]", [m] "m"(pa)); }
static inline u32 vmclear(u64 pa) { return VM_INSN("vmclear %[m]", [m] "m"(pa)); }
static inline u32 vmptrld(u64 pa) { return VM_INSN("vmptrld %[m]", [m] "m"(pa)); }
static inline u32 vmptrst(u64 *pa) { return VM_INSN("vmptrst (%[p])", [p] "r"(pa)); }
static inline u32 vmxoff(void) { return VM_INSN("vmxoff", "i"(0)); }
static inline u32 vmlaunch(void) { return VM_INSN("vmlaunch", "i"(0)); }
static inline u32 vmresume(void) { return VM_INSN("vmresume", "i"(0)); }
static inline u32 vmcall_root(void) { return VM_INSN("vmcall", "i"(0)); }

static inline u32 vmwrite_res(u64 field, u64 value)
{
    return VM_INSN("vmwrite %[v], %[e]", [v] "r"(value), [e] "r"(field));
}

static inline u32 vmread_res(u64 field, u64 *value)
{
    return VM_INSN("vmread %[e], (%[p])", [p] "r"(value), [e] "r"(field));
}

typedef struct InvDesc { u64 lo, hi; } InvDesc;

static inline u32 invept(u64 type, u64 eptp, u64 hi)
{
    InvDesc d = { eptp, hi };

    return VM_INSN("invept (%[d]), %[t]", [d] "r"(&d), [t] "r"(type));
}

static inline u32 invvpid(u64 type, u64 lo, u64 gla)
{
    InvDesc d = { lo, gla };

    return VM_INSN("invvpid (%[d]), %[t]", [d] "r"(&d), [t] "r"(type));
}

/* These panic if the instruction fails. */
u64 vmread(u32 field);
void vmwrite(u32 field, u64 value);
static inline u32 vm_error(void) { return vmread(VMCS_INSTRUCTION_ERROR); }
static inline u32 vm_reason(void) { return vmread(VMCS_EXIT_REASON); }
static inline u64 vm_qual(void) { return vmread(VMCS_EXIT_QUALIFICATION); }

/* VMX operation: enables it in FEATURE_CONTROL and CR4, VMXON; VMXOFF. */
bool vmx_supported(void);
void vmx_on(void);
void vmx_off(void);
u64 vmx_new_region(void);               /* a page with the revision identifier */

/* May this control bit be 1 (its TRUE capability MSR, or 48BH)? */
bool vmx_may(u32 field, u64 bits);
/* @want adjusted to what the capability MSR demands. */
u32 vmx_adjust(u32 field, u32 want);
bool vmx_ept_cap(u64 bits);

/*
 * A guest: 64-bit code of this program at CPL 0, on its own stack and with an
 * EPT that maps 4 GiB one to one.  Its GS base has a per-CPU block of its own,
 * so the fault-safe instructions work in it as in the host.
 */
typedef struct Vm {
    u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    u64 vmcs;
    u64 *ept;                   /* the root table */
    u64 *msr_bitmap;            /* all zero: no exits; in use */
    u64 stack_top;
    PerCpu *cpu;
    bool launched;
} Vm;
_Static_assert(offsetof(Vm, launched) == 160, "as in vmx_run.S");

/* The result of vm_enter() when the guest ran and exited. */
#define VM_EXITED       0x2000u

void vm_create(Vm *vm);                 /* VMCLEAR, VMPTRLD, all fields */
void vm_host_state(void);               /* of the calling CPU, to the current VMCS */
void vm_set_entry(Vm *vm, void (*fn)(void));
/* VMLAUNCH or VMRESUME: VM_EXITED, or how the instruction failed. */
u32 vm_enter(Vm *vm);
/* Run until the next exit; panics if entry fails by VMfail. */
u32 vm_run(Vm *vm);
void vm_skip(void);                     /* RIP += instruction length */
/* Start @fn anew and run it to its first exit; the reason. */
u32 vm_start(Vm *vm, void (*fn)(void));
/* Run on until the guest function has returned (it ends by VMCALL END). */
#define VM_END_MAGIC    0x656e64
bool vm_ended(Vm *vm);                  /* the last exit is the end */
void vm_set_bits(u32 field, u64 bits);
void vm_clear_bits(u32 field, u64 bits);
/* Turn bits of the secondary controls on, if allowed. */
bool vm_secondary(u32 bits);

static inline void guest_vmcall(u64 n)
{
    asm volatile("vmcall" : "+a"(n) : : "memory");
}

/* vm_ept.c */
#define EPT_R           BIT(0)
#define EPT_W           BIT(1)
#define EPT_X           BIT(2)
#define EPT_RWX         7ull
#define EPT_WB          (6ull << 3)
#define EPT_LARGE       BIT(7)
#define EPT_A           BIT(8)
#define EPT_D           BIT(9)
#define EPT_CAP_EXEC_ONLY       BIT(0)
#define EPT_CAP_WALK4           BIT(6)
#define EPT_CAP_WB              BIT(14)
#define EPT_CAP_2M              BIT(16)
#define EPT_CAP_1G              BIT(17)
#define EPT_CAP_INVEPT          BIT(20)
#define EPT_CAP_AD              BIT(21)
#define EPT_CAP_INVEPT_SINGLE   BIT(25)
#define EPT_CAP_INVEPT_GLOBAL   BIT(26)
#define EPT_CAP_INVVPID         BIT(32)
#define EPT_CAP_INVVPID_ADDR    BIT(40)
#define EPT_CAP_INVVPID_SINGLE  BIT(41)
#define EPT_CAP_INVVPID_ALL     BIT(42)
#define EPT_CAP_INVVPID_KEEP    BIT(43)
u64 *ept_identity(void);                /* 4 GiB in 2 MiB pages */
/* The entry of @gpa at @level (0: 4 KiB), made by splitting what is there. */
u64 *ept_entry(u64 *root, u64 gpa, int level);
#define EPTP(root) ((u64)(root) | 6 | 3 << 3)

#endif
