/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX for TCG: the per-CPU state and what the files of this directory offer
 * each other.  SEAM (../seam) sits on top of it; nothing here knows of TDX.
 */
#ifndef TCG_VMX_H
#define TCG_VMX_H

#include "tcg/helper-tcg.h"
#include "vmx/vmcs.h"
#include "ops.h"

#define VMX_NO_PTR      UINT64_MAX      /* no current VMCS, no VMXON region */

/* What the last EPT walk that failed found out. */
typedef struct VmxFault {
    bool misconfig;             /* else a violation, or ... */
    bool pml_full;              /* ... no room in the page-modification log */
    bool suppress_ve;           /* bit 63 of the entry that ended the walk */
    uint64_t gpa;
    uint64_t qual;              /* bits 2:0 access, 5:3 entry's R, W, X */
} VmxFault;

/*
 * A layer that runs guests of its own through vmx_enter_guest(): it sees their
 * VM exits after the host state of the VMCS has been loaded.
 */
typedef struct VmxClient {
    void (*exited)(CPUX86State *env);
} VmxClient;

/* Monitor trap flag: where the VM exit stands. */
typedef enum {
    VMX_MTF_NONE,
    VMX_MTF_ARMED,              /* to come behind an instruction not yet begun */
    VMX_MTF_STEPPING,           /* the instruction runs; due at the next boundary */
    VMX_MTF_PENDING,            /* due at the next boundary */
} VmxMtf;

struct X86VMX {
    bool vmxon;                 /* in VMX operation */
    uint64_t vmxon_ptr;
    uint64_t vmcs_ptr;          /* current VMCS, or VMX_NO_PTR */
    Vmcs vmcs;                  /* cached copy of the current VMCS */

    /* What the last VM entry has checked (checks-known.c). */
    uint64_t known[ARRAY_SIZE(((Vmcs *)0)->field)];
    uint32_t known_flags;

    /* Valid in non-root operation (HF_GUEST_MASK). */
    Vmcs *cur;                  /* &vmcs, or the client's */
    const VmxClient *client;    /* NULL: an ordinary guest */
    uint32_t pin, cpu, cpu2, exit_ctl, entry_ctl;       /* copies of controls */
    uint32_t exception_bitmap;
    uint64_t pdpte[4];          /* with EPT and PAE paging */
    uint64_t eptp;
    uint64_t shared_mask;       /* GPA bit that selects shared_eptp; 0: none */
    uint64_t shared_eptp;
    uint64_t msr_bitmap, vapic_page;    /* physical addresses */
    uint64_t apic_access;       /* the APIC-access page, or VMX_NO_PTR */
    bool tpr_below;             /* VM entry found VTPR below the threshold */
    /* A write to the APIC-access page, to be emulated behind its operation */
    bool apic_write_pending;
    unsigned apic_write_offset;
    int apic_write_size;
    uint64_t tsc_multiplier;    /* 48-bit fraction; 1 << 48: unscaled */
    bool host_nmi_blocked;      /* across a guest with virtual NMIs */
    bool was_halted;            /* in HLT when the event in hand woke it */
    uint32_t entry_blocking;    /* by STI or MOV SS, as VM entry set it ... */
    uint64_t entry_rip;         /* ... for the instruction here */
    uint64_t debugctl;
    target_ulong dr6, dr7;      /* before the debug exception in hand */
    bool debug_begun;           /* dr6 and dr7 hold something */
    bool debug_exit;            /* the VM exit that follows reports a #DB */
    uint32_t pending_debug;     /* not yet raised, as in DR6: B0-B3, BS */
    VmxMtf mtf;
    bool pause_seen;            /* PAUSE-loop exiting: since VM entry, at CPL 0 */
    uint64_t pause_first, pause_last;   /* TSC: of the loop, of all */

    /* The event in delivery, as IDT-vectoring information; bit 31: valid. */
    uint32_t vect_info, vect_error, vect_insn_len;
    uint32_t inject_info;       /* of the event being injected by VM entry */

    VmxFault fault;
    uint64_t fault_gla;
    bool fault_gla_valid, fault_on_walk;

    /* Tag of what the non-root half of the TLB holds. */
    uint64_t tlb_eptp, tlb_tag, tlb_apic;
    bool keep_tlb;              /* CR updates of entry and exit do not flush */

    QEMUTimer *preemption_timer;
    bool preemption_expired;    /* set by the main loop too */
    int64_t preemption_deadline;        /* of the virtual clock */

    void *seam;                 /* the SEAM layer's per-CPU state */
};

/* The widest linear address of this CPU, whatever the paging mode. */
static inline int vmx_linear_bits(CPUX86State *env)
{
    return env->features[FEAT_7_0_ECX] & CPUID_7_0_ECX_LA57 ? 57 : 48;
}

#define VMX_TSC_UNSCALED (1ull << 48)

#define MMU_GUEST_ALL   0xff00  /* the MMU indexes of non-root operation */

static inline bool vmx_nonroot(CPUX86State *env)
{
    return env->vmx && (env->hflags & HF_GUEST_MASK);
}

/* insn.c: end an instruction that changed the whole state */
/* Result flags of a VMX instruction; set RIP behind it. */
void vmx_succeed(CPUX86State *env);
void vmx_fail_invalid(CPUX86State *env);
void vmx_fail_valid(CPUX86State *env, uint32_t error);
/* RIP += length of the instruction; ends STI and MOV SS blocking. */
void vmx_insn_done(CPUX86State *env, int len);

/* intercept.c */
/* Does exception @vector leave the guest (bitmap, page-fault error code)? */
bool vmx_exception_exits(CPUX86State *env, int vector, uint32_t error_code);
/* A VMX instruction leaves the guest, with its operands as exit information. */
G_NORETURN void vmx_exit_operands(CPUX86State *env, uint32_t reason, uintptr_t ra);

/* debug.c */
/* A #DB is being raised: exits if the bitmap says so, else completes DR6. */
void vmx_debug_exception(CPUX86State *env, uintptr_t ra);
/* Take over what is pending upon VM entry. */
void vmx_debug_entry(CPUX86State *env, const Vmcs *v);
/* Is it time to raise #DB for something that has been pending? */
bool vmx_debug_due(CPUX86State *env);
/* The field to save; @held: blocking by STI or MOV SS, or HLT. */
uint64_t vmx_debug_to_save(CPUX86State *env, bool held);
/* An instruction has ended, and a VM exit follows. */
void vmx_debug_insn_done(CPUX86State *env);

/* mtf.c: monitor trap flag */
static inline bool vmx_injects_mtf(uint32_t entry_info)
{
    return (entry_info & INTR_VALID) && (entry_info & INTR_TYPE) == INTR_TYPE_OTHER;
}
void vmx_mtf_entry(CPUX86State *env, const Vmcs *v);
void vmx_mtf_event(CPUX86State *env);   /* one is delivered to the guest */
bool vmx_mtf_due(CPUX86State *env);     /* the VM exit, at this boundary */
bool vmx_mtf_armed(CPUX86State *env);   /* wants vmx_mtf_step() */
void vmx_mtf_step(CPUX86State *env);
/* The next TB is one instruction, and the boundary behind it is looked at. */
void vmx_single_step(CPUX86State *env);

/* peek.c: the instruction at RIP, decoded anew for exit information */
typedef struct VmxInsn {
    uint8_t opcode[3];          /* one byte, 0F and the second, or 0F 38 and a third */
    uint8_t modrm;
    uint8_t rex;
    int reg, rm;                /* ModRM's fields with REX.R and REX.B */
    bool mem;                   /* the operand is in memory: */
    uint64_t ea;                /* its linear address */
    uint64_t disp;              /* displacement, or what RIP-relative comes to */
    int base, index;            /* registers, or -1 */
    uint8_t scale, seg;
    uint8_t addr_size, op_size; /* 0: 16 bits, 1: 32, 2: 64 */
} VmxInsn;
void vmx_peek_insn(CPUX86State *env, VmxInsn *insn);
/* The memory operand as in the VM-exit instruction-information field. */
uint32_t vmx_insn_info(const VmxInsn *insn);
/* Linear address of the memory operand of INS (@in) or OUTS at RIP. */
uint64_t vmx_string_address(CPUX86State *env, bool in);
/* Was the instruction in front of RIP a STI (not a load of SS)? */
bool vmx_after_sti(CPUX86State *env);
/* Is the one at RIP an IRET? */
bool vmx_at_iret(CPUX86State *env);

/* fields.c: VMCS fields */
/* Null: no such field here (its feature is not offered). */
const struct VmcsFieldInfo *vmcs_field_info(uint32_t encoding);
bool vmcs_field_read(const Vmcs *v, uint32_t encoding, uint64_t *value);
bool vmcs_field_writable(uint32_t encoding);    /* false: read-only data */
bool vmcs_field_write(Vmcs *v, uint32_t encoding, uint64_t value);
/* Copy the 2 KiB region between RAM and @v. */
void vmcs_load_region(CPUX86State *env, Vmcs *v, uint64_t pa);
void vmcs_store_region(CPUX86State *env, const Vmcs *v, uint64_t pa);

/* caps.c: capability MSRs */
typedef enum {
    VMX_CAP_PIN, VMX_CAP_PRIMARY, VMX_CAP_SECONDARY, VMX_CAP_EXIT, VMX_CAP_ENTRY,
} VmxCap;
/* Allowed-0 (must be 1) and allowed-1 (may be 1) masks, "true" ones. */
void vmx_cap_masks(VmxCap cap, uint32_t *must, uint32_t *may);
uint64_t vmx_cr0_fixed0(void);
uint64_t vmx_cr0_fixed1(void);
uint64_t vmx_cr4_fixed0(void);
uint64_t vmx_cr4_fixed1(CPUX86State *env);
#define VMX_EPT_VPID_CAP_EXEC_ONLY  (1ull << 0)
uint64_t vmx_ept_vpid_cap(void);
uint64_t vmx_misc(void);
/* MSRs 480H..491H and FEATURE_CONTROL; false: not one of these. */
bool vmx_cap_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val);

/* checks.c: SDM 27.2, 27.3; entry of a guest in @v */
/*
 * 0, or the VM-instruction error number (7: controls, 8: host state).  @known:
 * leave out what an earlier entry has checked.
 */
uint32_t vmx_check_controls(CPUX86State *env, const Vmcs *v, bool known);
uint32_t vmx_check_host(CPUX86State *env, const Vmcs *v);
/* False: VM-entry failure 33 with @qual. */
bool vmx_check_guest(CPUX86State *env, const Vmcs *v, bool known, uint64_t *qual);

/* checks-known.c */
/* Has @v passed the checks of the last entry, and has nothing of it changed? */
bool vmx_checks_known(CPUX86State *env, const Vmcs *v);
/* @v has passed all checks. */
void vmx_checks_passed(CPUX86State *env, const Vmcs *v);

/*
 * The bits of CR0 that VM entry and exit load: neither ET, CD and NW nor the
 * reserved ones (SDM 27.3.2.1, 28.5.1).
 */
#define VMX_CR0_LOADED  (CR0_PE_MASK | CR0_MP_MASK | CR0_EM_MASK | CR0_TS_MASK | \
                         CR0_NE_MASK | CR0_WP_MASK | CR0_AM_MASK | CR0_PG_MASK)

/* entry.c */
/* VMLAUNCH, VMRESUME: checks, then entry or failure; sets RIP in each case. */
void vmx_vmentry(CPUX86State *env, bool launch, int insn_len);
/*
 * Enter the guest of @v (checked by the caller) for @client.  Exits load the
 * host state in @v, then call client->exited().  @tag: as VPID, for the TLB.
 */
void vmx_enter_guest(CPUX86State *env, Vmcs *v, const VmxClient *client,
                     uint64_t tag);
/* CRs, EFER and the hidden flags that follow from them, with no TLB flush. */
void vmx_load_crs(CPUX86State *env, uint64_t cr0, uint64_t cr3, uint64_t cr4,
                  uint64_t efer);
/* MSR lists (SDM 27.4): 0, or the 1-based index of the entry that failed. */
uint32_t vmx_msr_load_list(CPUX86State *env, uint64_t pa, uint32_t count);

/* exit.c */
/*
 * VM exit: unwinds to the instruction at @ra, saves the guest, loads the host
 * and leaves to the main loop.  @reason: basic.  Instruction length and
 * IDT-vectoring fields are filled in.
 */
G_NORETURN void vmx_exit(CPUX86State *env, uint32_t reason, uint64_t qual,
                         uintptr_t ra);
/* The same with interruption information (exceptions, NMI, interrupts). */
G_NORETURN void vmx_exit_event(CPUX86State *env, uint32_t reason, uint64_t qual,
                               uint32_t info, uint32_t error, uintptr_t ra);
/* Trap-like: after the instruction at @ra, whose RIP has moved on already. */
G_NORETURN void vmx_exit_trap(CPUX86State *env, uint32_t reason, uint64_t qual,
                              uintptr_t ra);
/* Load the host state of @v; non-root operation ends. */
void vmx_load_host(CPUX86State *env, const Vmcs *v);

/* events.c: interrupts, windows, NMIs, event injection */
void vmx_inject(CPUX86State *env, uint32_t info, uint32_t error,
                uint32_t insn_len);
void vmx_preemption_timer_cb(void *env);
/* Start the preemption timer if the guest of vmx->cur uses it; value left. */
void vmx_preemption_timer_start(CPUX86State *env);
uint32_t vmx_preemption_timer_stop(CPUX86State *env);
/* Ticks of the time-stamp counter a second, measured once. */
uint64_t vmx_tsc_hz(void);
/* Has the instruction at RIP, which faults, ended blocking by NMI? */
bool vmx_iret_unblocks_nmi(CPUX86State *env);
/* Set or clear CPU_INTERRUPT_VIRQ as windows and virtual interrupts ask. */
void vmx_update_pending(CPUX86State *env);

/* ept.c */
/*
 * Translate @gpa through the EPT of the running guest.  False: vmx->fault says
 * why.  @page_size: 4 KiB, 2 MiB or 1 GiB.
 */
bool vmx_ept_walk(CPUX86State *env, uint64_t gpa, MMUAccessType access,
                  uint64_t *pa, int *prot, int *page_size);
bool vmx_eptp_valid(CPUX86State *env, uint64_t eptp);
void vmx_invept(CPUX86State *env, uint32_t type, uint64_t eptp);
/* VM exit 48 or 49 from vmx->fault. */
G_NORETURN void vmx_ept_exit(CPUX86State *env, uintptr_t ra);
/* Forget everything that the non-root TLB holds, on this CPU. */
void vmx_flush_guest_tlb(CPUX86State *env);

/* pdpte.c */
bool vmx_pdpte_valid(CPUX86State *env, uint64_t pdpte);
void vmx_pdptes_entry(CPUX86State *env, const Vmcs *v);
void vmx_pdptes_save(CPUX86State *env, Vmcs *v);
void vmx_pdptes_load(CPUX86State *env, uint64_t cr3, uintptr_t ra);

/* apicv.c: virtual APIC page, virtual-interrupt delivery, posted interrupts */
/* TPR shadow: CR8 in terms of VTPR. */
uint64_t vmx_read_vtpr_cr8(CPUX86State *env);
void vmx_write_vtpr(CPUX86State *env, uint8_t tpr, uintptr_t ra);   /* may exit 43 */
/* VM entry: PPR and pending virtual interrupts, or the TPR threshold. */
void vmx_apicv_entry(CPUX86State *env);
/* What follows upon the pending write to the APIC-access page; may exit. */
void vmx_apic_write_emulation(CPUX86State *env);
bool vmx_vintr_pending(CPUX86State *env);       /* RVI[7:4] > VPPR[7:4] */
uint8_t vmx_vintr_deliver(CPUX86State *env);    /* vector; updates VISR, SVI, RVI */
/* Posted-interrupt notification: PIR to VIRR; the LAPIC's EOI is done too. */
void vmx_posted_interrupt(CPUX86State *env);
/* x2APIC MSRs in a guest: 1 handled, 0 not virtualised, may exit. */
bool vmx_x2apic_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val);
bool vmx_x2apic_wrmsr(CPUX86State *env, uint32_t msr, uint64_t val, uintptr_t ra);

/* msr.c */
/* The bits of IA32_EFER and IA32_DEBUGCTL that are not reserved on this CPU. */
uint64_t vmx_efer_known(CPUX86State *env);
uint64_t vmx_debugctl_known(CPUX86State *env);
/* Read or write an MSR as RDMSR/WRMSR in root operation; false: #GP. */
bool vmx_msr_read(CPUX86State *env, uint32_t msr, uint64_t *val);
bool vmx_msr_write(CPUX86State *env, uint32_t msr, uint64_t val);

/*
 * The SEAM layer hooks in here (NULL: no SEAM).  All return false for "not
 * ours".
 */
typedef struct VmxSeamOps {
    void (*realize)(X86CPU *cpu);
    void (*reset)(CPUX86State *env);
    /* SEAMCALL, TDCALL, SEAMRET, SEAMOPS; CPL and mode are not yet checked */
    void (*insn)(CPUX86State *env, int op, int len, uintptr_t ra);
    bool (*rdmsr)(CPUX86State *env, uint32_t msr, uint64_t *val);   /* all read-only */
    uint64_t keyid_mask;        /* physical address bits that are a KeyID */
} VmxSeamOps;
extern const VmxSeamOps *vmx_seam_ops;

#endif
