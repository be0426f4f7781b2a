/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A TD that the test plays the processor for. */
#include "guest.h"

uint64_t guest_vmcs(Guest *g, uint32_t field)
{
    return vmcs_read(g->vmcs, field);
}

void guest_set_vmcs(Guest *g, uint32_t field, uint64_t value)
{
    vmcs_write(g->vmcs, field, value);
}

void guest_build(Guest *g, Machine *mc, unsigned vcpus,
                 void (*edit)(TdxMod *m, struct td_params *p))
{
    memset(g, 0, sizeof(*g));
    g->mc = mc;
    life_create(&g->l, mc, LIFE_HKID);
    life_key_config(&g->l);
    life_add_tdcs(&g->l);
    if (edit) {
        edit(mc->mod, life_params(&g->l));
    }
    life_mng_init(&g->l);
    for (unsigned i = 0; i < vcpus; i++) {
        life_add_vcpu(&g->l, 0);
    }
    g->vp = life_tdvpr(&g->l, 0);
    g->tdcs = life_tdcs(&g->l);
    g->regs = machine_ptr(mc, g->l.vcpu[0].tdvpr + TDVPS_GUEST_OFFSET, sizeof(*g->regs));
    g->vmcs = machine_ptr(mc, g->vp->tdcx_pa[TDVPS_VMCS - 1], sizeof(*g->vmcs));
}

void guest_enter(Guest *g)
{
    g->host[TDX_RAX] = TDH_VP_ENTER;
    g->host[TDX_RCX] = g->l.vcpu[0].tdvpr;
    seamcall_gpr(g->mc, 0, g->host);
    g_assert_cmpint(g->mc->action, ==, TDX_ENTER_TD);
}

void guest_run(Guest *g)
{
    life_finalize(&g->l);
    for (unsigned r = 0; r < 16; r++) {
        g->host[r] = 0x1111111111111111ull * r;
    }
    guest_enter(g);
    guest_set_vmcs(g, VMCS_GUEST_EFER, 0xd01);
    guest_set_vmcs(g, VMCS_GUEST_CR0, 0x80010021);
    guest_set_vmcs(g, VMCS_GUEST_CR4, 0x2060);
    guest_set_vmcs(g, VMCS_GUEST_CS_AR, 0xa09b);
    guest_set_vmcs(g, VMCS_GUEST_RIP, GUEST_RIP);
}

void guest_start(Guest *g, void (*edit)(TdxMod *m, struct td_params *p))
{
    Machine *mc = machine_new(2, 1);

    machine_ready(mc);
    guest_build(g, mc, 1, edit);
    guest_run(g);
}

void guest_end(Guest *g)
{
    if (g->vp->state == VCPU_ACTIVE) {
        vp_run_end(g->mc->mod, 0);
    }
    machine_check(g->mc);
    life_release_hkid(&g->l);
    machine_free(g->mc);
}

bool guest_exit_sve(Guest *g, uint32_t reason, uint64_t qual, bool suppress_ve)
{
    guest_set_vmcs(g, VMCS_EXIT_REASON, reason);
    guest_set_vmcs(g, VMCS_EXIT_QUALIFICATION, qual);
    guest_set_vmcs(g, VMCS_EXIT_INSN_LEN, 3);
    guest_set_vmcs(g, VMCS_ENTRY_INTR_INFO, 0);     /* the processor clears bit 31 */
    return machine_td_exit(g->mc, 0, suppress_ve, g->host) == TDX_ENTER_TD;
}

bool guest_exit(Guest *g, uint32_t reason, uint64_t qual)
{
    return guest_exit_sve(g, reason, qual, true);
}

void guest_expect_event(Guest *g, uint32_t reason, uint64_t qual, uint32_t event)
{
    uint64_t rip = guest_vmcs(g, VMCS_GUEST_RIP);

    g_assert_true(guest_exit(g, reason, qual));
    g_assert_cmphex(guest_vmcs(g, VMCS_ENTRY_INTR_INFO), ==, event);
    g_assert_cmphex(guest_vmcs(g, VMCS_GUEST_RIP), ==, rip);
}

void guest_expect_done(Guest *g, uint32_t reason, uint64_t qual)
{
    uint64_t rip = guest_vmcs(g, VMCS_GUEST_RIP);

    g_assert_true(guest_exit(g, reason, qual));
    g_assert_cmphex(guest_vmcs(g, VMCS_ENTRY_INTR_INFO), ==, EVENT_NONE);
    g_assert_cmphex(guest_vmcs(g, VMCS_GUEST_RIP), ==, rip + 3);
}

uint64_t guest_tdcall(Guest *g, uint64_t rax)
{
    g->regs->gpr[TDX_RAX] = rax;
    guest_expect_done(g, VMX_EXIT_TDCALL, 0);
    return g->regs->gpr[TDX_RAX];
}

void guest_fetch_ve(Guest *g)
{
    assert_status(guest_tdcall(g, TDG_VP_VEINFO_GET), TDX_SUCCESS);
}
