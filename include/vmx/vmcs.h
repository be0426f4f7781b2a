/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMCS: field encodings (SDM vol. 3, appendix B), control bits, exit
 * reasons, and this implementation's private layout of the 4 KiB region.
 *
 * The layout is shared by the processor (target/i386/tcg/vmx) and by the TDX
 * module model, which keeps a TD vCPU's VMCS in one of its TDVPS pages.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VMCS_REVISION_ID        0x54445845u     /* bit 31 is clear */
#define VMCS_REGION_SIZE        2048

/* 16-bit control, guest and host fields */
#define VMCS_VPID                       0x0000
#define VMCS_POSTED_INTR_NV             0x0002
#define VMCS_EPTP_INDEX                 0x0004
#define VMCS_GUEST_ES_SEL               0x0800  /* ES CS SS DS FS GS LDTR TR: +2 each */
#define VMCS_GUEST_CS_SEL               0x0802
#define VMCS_GUEST_SS_SEL               0x0804
#define VMCS_GUEST_DS_SEL               0x0806
#define VMCS_GUEST_FS_SEL               0x0808
#define VMCS_GUEST_GS_SEL               0x080A
#define VMCS_GUEST_LDTR_SEL             0x080C
#define VMCS_GUEST_TR_SEL               0x080E
#define VMCS_GUEST_INTR_STATUS          0x0810
#define VMCS_GUEST_PML_INDEX            0x0812
#define VMCS_HOST_ES_SEL                0x0C00  /* ES CS SS DS FS GS TR: +2 each */
#define VMCS_HOST_CS_SEL                0x0C02
#define VMCS_HOST_SS_SEL                0x0C04
#define VMCS_HOST_DS_SEL                0x0C06
#define VMCS_HOST_FS_SEL                0x0C08
#define VMCS_HOST_GS_SEL                0x0C0A
#define VMCS_HOST_TR_SEL                0x0C0C
/* 64-bit control fields */
#define VMCS_IO_BITMAP_A                0x2000
#define VMCS_IO_BITMAP_B                0x2002
#define VMCS_MSR_BITMAP                 0x2004
#define VMCS_EXIT_MSR_STORE_ADDR        0x2006
#define VMCS_EXIT_MSR_LOAD_ADDR         0x2008
#define VMCS_ENTRY_MSR_LOAD_ADDR        0x200A
#define VMCS_EXECUTIVE_VMCS             0x200C
#define VMCS_PML_ADDR                   0x200E
#define VMCS_TSC_OFFSET                 0x2010
#define VMCS_VIRTUAL_APIC_ADDR          0x2012
#define VMCS_APIC_ACCESS_ADDR           0x2014
#define VMCS_POSTED_INTR_DESC           0x2016
#define VMCS_VMFUNC_CONTROLS            0x2018
#define VMCS_EPT_POINTER                0x201A
#define VMCS_EOI_EXIT_BITMAP0           0x201C  /* 4 fields, +2 each */
#define VMCS_EPTP_LIST_ADDR             0x2024
#define VMCS_VMREAD_BITMAP              0x2026
#define VMCS_VMWRITE_BITMAP             0x2028
#define VMCS_VE_INFO_ADDR               0x202A
#define VMCS_XSS_EXIT_BITMAP            0x202C
#define VMCS_ENCLS_EXIT_BITMAP          0x202E
#define VMCS_TSC_MULTIPLIER             0x2032
#define VMCS_TERTIARY_CONTROLS          0x2034
#define VMCS_SHARED_EPT_POINTER         0x203C  /* SEAM only */
/* 64-bit read-only, guest and host fields */
#define VMCS_GUEST_PHYSICAL_ADDR        0x2400
#define VMCS_LINK_POINTER               0x2800
#define VMCS_GUEST_DEBUGCTL             0x2802
#define VMCS_GUEST_PAT                  0x2804
#define VMCS_GUEST_EFER                 0x2806
#define VMCS_GUEST_PERF_GLOBAL_CTRL     0x2808
#define VMCS_GUEST_PDPTE0               0x280A  /* 4 fields, +2 each */
#define VMCS_HOST_PAT                   0x2C00
#define VMCS_HOST_EFER                  0x2C02
#define VMCS_HOST_PERF_GLOBAL_CTRL      0x2C04
/* 32-bit control fields */
#define VMCS_PIN_CONTROLS               0x4000
#define VMCS_PRIMARY_CONTROLS           0x4002
#define VMCS_EXCEPTION_BITMAP           0x4004
#define VMCS_PFEC_MASK                  0x4006
#define VMCS_PFEC_MATCH                 0x4008
#define VMCS_CR3_TARGET_COUNT           0x400A
#define VMCS_EXIT_CONTROLS              0x400C
#define VMCS_EXIT_MSR_STORE_COUNT       0x400E
#define VMCS_EXIT_MSR_LOAD_COUNT        0x4010
#define VMCS_ENTRY_CONTROLS             0x4012
#define VMCS_ENTRY_MSR_LOAD_COUNT       0x4014
#define VMCS_ENTRY_INTR_INFO            0x4016
#define VMCS_ENTRY_INTR_ERROR           0x4018
#define VMCS_ENTRY_INSN_LEN             0x401A
#define VMCS_TPR_THRESHOLD              0x401C
#define VMCS_SECONDARY_CONTROLS         0x401E
#define VMCS_PLE_GAP                    0x4020
#define VMCS_PLE_WINDOW                 0x4022
#define VMCS_NOTIFY_WINDOW              0x4024
#define VMCS_TD_HKID                    0x4026  /* SEAM only */
/* 32-bit read-only, guest and host fields */
#define VMCS_INSTRUCTION_ERROR          0x4400
#define VMCS_EXIT_REASON                0x4402
#define VMCS_EXIT_INTR_INFO             0x4404
#define VMCS_EXIT_INTR_ERROR            0x4406
#define VMCS_IDT_VECTORING_INFO         0x4408
#define VMCS_IDT_VECTORING_ERROR        0x440A
#define VMCS_EXIT_INSN_LEN              0x440C
#define VMCS_EXIT_INSN_INFO             0x440E
#define VMCS_GUEST_ES_LIMIT             0x4800  /* ES..TR as above, GDTR, IDTR */
#define VMCS_GUEST_LDTR_LIMIT           0x480C
#define VMCS_GUEST_TR_LIMIT             0x480E
#define VMCS_GUEST_GDTR_LIMIT           0x4810
#define VMCS_GUEST_IDTR_LIMIT           0x4812
#define VMCS_GUEST_ES_AR                0x4814  /* ES..TR */
#define VMCS_GUEST_CS_AR                0x4816
#define VMCS_GUEST_SS_AR                0x4818
#define VMCS_GUEST_LDTR_AR              0x4820
#define VMCS_GUEST_TR_AR                0x4822
#define VMCS_GUEST_INTERRUPTIBILITY     0x4824
#define VMCS_GUEST_ACTIVITY             0x4826
#define VMCS_GUEST_SMBASE               0x4828
#define VMCS_GUEST_SYSENTER_CS          0x482A
#define VMCS_PREEMPTION_TIMER           0x482E
#define VMCS_HOST_SYSENTER_CS           0x4C00
/* natural-width fields */
#define VMCS_CR0_MASK                   0x6000
#define VMCS_CR4_MASK                   0x6002
#define VMCS_CR0_SHADOW                 0x6004
#define VMCS_CR4_SHADOW                 0x6006
#define VMCS_CR3_TARGET0                0x6008  /* 4 fields, +2 each */
#define VMCS_EXIT_QUALIFICATION         0x6400
#define VMCS_IO_RCX                     0x6402
#define VMCS_IO_RSI                     0x6404
#define VMCS_IO_RDI                     0x6406
#define VMCS_IO_RIP                     0x6408
#define VMCS_GUEST_LINEAR_ADDR          0x640A
#define VMCS_GUEST_CR0                  0x6800
#define VMCS_GUEST_CR3                  0x6802
#define VMCS_GUEST_CR4                  0x6804
#define VMCS_GUEST_ES_BASE              0x6806  /* ES..TR, GDTR, IDTR */
#define VMCS_GUEST_CS_BASE              0x6808
#define VMCS_GUEST_FS_BASE              0x680E
#define VMCS_GUEST_GS_BASE              0x6810
#define VMCS_GUEST_LDTR_BASE            0x6812
#define VMCS_GUEST_TR_BASE              0x6814
#define VMCS_GUEST_GDTR_BASE            0x6816
#define VMCS_GUEST_IDTR_BASE            0x6818
#define VMCS_GUEST_DR7                  0x681A
#define VMCS_GUEST_RSP                  0x681C
#define VMCS_GUEST_RIP                  0x681E
#define VMCS_GUEST_RFLAGS               0x6820
#define VMCS_GUEST_PENDING_DEBUG        0x6822
#define VMCS_GUEST_SYSENTER_ESP         0x6824
#define VMCS_GUEST_SYSENTER_EIP         0x6826
#define VMCS_HOST_CR0                   0x6C00
#define VMCS_HOST_CR3                   0x6C02
#define VMCS_HOST_CR4                   0x6C04
#define VMCS_HOST_FS_BASE               0x6C06
#define VMCS_HOST_GS_BASE               0x6C08
#define VMCS_HOST_TR_BASE               0x6C0A
#define VMCS_HOST_GDTR_BASE             0x6C0C
#define VMCS_HOST_IDTR_BASE             0x6C0E
#define VMCS_HOST_SYSENTER_ESP          0x6C10
#define VMCS_HOST_SYSENTER_EIP          0x6C12
#define VMCS_HOST_RSP                   0x6C14
#define VMCS_HOST_RIP                   0x6C16

/* pin-based controls */
#define PIN_EXT_INTR            (1u << 0)
#define PIN_NMI                 (1u << 3)
#define PIN_VIRTUAL_NMIS        (1u << 5)
#define PIN_PREEMPTION_TIMER    (1u << 6)
#define PIN_POSTED_INTR         (1u << 7)
/* primary processor-based controls */
#define CPU_INTR_WINDOW         (1u << 2)
#define CPU_TSC_OFFSETTING      (1u << 3)
#define CPU_HLT                 (1u << 7)
#define CPU_INVLPG              (1u << 9)
#define CPU_MWAIT               (1u << 10)
#define CPU_RDPMC               (1u << 11)
#define CPU_RDTSC               (1u << 12)
#define CPU_CR3_LOAD            (1u << 15)
#define CPU_CR3_STORE           (1u << 16)
#define CPU_TERTIARY            (1u << 17)
#define CPU_CR8_LOAD            (1u << 19)
#define CPU_CR8_STORE           (1u << 20)
#define CPU_TPR_SHADOW          (1u << 21)
#define CPU_NMI_WINDOW          (1u << 22)
#define CPU_MOV_DR              (1u << 23)
#define CPU_UNCOND_IO           (1u << 24)
#define CPU_IO_BITMAPS          (1u << 25)
#define CPU_MTF                 (1u << 27)
#define CPU_MSR_BITMAPS         (1u << 28)
#define CPU_MONITOR             (1u << 29)
#define CPU_PAUSE               (1u << 30)
#define CPU_SECONDARY           (1u << 31)
/* secondary processor-based controls */
#define CPU2_APIC_ACCESS        (1u << 0)
#define CPU2_EPT                (1u << 1)
#define CPU2_DESC_TABLE         (1u << 2)
#define CPU2_RDTSCP             (1u << 3)
#define CPU2_X2APIC             (1u << 4)
#define CPU2_VPID               (1u << 5)
#define CPU2_WBINVD             (1u << 6)
#define CPU2_UNRESTRICTED       (1u << 7)
#define CPU2_APIC_REGISTER      (1u << 8)
#define CPU2_VINTR_DELIVERY     (1u << 9)
#define CPU2_PLE                (1u << 10)
#define CPU2_RDRAND             (1u << 11)
#define CPU2_INVPCID            (1u << 12)
#define CPU2_VMFUNC             (1u << 13)
#define CPU2_RDSEED             (1u << 16)
#define CPU2_PML                (1u << 17)
#define CPU2_EPT_VE             (1u << 18)
#define CPU2_XSAVES             (1u << 20)
#define CPU2_TSC_SCALING        (1u << 25)
/* VM-exit controls */
#define EXIT_SAVE_DEBUG         (1u << 2)
#define EXIT_HOST_64            (1u << 9)
#define EXIT_LOAD_PERF_GLOBAL   (1u << 12)
#define EXIT_ACK_INTR           (1u << 15)
#define EXIT_SAVE_PAT           (1u << 18)
#define EXIT_LOAD_PAT           (1u << 19)
#define EXIT_SAVE_EFER          (1u << 20)
#define EXIT_LOAD_EFER          (1u << 21)
#define EXIT_SAVE_TIMER         (1u << 22)
/* VM-entry controls */
#define ENTRY_LOAD_DEBUG        (1u << 2)
#define ENTRY_IA32E             (1u << 9)
#define ENTRY_LOAD_PERF_GLOBAL  (1u << 13)
#define ENTRY_LOAD_PAT          (1u << 14)
#define ENTRY_LOAD_EFER         (1u << 15)

/* interruption information (entry, exit, IDT-vectoring) */
#define INTR_VECTOR             0xffu
#define INTR_TYPE               (7u << 8)
#define INTR_TYPE_EXT           (0u << 8)
#define INTR_TYPE_NMI           (2u << 8)
#define INTR_TYPE_HW_EXC        (3u << 8)
#define INTR_TYPE_SOFT_INT      (4u << 8)
#define INTR_TYPE_PRIV_SW_EXC   (5u << 8)
#define INTR_TYPE_SOFT_EXC      (6u << 8)
#define INTR_TYPE_OTHER         (7u << 8)
#define INTR_DELIVER_ERROR      (1u << 11)
#define INTR_NMI_UNBLOCK_IRET   (1u << 12)
#define INTR_VALID              (1u << 31)

/* interruptibility state */
#define BLOCKED_BY_STI          (1u << 0)
#define BLOCKED_BY_MOV_SS       (1u << 1)
#define BLOCKED_BY_NMI          (1u << 3)

/* activity state */
#define ACTIVITY_ACTIVE         0
#define ACTIVITY_HLT            1
#define ACTIVITY_SHUTDOWN       2
#define ACTIVITY_WAIT_SIPI      3

/* segment access rights */
#define VMCS_AR_UNUSABLE        (1u << 16)

/* basic exit reasons */
enum {
    VMX_EXIT_EXCEPTION_NMI = 0,
    VMX_EXIT_EXT_INTR = 1,
    VMX_EXIT_TRIPLE_FAULT = 2,
    VMX_EXIT_INIT = 3,
    VMX_EXIT_SIPI = 4,
    VMX_EXIT_INTR_WINDOW = 7,
    VMX_EXIT_NMI_WINDOW = 8,
    VMX_EXIT_TASK_SWITCH = 9,
    VMX_EXIT_CPUID = 10,
    VMX_EXIT_GETSEC = 11,
    VMX_EXIT_HLT = 12,
    VMX_EXIT_INVD = 13,
    VMX_EXIT_INVLPG = 14,
    VMX_EXIT_RDPMC = 15,
    VMX_EXIT_RDTSC = 16,
    VMX_EXIT_VMCALL = 18,
    VMX_EXIT_VMCLEAR = 19,
    VMX_EXIT_VMLAUNCH = 20,
    VMX_EXIT_VMPTRLD = 21,
    VMX_EXIT_VMPTRST = 22,
    VMX_EXIT_VMREAD = 23,
    VMX_EXIT_VMRESUME = 24,
    VMX_EXIT_VMWRITE = 25,
    VMX_EXIT_VMXOFF = 26,
    VMX_EXIT_VMXON = 27,
    VMX_EXIT_CR = 28,
    VMX_EXIT_DR = 29,
    VMX_EXIT_IO = 30,
    VMX_EXIT_RDMSR = 31,
    VMX_EXIT_WRMSR = 32,
    VMX_EXIT_BAD_GUEST = 33,
    VMX_EXIT_BAD_MSR_LOAD = 34,
    VMX_EXIT_MWAIT = 36,
    VMX_EXIT_MTF = 37,
    VMX_EXIT_MONITOR = 39,
    VMX_EXIT_PAUSE = 40,
    VMX_EXIT_MCE_ENTRY = 41,
    VMX_EXIT_TPR_THRESHOLD = 43,
    VMX_EXIT_APIC_ACCESS = 44,
    VMX_EXIT_EOI = 45,
    VMX_EXIT_GDTR_IDTR = 46,
    VMX_EXIT_LDTR_TR = 47,
    VMX_EXIT_EPT_VIOLATION = 48,
    VMX_EXIT_EPT_MISCONFIG = 49,
    VMX_EXIT_INVEPT = 50,
    VMX_EXIT_RDTSCP = 51,
    VMX_EXIT_PREEMPTION_TIMER = 52,
    VMX_EXIT_INVVPID = 53,
    VMX_EXIT_WBINVD = 54,
    VMX_EXIT_XSETBV = 55,
    VMX_EXIT_APIC_WRITE = 56,
    VMX_EXIT_RDRAND = 57,
    VMX_EXIT_INVPCID = 58,
    VMX_EXIT_VMFUNC = 59,
    VMX_EXIT_RDSEED = 61,
    VMX_EXIT_PML_FULL = 62,
    VMX_EXIT_PCONFIG = 65,
    VMX_EXIT_SEAMCALL = 76,
    VMX_EXIT_TDCALL = 77,
};
#define VMX_EXIT_ENTRY_FAILURE  (1u << 31)

/* VM-instruction error numbers */
enum {
    VMX_ERR_VMCALL_ROOT = 1,
    VMX_ERR_VMCLEAR_ADDR = 2,
    VMX_ERR_VMCLEAR_VMXON = 3,
    VMX_ERR_VMLAUNCH_NOT_CLEAR = 4,
    VMX_ERR_VMRESUME_NOT_LAUNCHED = 5,
    VMX_ERR_VMRESUME_AFTER_VMXOFF = 6,
    VMX_ERR_BAD_CONTROLS = 7,
    VMX_ERR_BAD_HOST = 8,
    VMX_ERR_VMPTRLD_ADDR = 9,
    VMX_ERR_VMPTRLD_VMXON = 10,
    VMX_ERR_VMPTRLD_REVISION = 11,
    VMX_ERR_UNSUPPORTED_FIELD = 12,
    VMX_ERR_READ_ONLY_FIELD = 13,
    VMX_ERR_VMXON_ROOT = 15,
    VMX_ERR_MOV_SS = 26,
    VMX_ERR_INVEPT_OPERAND = 28,
};

/*
 * The region: the architectural header, our launch state, then every field
 * in a slot of 8 bytes, grouped by (width, type) with a fixed room a group.
 */
typedef struct Vmcs {
    uint32_t revision;
    uint32_t abort;
    uint32_t launched;          /* 0: clear, 1: launched */
    uint32_t reserved[5];
    uint64_t field[224];
} Vmcs;
_Static_assert(sizeof(Vmcs) <= VMCS_REGION_SIZE, "the VMCS fits its region");

/* Slots of each group; index: width << 2 | type (encoding bits 14:13, 11:10). */
#define VMCS_GROUPS { \
    { 0, 4 },   { 0, 0 },   { 4, 12 },   { 16, 8 },   /* 16 bits */ \
    { 24, 40 }, { 64, 4 },  { 68, 16 },  { 84, 8 },   /* 64 bits */ \
    { 92, 24 }, { 116, 8 }, { 124, 24 }, { 148, 4 },  /* 32 bits */ \
    { 152, 8 }, { 160, 8 }, { 168, 24 }, { 192, 16 }  /* natural */ }

/* Slot of a field, or -1 if the encoding lies outside of every group. */
static inline int vmcs_slot(uint32_t encoding)
{
    static const struct { uint8_t first, count; } group[16] = VMCS_GROUPS;
    unsigned g = (encoding >> 13 & 3) << 2 | (encoding >> 10 & 3);
    unsigned index = encoding >> 1 & 0x1ff;

    if ((encoding & ~0x6ffeu) || index >= group[g].count) {
        return -1;
    }
    return group[g].first + index;
}

/* Read or write a field that is known to exist; constant encodings fold. */
static inline uint64_t vmcs_read(const Vmcs *v, uint32_t encoding)
{
    int slot = vmcs_slot(encoding);

    return slot < 0 ? 0 : v->field[slot];
}

/* The field @n behind @first in its group, where one is known to exist. */
static inline uint64_t vmcs_read_nth(const Vmcs *v, uint32_t first, unsigned n)
{
    return v->field[vmcs_slot(first) + n];
}

static inline void vmcs_write_nth(Vmcs *v, uint32_t first, unsigned n, uint64_t value)
{
    v->field[vmcs_slot(first) + n] = value;
}

static inline void vmcs_write(Vmcs *v, uint32_t encoding, uint64_t value)
{
    int slot = vmcs_slot(encoding);

    if (slot >= 0) {
        v->field[slot] = value;
    }
}

#endif
