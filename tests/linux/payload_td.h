/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The payload's view of the TDX module and of the host: TDCALL leaves, TDVMCALL, status
 * codes.
 */
#ifndef TESTS_LINUX_PAYLOAD_TD_H
#define TESTS_LINUX_PAYLOAD_TD_H

#include "guest.h"
#include "td_proto.h"

enum {
    TDG_VP_VMCALL, TDG_VP_INFO, TDG_MR_RTMR_EXTEND, TDG_VP_VEINFO_GET, TDG_MR_REPORT,
    TDG_VP_CPUIDVE_SET, TDG_MEM_PAGE_ACCEPT, TDG_VM_RD, TDG_VM_WR, TDG_VP_RD, TDG_VP_WR,
    TDG_SYS_RD,
};

/* RAX of a TDCALL: status with operand id in the low 32 bits. */
#define TDX_OPERAND_INVALID         0xc000010000000000
#define TDX_OPERAND_BUSY            0x8000020000000000
#define TDX_NO_VALID_VE_INFO        0xc000070400000000
#define TDX_PAGE_ALREADY_ACCEPTED   0x00000b0a00000000
#define TDX_PAGE_SIZE_MISMATCH      0xc0000b0b00000000
#define TDX_STATUS_MASK             0xffffffff00000000
#define OPERAND_RAX 0
#define OPERAND_RCX 1
#define OPERAND_RDX 2

#define TD_FIELD_NOTIFY_ENABLES     0x9100000000000010
#define TD_FIELD_TOPOLOGY_CONFIGURED 0x9100000000000019
#define TD_FIELD_CONFIG_FLAGS       0x1110000300000016

#define TD_ATTR_SEPT_VE_DISABLE     (1ull << 28)

/* TDVMCALL sub-functions (R11) and status (R10) of the guest-host interface */
#define TDVMCALL_GET_INFO           0x10000
#define TDVMCALL_MAP_GPA            0x10001
#define TDVMCALL_GET_QUOTE          0x10002
#define TDVMCALL_FATAL_ERROR        0x10003
#define TDVMCALL_SETUP_EVENT_NOTIFY 0x10004
#define TDVMCALL_STATUS_RETRY       1
#define TDVMCALL_INVALID_OPERAND    0x8000000000000000
#define TDVMCALL_ALIGN_ERROR        0x8000000000000002
#define TDVMCALL_UNSUPPORTED        0x8000000000000003

/* VMX exit reasons, as in VE_INFO and as TDVMCALL sub-functions */
#define EXIT_CPUID      10
#define EXIT_HLT        12
#define EXIT_INVD       13
#define EXIT_VMCALL     18
#define EXIT_CR_ACCESS  28
#define EXIT_IO         30
#define EXIT_RDMSR      31
#define EXIT_WRMSR      32
#define EXIT_EPT        48
#define EXIT_WBINVD     54

#define SHARED_VA(gpa)  ((1ull << 39) + (gpa))      /* mapped by payload_entry.S */

struct td_regs {
    u64 rcx, rdx, r8, r9, r10, r11;
};

struct vmcall_regs {
    u64 r10, r11, r12, r13, r14, r15;
};

/* payload_entry.S */
u64 tdcall(u64 leaf, struct td_regs *r);
u64 tdvmcall(struct vmcall_regs *r);

/* What the first vCPU found at the reset vector; filled by payload_entry.S. */
struct boot_regs {
    u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, cr0, cr4, eflags, cs, r8;
};
extern struct boot_regs boot_regs;
extern volatile u32 ap_release;

/* payload_ve.c */
u64 vmcall(u64 leaf, u64 r12, u64 r13, u64 r14, u64 r15, struct vmcall_regs *out);
void port_out32(u16 port, u32 v);
u32 port_in32(u16 port);
void stat_out(enum td_stat what, u64 v);

/* payload_mem.c */
extern volatile u64 pages_accepted, pages_converted, pages_shared;
u64 accept_page(u64 gpa, unsigned level);   /* level 0: 4K, 1: 2M; returns the status */
u64 accept_range(u64 gpa, u64 size);    /* returns pages accepted; 2M first, then 4K */
u64 map_gpa(u64 gpa, u64 size);         /* to shared or private, as the GPA says */
u64 shared_gpa(u64 gpa);
bool page_is(u64 va, u64 val);          /* all 512 words */
void page_fill(u64 va, u64 val);
void test_accept(u64 size);
void test_map_gpa(void);
void test_mmio(void);
extern unsigned gpaw;                       /* SHARED is bit gpaw - 1 */

/* payload_smp.c */
void apic_enable(void);
void test_interrupts(void);
void test_aps(unsigned vcpus);
void ap_main(unsigned index);

/* payload_attest.c */
void test_attest(void);

/* payload_load.c: on every vCPU; never returns. */
void load_main(unsigned index, u32 cfg) __attribute__((noreturn));

/* payload.c */
void report_stats(unsigned vcpus);
#endif
