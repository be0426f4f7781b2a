/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDs and vCPUs: their pages in RAM (struct tdr, tdcs, tdvpr) and the handles
 * by which a leaf holds them.  Whatever these pages say is checked again when
 * it is used as an index or an address.
 */
#ifndef TDXMOD_TD_H
#define TDXMOD_TD_H

#include "module.h"
#include "pamt.h"
#include "sha384.h"
#include "tdx/tdvps.h"
#include "vmx/vmcs.h"

enum td_lifecycle {
    TD_HKID_ASSIGNED = 0, TD_KEYS_CONFIGURED = 1, TD_BLOCKED = 2, TD_TEARDOWN = 3,
};

enum td_op_state {
    OP_STATE_UNINITIALIZED = 0, OP_STATE_INITIALIZED = 1, OP_STATE_RUNNABLE = 2,
};

enum vcpu_state {
    VCPU_UNINITIALIZED = 0, VCPU_READY = 2, VCPU_ACTIVE = 4, VCPU_DISABLED = 8,
};

enum last_td_exit {
    LAST_EXIT_ASYNC_FAULT = 0, LAST_EXIT_ASYNC_TRAP = 1, LAST_EXIT_TDVMCALL = 2,
};

/* The TDR page. */
struct tdr {
    uint8_t fatal;
    uint8_t reserved0[3];
    uint32_t lifecycle;         /* enum td_lifecycle */
    uint32_t num_tdcx;
    uint16_t hkid;
    uint16_t reserved1;
    uint64_t chldcnt;           /* 4 KiB pages owned; atomic */
    uint64_t pkg_config_bitmap; /* packages that configured the key */
    uint64_t tdcx_pa[TDCS_PAGES];
    uint64_t td_uuid[4];
};
_Static_assert(sizeof(struct tdr) <= 4096, "TDR");

/* Roles of the TDCS pages, by order of TDH.MNG.ADDCX. */
enum tdcs_page {
    TDCS_CONTROL = 0,           /* struct tdcs */
    TDCS_CPUID = 1,             /* struct tdcs_cpuid */
    TDCS_GUEST_PRIVATE = 2,     /* the guest side's, if it needs more room */
    TDCS_X2APIC_IDS = 3,        /* two pages of uint32_t, by VCPU_INDEX */
    TDCS_MSR_BITMAP = 5,        /* what each vCPU starts with */
    TDCS_SEPT_ROOT = 6,
    TDCS_ZERO = 7,
    TDCS_SPARE = 8,
};

/* TDCS page 0. */
struct tdcs {
    /* Locks, see lock.h */
    uint16_t op_state_lock;
    uint16_t sept_lock;         /* SEPT_TREE */
    uint16_t epoch_lock;
    uint16_t rtmr_lock;
    uint16_t vcpu_lock;         /* VCPU numbers, x2APIC ids, association count */
    uint16_t ctls_lock;         /* td_ctls and what a guest may write */
    uint16_t reserved0[2];

    uint32_t op_state;          /* enum td_op_state */
    uint32_t num_vcpus;
    uint32_t num_assoc_vcpus;   /* atomic */
    uint32_t refcount[2];       /* running vCPUs by epoch parity; atomic */
    uint32_t reserved1;
    uint64_t td_epoch;

    /* From TD_PARAMS */
    uint64_t attributes, xfam, eptp, config_flags;
    uint64_t arch_capabilities; /* what the TD reads from MSR 10AH */
    uint16_t max_vcpus;
    uint16_t tsc_frequency;     /* 25 MHz */
    uint8_t gpaw;               /* 1: 52-bit GPAs */
    uint8_t ept_levels;         /* level of the root's entries: 3 or 4 */
    uint8_t num_l2_vms;
    uint8_t reserved2;
    uint64_t tsc_offset, tsc_multiplier;
    uint32_t num_cpuid_values, xbuff_size;
    uint32_t virt_fms;          /* CPUID(1).EAX */
    uint32_t reserved3;

    /* Guest controls */
    uint64_t td_ctls;           /* TDX_TD_CTLS_* */
    uint64_t notify_enables, hp_lock_timeout;
    uint64_t feature_paravirt_ctrl;
    uint64_t cpuid_flags;       /* effective features; the guest side's bits */
    uint8_t topology_enum_configured;
    uint8_t ve_reduction_valid;
    uint8_t reserved4[6];

    /* Measurements */
    uint8_t mrtd[48], mrconfigid[48], mrowner[48], mrownerconfig[48];
    uint8_t rtmr[4][48];
    uint8_t servtd_hash[48];
    struct sha384 mrtd_context; /* running, until TDH.MR.FINALIZE */
};
_Static_assert(sizeof(struct tdcs) <= 4096, "TDCS control page");

/* TDCS page 1: the TD's CPUID, in the order of the module's CPUID table. */
#define TDCS_MAX_CPUID          250
struct tdcs_cpuid {
    struct tdx_cpuid_value value[TDCS_MAX_CPUID];
    uint8_t valid[32];          /* bit: else #VE unless REDUCE_VE */
};
_Static_assert(sizeof(struct tdcs_cpuid) <= 4096, "TDCS CPUID page");

struct tdvpr_ve_info {
    uint32_t exit_reason;
    uint32_t valid;             /* 0 or 0xffffffff */
    uint64_t exit_qualification, gla, gpa;
    uint32_t insn_len, insn_info;
};

/* The first half of the TDVPR page: the module's own part of a vCPU. */
struct tdvpr {
    uint8_t state;              /* enum vcpu_state */
    uint8_t last_exit;          /* enum last_td_exit */
    uint8_t pend_nmi;
    uint8_t cpuid_supervisor_ve, cpuid_user_ve;
    uint8_t nmi_window;         /* the guest side opened an NMI window */
    uint8_t bus_lock_preempted;
    uint8_t reserved0;
    uint32_t num_tdcx;
    uint32_t assoc_lpid;        /* or TDX_NO_LP */
    uint32_t vcpu_index;
    uint32_t x2apic_id;
    uint64_t tdcx_pa[TDVPS_TDCX_PAGES];
    uint64_t vcpu_epoch;
    uint64_t last_exit_tsc;
    uint64_t vmcall_mask;       /* RCX of the TDG.VP.VMCALL in progress */
    struct tdvpr_ve_info ve;
    uint8_t cpuid_control[128];
    uint64_t misc_enable;       /* what the TD reads from MSR 1A0H */
    uint64_t guest_private[64]; /* the guest side's, e.g. virtual MSRs */
};
_Static_assert(sizeof(struct tdvpr) <= TDVPS_GUEST_OFFSET, "TDVPR, module part");

/* A TD in use by a leaf.  Zeroed: none. */
typedef struct Td {
    PamtPage page;              /* the TDR's lock */
    uint64_t pa;                /* of the TDR */
    struct tdr *tdr;
    struct tdcs *tdcs;          /* set by td_check_state() and td_reopen() */
    bool op_state_locked;
    bool sept_locked;
    LockMode sept_mode;
} Td;

typedef struct Vcpu {
    PamtPage page;              /* the TDVPR's lock */
    uint64_t pa;                /* of the TDVPR */
    struct tdvpr *vp;
    struct tdvps_guest *guest;
    Vmcs *vmcs;                 /* set by vcpu_check_pages(), vcpu_reopen() */
    uint64_t tdvps[TDXMOD_TDVPS_PAGES]; /* PAs, checked to be RAM */
} Vcpu;

/* td.c */
/* TDR(reg, mode): explicit operand @pa. */
uint64_t td_lock(TdxCall *c, Td *td, unsigned reg, uint64_t pa, LockMode mode);
/* TDR(implicit): the owner of @child; BUSY names operand TDR. */
uint64_t td_lock_owner(TdxCall *c, Td *td, const PamtPage *child, LockMode mode);
/*
 * STATE(leaf), from one table by leaf number: TD_FATAL, TD_KEYS_NOT_CONFIGURED,
 * TDCS_NOT_ALLOCATED, OPERAND_BUSY|OP_STATE, OP_STATE_INCORRECT.  Maps td->tdcs
 * and holds OP_STATE shared until td_unlock(), unless the TDR is exclusive.
 */
uint64_t td_check_state(TdxCall *c, Td *td);
/* S-EPT tree lock, freed by td_unlock(); BUSY|SEPT_TREE. */
uint64_t td_lock_sept(Td *td, LockMode mode);
/* Releases whatever is held; a zeroed or half-locked Td is fine. */
void td_unlock(TdxCall *c, Td *td);
/* Host address of TDCS page @role, or NULL (RAM was scribbled on). */
void *td_tdcs_page(TdxMod *m, const Td *td, enum tdcs_page role);
/* The TD's pages were written: control page and TDR. */
void td_written(TdxMod *m, const Td *td);
void td_add_children(TdxMod *m, Td *td, int64_t pages);
/* A fatal TD exit: TDR.FATAL := 1. */
void td_set_fatal(TdxMod *m, Td *td);
static inline uint64_t td_shared_mask(const Td *td)
{
    return td->tdcs->gpaw ? 1ull << 51 : 1ull << 47;
}

/* P4K(reg, TDVPR, mode). */
uint64_t vcpu_lock(TdxCall *c, Vcpu *v, unsigned reg, uint64_t pa, LockMode mode);
/* TDCX_NUM_INCORRECT unless all TDVPS pages are there; maps v->vmcs. */
uint64_t vcpu_check_pages(TdxCall *c, Vcpu *v);
/* VCPU_ASSOCIATED if with another LP; else associate with c->lp. */
uint64_t vcpu_associate(TdxCall *c, Td *td, Vcpu *v);
void vcpu_unlock(TdxCall *c, Vcpu *v);
void *vcpu_page(TdxMod *m, const Vcpu *v, enum tdvps_page role);
void vcpu_written(TdxMod *m, const Vcpu *v);    /* TDVPR and VMCS pages */

/*
 * tdxmod_td_exit(): handles of the TD and vCPU that LP c->lp runs (locks are
 * held since TDH.VP.ENTER).  False: RAM was scribbled on; the LP must leave.
 */
bool td_reopen(TdxCall *c, Td *td, Vcpu *v);

/* vp_enter.c: tdh_vp_enter(), its checks and the running record */
/*
 * The TD exit: epoch count, VCPU state and locks are released; run.active is
 * cleared last, by an atomic store with release order.
 */
void vp_run_end(TdxMod *m, unsigned lp);

/* mng*.c, vp*.c, mem*.c, mr.c: leaves */

/* TDX_MD_* of TD and VCPU scope: fields_td.c, fields_vcpu.c */
#endif
