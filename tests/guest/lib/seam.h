/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEAMCALL, the module's bring-up, and a TD whose payload does what L1 tells
 * it, one operation for each TDH.VP.ENTER.
 */
#ifndef GUEST_SEAM_H
#define GUEST_SEAM_H

#include "vmx.h"
#include "tdx/fields.h"
#include "tdx/leaves.h"
#include "tdx/status.h"
#include "tdx/structs.h"

#define MSR_KEYID_PARTITIONING  0x87
#define MSR_TME_ACTIVATE        0x982

/* In the processor's numbering; RSP's place is unused. */
typedef struct TdxRegs {
    u64 rax, rcx, rdx, rbx, unused, rbp, rsi, rdi;
    u64 r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rflags;                 /* out */
} TdxRegs;

/* Execute SEAMCALL or TDCALL: VM_SUCCEED, VM_INVALID, VM_FAULT(). */
u32 seamcall_regs(TdxRegs *regs);
u32 tdcall_regs(TdxRegs *regs);

/*
 * A leaf by RAX with up to four operands; status in RAX.  All registers are in
 * tdh_out.  Panics if the instruction itself fails.  The registers that no leaf
 * but TDH.VP.ENTER may change are compared; tdh_clobbered counts violations.
 */
extern TdxRegs tdh_out;
extern u32 tdh_clobbered;
u64 tdh4(u64 rax, u64 rcx, u64 rdx, u64 r8, u64 r9);
#define tdh_0(leaf)             tdh4(leaf, 0, 0, 0, 0)
#define tdh_1(leaf, c)          tdh4(leaf, c, 0, 0, 0)
#define tdh_2(leaf, c, d)       tdh4(leaf, c, d, 0, 0)
#define tdh_3(leaf, c, d, e)    tdh4(leaf, c, d, e, 0)
/* The same for leaves that take or give a page pair in R12 and R13. */
u64 tdh_pair(u64 rax, u64 rcx, u64 rdx, u64 r8, u64 r12, u64 r13);

/* A status with an operand id in its details. */
#define OPERAND(status, reg)    TDX_ST(status, TDX_OPERAND_ID_##reg)

/* Platform numbers, read by seam_platform(). */
extern u32 mktme_keyids, tdx_keyids, first_keyid, keyid_shift, phys_bits;
void seam_platform(void);
#define KEYED(pa, keyid)        ((pa) | (u64)(keyid) << keyid_shift)

u64 sys_rd(u64 field);          /* TDH.SYS.RD; panics on error */
/* VMXON and TDH.SYS.LP.INIT on the calling CPU. */
u64 seam_lp_init(void);
/* A TDMR of [0, 1 GiB) with its PAMT and all that is not CMR reserved. */
struct tdmr_info *seam_tdmr(void);
/* Everything up to READY, all TDMRs initialised; starts the other CPUs. */
void seam_bring_up(void);
void seam_bring_up_dynamic(void);       /* with Dynamic PAMT */
void seam_bring_up_as_offered(void);    /* with it if the module offers it */
/* Its halves: TDH.SYS.INIT and LP.INIT; the rest with one TDMR of 1 GiB at 0. */
void seam_init(void);
void seam_configure(struct tdmr_info *tdmr, u64 flags);

/* --- Dynamic PAMT: @region is the address of 2 MiB --- */

#define REGION_SIZE         TDX_LEVEL_SIZE(TDX_2M)
#define PAMT_BITMAP_SIZE    (BIT(30) / PAGE_SIZE / 8)
#define PAMT_HINT           BIT(62)     /* a region's last page was freed */
extern bool seam_dynamic;
#define pamt_add(region, a, b)  tdh_3(TDH_PHYMEM_PAMT_ADD, (region) | TDX_2M, a, b)
#define pamt_remove(region)     tdh_1(TDH_PHYMEM_PAMT_REMOVE, (region) | TDX_2M)
/* A page that the module can take: with Dynamic PAMT in a region that has a pair. */
u64 seam_page(void);
/* Take all those pairs back; none of the pages may be in use. */
void seam_unback(void);

/* --- TDs --- */

#define TD_MAX_PAGES    16
#define TD_MAX_VCPUS    2

typedef struct TdVcpu {
    u64 tdvpr, tdcx[8];
    u64 shared_root;
} TdVcpu;

typedef struct Td {
    u64 tdr, hkid;
    u64 tdcs[TD_MAX_PAGES];
    u32 num_tdcs, num_tdcx;     /* pages by metadata; TDCX of a vCPU */
    struct td_params *params;
    TdVcpu vcpu[TD_MAX_VCPUS];
    u32 num_vcpus;
    u64 payload[5], sept[16];
    u32 num_sept;
    u64 *shared_ept;            /* root of the shared EPT: RAM below 512 MiB */
    TdxRegs regs;               /* of the last TDH.VP.ENTER */
} Td;

/* Each step panics on an unexpected status. */
void td_make_tdr(Td *td, u64 hkid);         /* MNG.CREATE, MNG.KEY.CONFIG */
void td_add_tdcs(Td *td);                   /* MNG.ADDCX */
void td_default_params(Td *td);
void td_make_vcpu(Td *td, u64 rcx);         /* VP.CREATE, ADDCX, INIT */
void td_add_sept(Td *td, u64 gpa, int level);
void td_add_payload(Td *td);                /* PAGE.ADD, not measured */
void td_build(Td *td, u64 hkid, u32 vcpus); /* all up to MR.FINALIZE */
void td_destroy(Td *td);                    /* from VP.FLUSH to the last RECLAIM */
void td_teardown(Td *td);                   /* its halves: up to MNG.KEY.FREEID */
void td_reclaim(Td *td);
void td_map_shared(Td *td);                 /* shared EPT for all vCPUs */

/* TDH.VP.ENTER with td->regs as they are; RAX. */
u64 td_enter(Td *td, u32 vcpu);

/*
 * Operations of the payload.  td_op() enters until the payload reports; the
 * report is in td->op.  Panics if the TD does something else meanwhile.
 */
enum {
    OP_TDCALL = 0,      /* RAX RCX RDX R8 R9 R10 R11: args 0.. and results 0.. */
    OP_CPUID = 1,       /* leaf, subleaf; EAX EBX ECX EDX */
    OP_RDMSR = 2, OP_WRMSR = 3,         /* index, value; value */
    OP_READ = 4, OP_WRITE = 5,          /* address, value; value */
    OP_HLT = 6, OP_OUT = 7, OP_CRS = 8, /* CR0 CR3 CR4 EFER */
    OP_SET_CR0 = 9, OP_SET_CR4 = 10, OP_VMCALL = 11, OP_WBINVD = 12,
    OP_SEAMCALL = 13, OP_VMPTRLD = 14, OP_CALL = 15, OP_WAIT_IRQ = 16,
    OP_XSETBV = 17, OP_UD2 = 18, OP_TRIPLE = 19, OP_RDTSC = 20, OP_INVD = 21,
    OP_INITIAL = 22,    /* RCX RDX RBX RSI R8 at start, RBP, EFLAGS */
    OP_TDCALL32 = 23,   /* TDCALL in compatibility mode */
    OP_SPIN = 24,       /* for ever, interrupts off */
    OP_ICR = 25,
    OP_ACCEPT = 26,     /* GPA, number of 4K pages; status, and GPA in out[6] */
    OP_COUNT
};
typedef struct TdReport {
    u64 out[7];
    u32 vector;         /* fault of the operation or NO_FAULT */
    u64 error, cr2, rip;
} TdReport;
#define TD_REPORT_MAGIC 0x746478u
void td_start_op(Td *td, u32 op, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);
u64 td_finish_op(Td *td, u32 vcpu, TdReport *r);    /* 77, or another exit */
TdReport td_op(Td *td, u32 vcpu, u32 op, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);
/* TDCALL by the payload; status. */
u64 td_tdcall(Td *td, TdReport *r, u64 rax, u64 rcx, u64 rdx, u64 r8, u64 r9);

#define TD_PAYLOAD_GPA  0xffffb000ull
#define TD_SHARED_BIT   BIT(47)
#define TD_SHARED_VA    BIT(39)     /* + pa: the shared alias of the low 4 GiB */

#endif
