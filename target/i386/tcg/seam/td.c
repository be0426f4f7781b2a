/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entering and leaving a TD.  The TD runs as a guest of the VMX layer, with
 * the VMCS of its TDVPS; what VM entry and exit do not switch is moved here,
 * between the CPU, the TDVPS pages and SeamL1.
 */
#include "qemu/osdep.h"
#include "qemu/log.h"
#include "cpu.h"
#include "tdx/tdvps.h"
#include "internal.h"

#define XMM_IN_MASK(i)          (1ull << (16 + (i)))
#define TAG_TD                  (1ull << 63)    /* no VPID has this bit */

/*
 * VM entries without an instruction of the TD between them: an event in
 * delivery may exit and be delivered again a few times, but not forever.
 */
#define MAX_ENTRIES             16

/* L1 sees this if the module lets a TD loop without progress. */
#define STATUS_ENTRY_FAILED \
    (0x6000000200000000ull | VMX_EXIT_ENTRY_FAILURE | VMX_EXIT_BAD_GUEST)

/* IA32_DEBUGCTL bits that survive: BTF and the three freeze and PMI bits. */
#define DEBUGCTL_KEPT           0x7002ull

#define EFLAGS_NOT_CC \
    (~(CC_O | CC_S | CC_Z | CC_A | CC_P | CC_C | DF_MASK))

static void td_exited(CPUX86State *env);
static const VmxClient seam_client = { .exited = td_exited };

/* The TDVPS pages of the vCPU, mapped. */
typedef struct TdvpsMap {
    struct tdvps_guest *guest;
    Vmcs *vmcs;
    void *xbuff;
} TdvpsMap;

static bool tdvps_map(const SeamCpu *s, TdvpsMap *m)
{
    const uint64_t *pa = s->enter.tdvps;

    m->guest = seam_map(pa[TDVPS_TDVPR] + TDVPS_GUEST_OFFSET,
                        sizeof(*m->guest));
    m->vmcs = seam_map(pa[TDVPS_VMCS], sizeof(*m->vmcs));
    m->xbuff = seam_map(pa[TDVPS_XBUFF], TARGET_PAGE_SIZE);
    return m->guest && m->vmcs && m->xbuff;
}

static void tdvps_written(const SeamCpu *s)
{
    const uint64_t *pa = s->enter.tdvps;

    seam_written(pa[TDVPS_TDVPR] + TDVPS_GUEST_OFFSET,
                 sizeof(struct tdvps_guest));
    seam_written(pa[TDVPS_VMCS], sizeof(Vmcs));
    seam_written(pa[TDVPS_XBUFF], TARGET_PAGE_SIZE);
}

/* --- L1 ----------------------------------------------------------------- */

static void l1_save(CPUX86State *env, SeamL1 *l1)
{
    memcpy(l1->segs, env->segs, sizeof(l1->segs));
    l1->ldt = env->ldt;
    l1->tr = env->tr;
    l1->gdt = env->gdt;
    l1->idt = env->idt;
    l1->eflags = cpu_compute_eflags(env);
    l1->debugctl = env->vmx->debugctl;
    l1->xcr0 = env->xcr0;
    l1->xss = env->xss;
    l1->spec_ctrl = env->spec_ctrl;
    l1->pkru = env->pkru;
}

/* So that an ordinary VM exit comes back to L1, behind its SEAMCALL. */
static void l1_to_host_area(CPUX86State *env, Vmcs *v)
{
    for (int i = R_ES; i <= R_GS; i++) {
        vmcs_write(v, VMCS_HOST_ES_SEL + 2 * i, env->segs[i].selector);
    }
    vmcs_write(v, VMCS_HOST_TR_SEL, env->tr.selector);
    vmcs_write(v, VMCS_HOST_TR_BASE, env->tr.base);
    vmcs_write(v, VMCS_HOST_FS_BASE, env->segs[R_FS].base);
    vmcs_write(v, VMCS_HOST_GS_BASE, env->segs[R_GS].base);
    vmcs_write(v, VMCS_HOST_GDTR_BASE, env->gdt.base);
    vmcs_write(v, VMCS_HOST_IDTR_BASE, env->idt.base);
    vmcs_write(v, VMCS_HOST_CR0, env->cr[0]);
    vmcs_write(v, VMCS_HOST_CR3, env->cr[3]);
    vmcs_write(v, VMCS_HOST_CR4, env->cr[4]);
    vmcs_write(v, VMCS_HOST_EFER, env->efer);
    vmcs_write(v, VMCS_HOST_PAT, env->pat);
    vmcs_write(v, VMCS_HOST_SYSENTER_CS, env->sysenter_cs);
    vmcs_write(v, VMCS_HOST_SYSENTER_ESP, env->sysenter_esp);
    vmcs_write(v, VMCS_HOST_SYSENTER_EIP, env->sysenter_eip);
    vmcs_write(v, VMCS_HOST_RSP, env->regs[R_ESP]);
    vmcs_write(v, VMCS_HOST_RIP, env->eip);
}

/* x87, SSE and AVX as after reset, but the XMM registers of @xmm_kept. */
static void init_xstate(CPUX86State *env, uint64_t xmm_kept)
{
    env->fpstt = 0;
    env->fpus = 0;
    env->fpop = 0;
    env->fpip = 0;
    env->fpdp = 0;
    memset(env->fptags, 1, sizeof(env->fptags));
    memset(env->fpregs, 0, sizeof(env->fpregs));
    cpu_set_fpuc(env, 0x37f);
    cpu_set_mxcsr(env, 0x1f80);
    for (int i = 0; i < CPU_NB_REGS; i++) {
        ZMMReg *r = &env->xmm_regs[i];
        int from = i < 16 && (xmm_kept & XMM_IN_MASK(i)) ? 2 : 0;

        for (int q = from; q < 8; q++) {
            r->ZMM_Q(q) = 0;
        }
    }
}

static void l1_restore_segments(CPUX86State *env, const SeamL1 *l1)
{
    for (int i = R_ES; i <= R_GS; i++) {
        const SegmentCache *c = &l1->segs[i];

        cpu_x86_load_seg_cache(env, i, c->selector, c->base, c->limit,
                               c->flags);
    }
    env->ldt = l1->ldt;
    env->tr = l1->tr;
    env->gdt = l1->gdt;
    env->idt = l1->idt;
}

/*
 * Complete TDH.VP.ENTER: @s->gpr has the results.  State that the TD used is
 * initialised as the module does it; XCR0, XSS and PKRU are L1's again, which
 * the module may leave either way.
 */
static void l1_resume(CPUX86State *env, SeamCpu *s)
{
    const SeamL1 *l1 = &s->l1;
    bool tdvmcall = s->gpr[R_EAX] == VMX_EXIT_TDCALL;

    for (int i = 0; i < 16; i++) {
        if (i != R_ESP) {
            env->regs[i] = s->gpr[i];
        }
    }
    l1_restore_segments(env, l1);
    cpu_load_eflags(env, l1->eflags, EFLAGS_NOT_CC);
    env->vmx->debugctl = l1->debugctl & DEBUGCTL_KEPT;
    env->spec_ctrl = l1->spec_ctrl;
    env->xcr0 = l1->xcr0;
    env->xss = l1->xss;
    env->pkru = l1->pkru;
    init_xstate(env, tdvmcall ? s->gpr[R_ECX] : 0);
    cpu_sync_bndcs_hflags(env);
    cpu_sync_avx_hflag(env);

    env->cr[2] = 0;
    cpu_x86_update_dr7(env, DR7_FIXED_1);
    memset(env->dr, 0, 4 * sizeof(env->dr[0]));
    env->dr[6] = DR6_FIXED_1;
    env->star = 0;
    env->lstar = 0;
    env->fmask = 0x20200;
    env->kernelgsbase = 0;
    env->tsc_aux = 0;
    env->vmx->shared_mask = 0;
    s->in_td = false;
}

/* --- the TD -------------------------------------------------------------- */

/*
 * What the VMCS says about physical memory and about the way back to L1 is not
 * believed: it lies in RAM, where L1 and its devices can write.
 */
static void td_fix_controls(SeamCpu *s)
{
    const uint64_t *pa = s->enter.tdvps;
    Vmcs *v = &s->vmcs;
    static const uint32_t zero[] = {
        VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_LOAD_COUNT,
        VMCS_ENTRY_MSR_LOAD_COUNT,
    };

    for (int i = 0; i < ARRAY_SIZE(zero); i++) {
        vmcs_write(v, zero[i], 0);
    }
    vmcs_write(v, VMCS_VIRTUAL_APIC_ADDR, pa[TDVPS_VAPIC]);
    vmcs_write(v, VMCS_MSR_BITMAP, pa[TDVPS_MSR_BITMAP]);
    vmcs_write(v, VMCS_PRIMARY_CONTROLS,
               (uint32_t)vmcs_read(v, VMCS_PRIMARY_CONTROLS) | CPU_SECONDARY);
    vmcs_write(v, VMCS_SECONDARY_CONTROLS,
               (uint32_t)vmcs_read(v, VMCS_SECONDARY_CONTROLS) | CPU2_EPT);
    vmcs_write(v, VMCS_EXIT_CONTROLS,
               ((uint32_t)vmcs_read(v, VMCS_EXIT_CONTROLS) &
                ~EXIT_LOAD_PERF_GLOBAL) |
               EXIT_HOST_64 | EXIT_LOAD_EFER | EXIT_LOAD_PAT | EXIT_ACK_INTR);
}

static void td_load_guest(CPUX86State *env, const struct tdvps_guest *g)
{
    for (int i = 0; i < 16; i++) {
        if (i != R_ESP) {
            env->regs[i] = g->gpr[i];
        }
    }
    env->cr[2] = g->cr2;
    cpu_x86_update_dr7(env, DR7_FIXED_1);   /* L1's breakpoints end */
    for (int i = 0; i < 4; i++) {
        env->dr[i] = g->dr[i];
    }
    env->dr[6] = g->dr6;
    env->xcr0 = (g->xcr0 | XSTATE_FP_MASK) & (
        (uint64_t)env->features[FEAT_XSAVE_XCR0_HI] << 32 |
        env->features[FEAT_XSAVE_XCR0_LO]);
    env->xss = g->xss;
    env->star = g->star;
    env->lstar = g->lstar;
    env->fmask = g->fmask;
    env->kernelgsbase = g->kernel_gs_base;
    env->tsc_aux = g->tsc_aux;
    env->spec_ctrl = g->spec_ctrl;
}

static void td_store_guest(CPUX86State *env, struct tdvps_guest *g)
{
    for (int i = 0; i < 16; i++) {
        if (i != R_ESP) {
            g->gpr[i] = env->regs[i];
        }
    }
    g->cr2 = env->cr[2];
    for (int i = 0; i < 4; i++) {
        g->dr[i] = env->dr[i];
    }
    g->dr6 = env->dr[6];
    g->xcr0 = env->xcr0;
    g->xss = env->xss;
    g->star = env->star;
    g->lstar = env->lstar;
    g->fmask = env->fmask;
    g->kernel_gs_base = env->kernelgsbase;
    g->tsc_aux = env->tsc_aux;
    g->spec_ctrl = env->spec_ctrl;
}

/* @host_xmm: registers whose lower 128 bits L1 answers a TDVMCALL with. */
static void td_load_xbuff(CPUX86State *env, const void *xbuff,
                          uint16_t host_xmm)
{
    uint64_t xmm[16][2];

    for (int i = 0; i < 16; i++) {
        xmm[i][0] = env->xmm_regs[i].ZMM_Q(0);
        xmm[i][1] = env->xmm_regs[i].ZMM_Q(1);
    }
    x86_cpu_xrstor_all_areas(env_archcpu(env), xbuff, TARGET_PAGE_SIZE);
    for (int i = 0; i < 16; i++) {
        if (host_xmm >> i & 1) {
            env->xmm_regs[i].ZMM_Q(0) = xmm[i][0];
            env->xmm_regs[i].ZMM_Q(1) = xmm[i][1];
        }
    }
    /* the softfloat state follows these two */
    cpu_set_fpuc(env, env->fpuc);
    cpu_set_mxcsr(env, env->mxcsr & 0xffff);
}

/* The VM entry failed on the TD's state: what the module finds in the VMCS. */
static void td_entry_failed(SeamCpu *s, TdvpsMap *m, uint64_t qual)
{
    vmcs_write(&s->vmcs, VMCS_EXIT_REASON,
               VMX_EXIT_ENTRY_FAILURE | VMX_EXIT_BAD_GUEST);
    vmcs_write(&s->vmcs, VMCS_EXIT_QUALIFICATION, qual);
    *m->vmcs = s->vmcs;
    seam_written(s->enter.tdvps[TDVPS_VMCS], sizeof(Vmcs));
}

/* @env holds L1.  False: the state in the TDVPS, @m, cannot be entered. */
static bool td_load(CPUX86State *env, SeamCpu *s, TdvpsMap *m, bool with_xbuff)
{
    X86VMX *vmx = env->vmx;
    uint64_t qual = 0;

    s->vmcs = *m->vmcs;
    td_fix_controls(s);
    if (!vmx_eptp_valid(env, vmcs_read(&s->vmcs, VMCS_EPT_POINTER)) ||
        !vmx_check_guest(env, &s->vmcs, false, &qual)) {
        qemu_log_mask(LOG_GUEST_ERROR, "seam: the state of TDVPR 0x%" PRIx64
                      " fails VM entry, qualification %" PRIu64 "\n",
                      s->enter.tdvps[TDVPS_TDVPR], qual);
        td_entry_failed(s, m, qual);
        return false;
    }
    l1_to_host_area(env, &s->vmcs);
    td_load_guest(env, m->guest);
    if (with_xbuff) {
        td_load_xbuff(env, m->xbuff, s->enter.host_xmm);
    }
    vmx->shared_mask = s->enter.shared_mask;
    /* the field is an address only: the walk is as long as the secure one */
    vmx->shared_eptp = (vmcs_read(&s->vmcs, VMCS_SHARED_EPT_POINTER) &
                        0x000ffffffffff000ull) |
                       (vmcs_read(&s->vmcs, VMCS_EPT_POINTER) & 0xfff);
    if (s->enter.flush) {
        vmx_flush_guest_tlb(env);
    }
    /* Its load of CR4 sees the new XCR0; it may leave by an exit or a HLT. */
    vmx_enter_guest(env, &s->vmcs, &seam_client,
                    TAG_TD | s->enter.tdvps[TDVPS_TDVPR]);
    return true;
}

static bool suppress_ve(CPUX86State *env, const SeamCpu *s)
{
    return vmcs_read(&s->vmcs, VMCS_EXIT_REASON) == VMX_EXIT_EPT_VIOLATION &&
           env->vmx->fault.suppress_ve;
}

/* Neither the TD nor the module gets anywhere: end TDH.VP.ENTER. */
static void give_up(SeamCpu *s)
{
    qemu_log_mask(LOG_GUEST_ERROR, "seam: no progress in the TD of TDVPR 0x%"
                  PRIx64 "\n", s->enter.tdvps[TDVPS_TDVPR]);
    tdxmod_lp_reset(seam.mod, s->lp);
    s->gpr[R_EAX] = STATUS_ENTRY_FAILED;
}

/* Enter the TD until that succeeds or the module completes TDH.VP.ENTER. */
static void td_run(CPUX86State *env, SeamCpu *s, TdxAction action,
                   bool with_xbuff)
{
    TdvpsMap m;

    while (action == TDX_ENTER_TD) {
        if (s->entries++ >= MAX_ENTRIES || !tdvps_map(s, &m)) {
            give_up(s);
            break;
        }
        if (td_load(env, s, &m, with_xbuff)) {
            return;
        }
        action = tdxmod_td_exit(seam.mod, s->lp, false, s->gpr, &s->enter);
    }
    l1_resume(env, s);
}

/* VM exit of the TD; the host state, which is L1's, has been loaded. */
static void td_exited(CPUX86State *env)
{
    SeamCpu *s = seam_cpu(env);
    TdxAction action;
    TdvpsMap m;

    env->vmx->shared_mask = 0;
    if (tdvps_map(s, &m)) {
        td_store_guest(env, m.guest);
        x86_cpu_xsave_all_areas(env_archcpu(env), m.xbuff, TARGET_PAGE_SIZE);
        *m.vmcs = s->vmcs;
        tdvps_written(s);
    }
    /* An exit with no event in delivery: an instruction ran, or tried to. */
    if (!(vmcs_read(&s->vmcs, VMCS_IDT_VECTORING_INFO) & INTR_VALID)) {
        s->entries = 0;
    }
    action = tdxmod_td_exit(seam.mod, s->lp, suppress_ve(env, s), s->gpr,
                            &s->enter);
    qemu_log_mask(CPU_LOG_INT, "seam: CPU %u %s, RAX 0x%" PRIx64 "\n", s->lp,
                  action == TDX_ENTER_TD ? "resumes the TD" : "returns to the host",
                  s->gpr[R_EAX]);
    td_run(env, s, action, s->enter.first);
}

void seam_td_enter(CPUX86State *env, SeamCpu *s)
{
    l1_save(env, &s->l1);
    s->in_td = true;
    s->entries = 0;
    td_run(env, s, TDX_ENTER_TD, true);
}
