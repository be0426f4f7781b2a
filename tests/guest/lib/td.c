/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A TD from MNG.CREATE to RECLAIM, and talk with its payload. */
#include "seam.h"

extern char td_payload[];

static void must(u64 status, const char *what)
{
    if (status) {
        panic("%s: %llx (RCX %llx RDX %llx)", what, (long long)status,
              (long long)tdh_out.rcx, (long long)tdh_out.rdx);
    }
}

void td_make_tdr(Td *td, u64 hkid)
{
    memset(td, 0, sizeof(*td));
    td->hkid = hkid;
    td->num_tdcs = sys_rd(TDX_MD_TDCS_BASE_SIZE) / PAGE_SIZE;
    td->num_tdcx = sys_rd(TDX_MD_TDVPS_BASE_SIZE) / PAGE_SIZE - 1;
    td->params = page_alloc();
    td->tdr = seam_page();
    must(tdh_2(TDH_MNG_CREATE, td->tdr, hkid), "TDH.MNG.CREATE");
    must(tdh_1(TDH_MNG_KEY_CONFIG, td->tdr), "TDH.MNG.KEY.CONFIG");
}

void td_add_tdcs(Td *td)
{
    for (u32 i = 0; i < td->num_tdcs; i++) {
        td->tdcs[i] = seam_page();
        must(tdh_2(TDH_MNG_ADDCX, td->tdcs[i], td->tdr), "TDH.MNG.ADDCX");
    }
}

/* As KVM fills it; no CPUID bits. */
void td_default_params(Td *td)
{
    memset(td->params, 0, sizeof(*td->params));
    td->params->attributes = TDX_ATTR_SEPT_VE_DISABLE;
    td->params->xfam = sys_rd(TDX_MD_XFAM_FIXED1) | 3;
    td->params->max_vcpus = TD_MAX_VCPUS;
    td->params->eptp_controls = 6 | 3 << 3;
    td->params->config_flags = TDX_CONFIG_NO_RBP_MOD;
    td->params->tsc_frequency = 40;             /* 1 GHz */
}

void td_make_vcpu(Td *td, u64 rcx)
{
    TdVcpu *v = &td->vcpu[td->num_vcpus];

    v->tdvpr = seam_page();
    must(tdh_2(TDH_VP_CREATE, v->tdvpr, td->tdr), "TDH.VP.CREATE");
    for (u32 i = 0; i < td->num_tdcx; i++) {
        v->tdcx[i] = seam_page();
        must(tdh_2(TDH_VP_ADDCX, v->tdcx[i], v->tdvpr), "TDH.VP.ADDCX");
    }
    must(tdh_3(TDX_RAX(TDH_VP_INIT, 1), v->tdvpr, rcx, td->num_vcpus), "TDH.VP.INIT");
    td->num_vcpus++;
}

void td_add_sept(Td *td, u64 gpa, int level)
{
    u64 page = seam_page();

    must(tdh_3(TDH_MEM_SEPT_ADD, (gpa & -TDX_LEVEL_SIZE(level)) | level, td->tdr, page),
         "TDH.MEM.SEPT.ADD");
    td->sept[td->num_sept++] = page;
}

void td_add_payload(Td *td)
{
    for (int level = 3; level > 0; level--) {
        td_add_sept(td, TD_PAYLOAD_GPA, level);
    }
    for (u32 i = 0; i < 5; i++) {
        td->payload[i] = seam_page();
        must(tdh4(TDH_MEM_PAGE_ADD, TD_PAYLOAD_GPA + i * PAGE_SIZE, td->tdr,
                  td->payload[i], (u64)td_payload + i * PAGE_SIZE),
             "TDH.MEM.PAGE.ADD");
    }
}

void td_build(Td *td, u64 hkid, u32 vcpus)
{
    td_make_tdr(td, hkid);
    td_add_tdcs(td);
    td_default_params(td);
    must(tdh_2(TDH_MNG_INIT, td->tdr, (u64)td->params), "TDH.MNG.INIT");
    while (td->num_vcpus < vcpus) {
        td_make_vcpu(td, 0x1000 + td->num_vcpus);
    }
    td_add_payload(td);
    must(tdh_1(TDH_MR_FINALIZE, td->tdr), "TDH.MR.FINALIZE");
}

static void reclaim(u64 page)
{
    must(tdh_1(TDH_PHYMEM_PAGE_RECLAIM, page), "TDH.PHYMEM.PAGE.RECLAIM");
}

void td_teardown(Td *td)
{
    for (u32 i = 0; i < td->num_vcpus; i++) {
        u64 st = tdh_1(TDH_VP_FLUSH, td->vcpu[i].tdvpr);

        if (TDX_STATUS_CODE(st) != TDX_VCPU_NOT_ASSOCIATED) {
            must(st, "TDH.VP.FLUSH");
        }
    }
    must(tdh_1(TDH_MNG_VPFLUSHDONE, td->tdr), "TDH.MNG.VPFLUSHDONE");
    must(tdh_1(TDH_PHYMEM_CACHE_WB, 0), "TDH.PHYMEM.CACHE.WB");
    must(tdh_1(TDH_MNG_KEY_FREEID, td->tdr), "TDH.MNG.KEY.FREEID");
}

void td_reclaim(Td *td)
{
    for (u32 i = 0; i < ARRAY_SIZE(td->payload); i++) {
        if (td->payload[i]) {
            reclaim(td->payload[i]);
        }
    }
    for (u32 i = 0; i < td->num_sept; i++) {
        reclaim(td->sept[i]);
    }
    for (u32 i = 0; i < td->num_vcpus; i++) {
        for (u32 j = 0; j < td->num_tdcx; j++) {
            reclaim(td->vcpu[i].tdcx[j]);
        }
        reclaim(td->vcpu[i].tdvpr);
    }
    for (u32 i = 0; i < td->num_tdcs; i++) {
        reclaim(td->tdcs[i]);
    }
    reclaim(td->tdr);
}

void td_destroy(Td *td)
{
    td_teardown(td);
    td_reclaim(td);
}

/* The shared GPAs of the first 512 MiB are RAM; the rest is not present. */
void td_map_shared(Td *td)
{
    u64 *root = page_alloc(), *pdpt = page_alloc(), *pd = page_alloc();

    root[256] = (u64)pdpt | EPT_RWX;
    pdpt[0] = (u64)pd | EPT_RWX;
    for (u64 i = 0; i < 512; i++) {
        pd[i] = i < 256 ? i << 21 | EPT_R | EPT_W | EPT_WB | EPT_LARGE : BIT(63);
    }
    for (u32 i = 0; i < 512; i++) {
        root[i] = root[i] ? root[i] : BIT(63);
        pdpt[i] = pdpt[i] ? pdpt[i] : BIT(63);
    }
    td->shared_ept = root;
    for (u32 i = 0; i < td->num_vcpus; i++) {
        must(tdh4(TDH_VP_WR, td->vcpu[i].tdvpr, TDX_MD_VMCS(VMCS_SHARED_EPT_POINTER, 3),
                  (u64)root, ~0ull), "TDH.VP.WR of the shared EPT pointer");
    }
}

u64 td_enter(Td *td, u32 vcpu)
{
    u32 r;

    td->regs.rax = TDH_VP_ENTER;
    td->regs.rcx = td->vcpu[vcpu].tdvpr;
    r = seamcall_regs(&td->regs);
    if (r) {
        panic("TDH.VP.ENTER: result %x", r);
    }
    return td->regs.rax;
}

void td_start_op(Td *td, u32 op, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4)
{
    td->regs = (TdxRegs){
        .r10 = op, .r11 = a0, .r12 = a1, .r13 = a2, .r14 = a3, .r15 = a4,
        .rbx = 0xb0b0, .rsi = 0x5151, .rbp = 0xbbbb,
    };
}

u64 td_finish_op(Td *td, u32 vcpu, TdReport *r)
{
    u64 st = td_enter(td, vcpu);
    TdxRegs *g = &td->regs;

    memset(r, 0, sizeof(*r));
    r->vector = NO_FAULT;
    if (st == VMX_EXIT_TDCALL && g->r10 == TD_REPORT_MAGIC) {
        *r = (TdReport){
            .out = { g->r11, g->r12, g->r13, g->r14, g->r15, g->rbx, g->rsi },
            .vector = g->rdi, .error = g->rdx, .cr2 = g->r8, .rip = g->r9,
        };
    }
    return st;
}

TdReport td_op(Td *td, u32 vcpu, u32 op, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4)
{
    TdReport r;
    u64 st;

    td_start_op(td, op, a0, a1, a2, a3, a4);
    st = td_finish_op(td, vcpu, &r);
    if (st != VMX_EXIT_TDCALL || td->regs.r10 != TD_REPORT_MAGIC) {
        panic("operation %u of the payload: exit %llx RCX %llx RDX %llx R8 %llx R9 %llx",
              op, (long long)st, (long long)td->regs.rcx, (long long)td->regs.rdx,
              (long long)td->regs.r8, (long long)td->regs.r9);
    }
    return r;
}

u64 td_tdcall(Td *td, TdReport *r, u64 rax, u64 rcx, u64 rdx, u64 r8, u64 r9)
{
    *r = td_op(td, 0, OP_TDCALL, rax, rcx, rdx, r8, r9);
    return r->out[0];
}
