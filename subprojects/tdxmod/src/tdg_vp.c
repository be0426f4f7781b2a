/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TDG.VP.INFO, VEINFO.GET, CPUIDVE.SET, and the guest's metadata leaves. */
#include "metadata.h"
#include "tdg.h"

uint64_t tdg_vp_info(TdxCall *c)
{
    const struct tdcs *t = c->td->tdcs;

    c->gpr[TDX_RCX] = t->gpaw ? 52 : 48;
    c->gpr[TDX_RDX] = t->attributes;
    c->gpr[TDX_R8] = t->num_vcpus | (uint64_t)t->max_vcpus << 32;
    c->gpr[TDX_R9] = c->vcpu->vp->vcpu_index;
    c->gpr[TDX_R10] = 1;                /* TDG.SYS.RD is there */
    c->gpr[TDX_R11] = 0;
    return TDX_SUCCESS;
}

/* RCX exit reason, RDX qualification, R8 GLA, R9 GPA, R10 length and information. */
uint64_t tdg_vp_veinfo_get(TdxCall *c)
{
    struct tdvpr_ve_info *ve = &c->vcpu->vp->ve;

    if (!ve->valid) {
        return TDX_NO_VALID_VE_INFO;
    }
    c->gpr[TDX_RCX] = ve->exit_reason;
    c->gpr[TDX_RDX] = ve->exit_qualification;
    c->gpr[TDX_R8] = ve->gla;
    c->gpr[TDX_R9] = ve->gpa;
    c->gpr[TDX_R10] = ve->insn_len | (uint64_t)ve->insn_info << 32;
    ve->valid = 0;
    return TDX_SUCCESS;
}

/* RCX: bit 0 #VE for CPUID at CPL 0, bit 1 elsewhere. */
uint64_t tdg_vp_cpuidve_set(TdxCall *c)
{
    uint64_t flags = c->gpr[TDX_RCX];

    if (flags & ~3ull) {
        return tdg_invalid(TDX_RCX);
    }
    c->vcpu->vp->cpuid_supervisor_ve = flags & 1;
    c->vcpu->vp->cpuid_user_ve = flags >> 1 & 1;
    return TDX_SUCCESS;
}

/* RCX 0, RDX field; out R8 value, RDX next field (version 1). */
static uint64_t read_field(TdxCall *c, const MdTable *table)
{
    MdContext x = { .c = c, .td = c->td, .vcpu = c->vcpu };
    uint64_t value = 0, next = TDX_FIELD_NULL, status = tdg_invalid(TDX_RCX);

    if (c->gpr[TDX_RCX] == 0) {
        status = md_read(table, &x, c->gpr[TDX_RDX], &value, c->version ? &next : NULL);
    }
    c->gpr[TDX_R8] = value;
    if (c->version) {
        c->gpr[TDX_RDX] = next;
    }
    return status;
}

/*
 * RCX 0, RDX field, R8 value, R9 mask; out R8 the value before.  vCPUs of a TD
 * write one after the other: the loser runs its TDCALL again.
 */
static uint64_t write_field(TdxCall *c, const MdTable *table)
{
    MdContext x = { .c = c, .td = c->td, .vcpu = c->vcpu };
    uint16_t *lock = &c->td->tdcs->ctls_lock;
    uint64_t old = 0, status = tdg_invalid(TDX_RCX);

    if (c->gpr[TDX_RCX] == 0) {
        if (!tdx_trylock(lock, LOCK_EXCLUSIVE)) {
            c->exit->restart = true;
            return TDX_OPERAND_BUSY;
        }
        status = md_write(table, &x, c->gpr[TDX_RDX], c->gpr[TDX_R8], c->gpr[TDX_R9],
                          &old);
        tdx_unlock(lock, LOCK_EXCLUSIVE);
    }
    c->gpr[TDX_R8] = old;
    return status;
}

uint64_t tdg_vm_rd(TdxCall *c)
{
    return read_field(c, &md_td);
}

uint64_t tdg_vm_wr(TdxCall *c)
{
    return write_field(c, &md_td);
}

uint64_t tdg_vp_rd(TdxCall *c)
{
    return read_field(c, &md_vcpu);
}

uint64_t tdg_vp_wr(TdxCall *c)
{
    return write_field(c, &md_vcpu);
}

/* RDX field; out R8 value, RDX next field. */
uint64_t tdg_sys_rd(TdxCall *c)
{
    MdContext x = { .c = c };
    uint64_t value = 0, next = TDX_FIELD_NULL;
    uint64_t status = md_read(&md_sys, &x, c->gpr[TDX_RDX], &value, &next);

    c->gpr[TDX_RDX] = next;
    c->gpr[TDX_R8] = value;
    return status;
}
