/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all leaves of a TD check alike: op-states by leaf, the life cycle, and
 * the locks that a running vCPU holds.
 */
#include "life.h"
#include "sept.h"

typedef struct Fixture {
    Machine *mc;
    Life l;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    f->mc = machine_new(2, 1);
    machine_ready(f->mc);
    life_build(&f->l, f->mc, LIFE_HKID);
    life_add_vcpu(&f->l, 0);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    machine_free(f->mc);
}

/* What is in RCX and RDX of a call; another operand is bad, or a late one. */
enum operands { TDR_RDX, TDR_RCX, TDVPR_RDX, TDVPR_RCX };

typedef struct LeafRule {
    unsigned rax;
    enum operands operands;
    const char *states;         /* op-states allowed, in hexadecimal digits */
    uint64_t allowed;           /* status of the call where they are */
    bool td_exclusive;
} LeafRule;

#define RCX_INVALID     OPERAND(TDX_OPERAND_INVALID, RCX)

/*
 * ABI table of OP_STATEs.  Where the state is right, a bad operand that is
 * looked at later says so; TRACK and VP.INIT are told apart below.
 */
static const LeafRule rules[] = {
    { TDH_MEM_PAGE_ADD, TDR_RDX, "1", RCX_INVALID, true },
    { TDH_MEM_SEPT_ADD, TDR_RDX, "1236789", RCX_INVALID, false },
    { TDH_MEM_PAGE_AUG, TDR_RDX, "1239", RCX_INVALID, false },
    { TDH_MEM_RANGE_BLOCK, TDR_RDX, "1234589", RCX_INVALID, false },
    { TDH_MEM_RANGE_UNBLOCK, TDR_RDX, "1234589", RCX_INVALID, false },
    { TDH_MEM_PAGE_REMOVE, TDR_RDX, "1234589a", RCX_INVALID, false },
    { TDH_MEM_SEPT_REMOVE, TDR_RDX, "123456789a", RCX_INVALID, false },
    { TDH_MEM_SEPT_RD, TDR_RDX, "123456789a", RCX_INVALID, false },
    { TDH_MEM_PAGE_DEMOTE, TDR_RDX, "1234589", RCX_INVALID, false },
    { TDH_MEM_PAGE_PROMOTE, TDR_RDX, "1234589", RCX_INVALID, false },
    { TDH_MEM_PAGE_RELOCATE, TDR_RDX, "1234589", RCX_INVALID, false },
    { TDH_MR_EXTEND, TDR_RDX, "1", RCX_INVALID, true },
    { TDH_VP_CREATE, TDR_RDX, "17", RCX_INVALID, false },
    { TDH_MNG_INIT, TDR_RCX, "0", OPERAND(TDX_OPERAND_INVALID, RDX), true },
    { TDH_MNG_RD, TDR_RCX, "123456789a",
      OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX), false },
    { TDH_MNG_WR, TDR_RCX, "1236789a",
      OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX), false },
    { TDH_MEM_TRACK, TDR_RCX, "123456789", TDX_SUCCESS, false },
    { TDH_VP_ADDCX, TDVPR_RDX, "17", TDX_VCPU_STATE_INCORRECT | VCPU_READY, false },
    { TDX_RAX(TDH_VP_INIT, 1), TDVPR_RCX, "1", TDX_VCPU_STATE_INCORRECT | VCPU_READY,
      true },
    { TDH_VP_INIT, TDVPR_RCX, "1", TDX_VCPU_STATE_INCORRECT | VCPU_READY, false },
    { TDH_VP_RD, TDVPR_RCX, "123456789a",
      OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX), false },
    { TDH_VP_WR, TDVPR_RCX, "1236789a",
      OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX), false },
};

static Regs operands(const Fixture *f, const LeafRule *r)
{
    uint64_t tdvpr = f->l.vcpu[0].tdvpr, bad = 0xff8;

    switch (r->operands) {
    case TDR_RDX:
        return (Regs){ .rcx = bad, .rdx = f->l.tdr };
    case TDR_RCX:
        return (Regs){ .rcx = f->l.tdr, .rdx = bad };
    case TDVPR_RDX:
        return (Regs){ .rcx = bad, .rdx = tdvpr };
    default:
        return (Regs){ .rcx = tdvpr, .rdx = bad };
    }
}

static void test_op_states(Fixture *f, gconstpointer data)
{
    struct tdcs *tdcs = life_tdcs(&f->l);

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        const LeafRule *r = &rules[i];

        for (unsigned state = 0; state < 16; state++) {
            bool allowed = strchr(r->states, "0123456789abcdef"[state]) != NULL;

            g_test_message("leaf %u state %u", r->rax & 0xffff, state);
            tdcs->op_state = state;
            assert_status(seamcall(f->mc, 0, r->rax, operands(f, r)),
                          allowed ? r->allowed : TDX_OP_STATE_INCORRECT);
        }
        tdcs->op_state = 1u << 31 | OP_STATE_INITIALIZED;       /* scribbled on */
        assert_status(seamcall(f->mc, 0, r->rax, operands(f, r)),
                      TDX_OP_STATE_INCORRECT);
    }
}

static void test_enter_op_states(Fixture *f, gconstpointer data)
{
    struct tdcs *tdcs = life_tdcs(&f->l);

    (void)data;
    for (unsigned state = 0; state < 16; state++) {
        tdcs->op_state = state;
        if (state == 2 || state == 3 || state == 9) {
            life_enter(&f->l, 0, 0);
            life_exit(&f->l, 0);
        } else {
            assert_status(CALL(f->mc, 0, TDH_VP_ENTER, .rcx = f->l.vcpu[0].tdvpr),
                          TDX_OP_STATE_INCORRECT);
        }
    }
}

/* STATE(leaf): FATAL, then the life cycle, the TDCS, OP_STATE's lock, OP_STATE. */
static void test_state_order(Fixture *f, gconstpointer data)
{
    struct tdr *tdr = life_tdr(&f->l);
    struct tdcs *tdcs = life_tdcs(&f->l);
    uint64_t busy = OPERAND(TDX_OPERAND_BUSY, OP_STATE);

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        const LeafRule *r = &rules[i];
        Regs in = operands(f, r);

        tdcs->op_state = 15;
        tdr->num_tdcx = TDCS_PAGES - 1;
        tdr->lifecycle = TD_TEARDOWN;
        tdr->fatal = 1;
        assert_status(seamcall(f->mc, 0, r->rax, in), TDX_TD_FATAL);
        tdr->fatal = 0;
        for (unsigned state = 0; state <= TD_TEARDOWN; state++) {
            tdr->lifecycle = state;
            assert_status(seamcall(f->mc, 0, r->rax, in), state == TD_KEYS_CONFIGURED ?
                          TDX_TDCS_NOT_ALLOCATED : TDX_TD_KEYS_NOT_CONFIGURED);
        }
        tdr->lifecycle = TD_KEYS_CONFIGURED;
        tdr->num_tdcx = TDCS_PAGES;
        assert_status(life_call_locked(f->mc, &tdcs->op_state_lock, LOCK_EXCLUSIVE, 0,
                                       r->rax, in),
                      r->td_exclusive ? TDX_OP_STATE_INCORRECT : busy);
        assert_status(life_call_locked(f->mc, &tdcs->op_state_lock, LOCK_SHARED, 0,
                                       r->rax, in), TDX_OP_STATE_INCORRECT);
    }
}

/* The TDR's lock, explicit or as the owner of the TDVPR. */
static void test_tdr_lock(Fixture *f, gconstpointer data)
{
    uint16_t *lock = life_page_lock(f->mc, f->l.tdr);

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        const LeafRule *r = &rules[i];
        uint64_t busy = r->operands == TDR_RCX ? OPERAND(TDX_OPERAND_BUSY, RCX) :
                        r->operands == TDR_RDX ? OPERAND(TDX_OPERAND_BUSY, RDX) :
                        OPERAND(TDX_OPERAND_BUSY, TDR);
        Regs in = operands(f, r);

        life_tdcs(&f->l)->op_state = 15;
        assert_status(life_call_locked(f->mc, lock, LOCK_EXCLUSIVE, 0, r->rax, in), busy);
        assert_status(life_call_locked(f->mc, lock, LOCK_SHARED, 0, r->rax, in),
                      r->td_exclusive ? busy : TDX_OP_STATE_INCORRECT);
    }
}

/*
 * While a vCPU runs: leaves that need the TDR exclusively are busy, those of the
 * fault and zap paths are not; nor are the leaves of another TD.
 */
static void test_running(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    Life *l = &f->l, other;
    uint64_t tdvpr = l->vcpu[0].tdvpr;

    (void)data;
    life_sept(l, 0, TDX_4K);
    life_finalize(l);
    life_enter(l, 0, 0);
    assert_status(CALL(mc, 1, TDH_MNG_ADDCX, .rcx = machine_page(mc), .rdx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RDX));
    assert_status(CALL(mc, 1, TDH_MNG_INIT, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_MEM_PAGE_ADD, .rdx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RDX));
    assert_status(CALL(mc, 1, TDH_MR_EXTEND, .rdx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RDX));
    assert_status(CALL(mc, 1, TDH_MR_FINALIZE, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_MNG_KEY_CONFIG, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_MNG_VPFLUSHDONE, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_MNG_KEY_FREEID, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_VP_FLUSH, .rcx = tdvpr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_VP_ADDCX, .rcx = machine_page(mc), .rdx = tdvpr),
                  OPERAND(TDX_OPERAND_BUSY, RDX));
    assert_status(CALL(mc, 1, TDX_RAX(TDH_VP_INIT, 1), .rcx = tdvpr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAGE_RECLAIM, .rcx = l->tdr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));
    assert_status(CALL(mc, 1, TDH_PHYMEM_PAGE_RECLAIM, .rcx = tdvpr),
                  OPERAND(TDX_OPERAND_BUSY, RCX));

    life_page_aug(l, 0x1000);
    assert_status(CALL(mc, 1, TDH_MEM_RANGE_BLOCK, .rcx = 0x1000, .rdx = l->tdr),
                  TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_MEM_TRACK, .rcx = l->tdr), TDX_SUCCESS);
    assert_status(CALL(mc, 1, TDH_MNG_RD, .rcx = l->tdr, .rdx = TDX_MD_TDCS_OP_STATE),
                  TDX_SUCCESS);
    life_build(&other, mc, LIFE_HKID + 1);
    life_exit(l, 0);
    assert_status(CALL(mc, 0, TDH_VP_FLUSH, .rcx = tdvpr), TDX_SUCCESS);
}

/* RAM of the TD that was overwritten gives errors, nothing worse. */
static void test_scribbled(Fixture *f, gconstpointer data)
{
    Machine *mc = f->mc;
    struct tdr *tdr = life_tdr(&f->l);
    uint64_t root = tdr->tdcx_pa[TDCS_SEPT_ROOT];

    (void)data;
    life_sept(&f->l, 0, TDX_4K);
    mc->no_check = true;                                /* they would be confused */
    tdr->tdcx_pa[TDCS_CONTROL] = 512 * MIB;             /* not RAM */
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr), TDX_TDCS_NOT_ALLOCATED);
    tdr->tdcx_pa[TDCS_CONTROL] = UINT64_MAX;
    assert_status(CALL(mc, 0, TDH_MEM_TRACK, .rcx = f->l.tdr), TDX_TDCS_NOT_ALLOCATED);
    tdr->tdcx_pa[TDCS_CONTROL] = f->l.tdcs[0];
    tdr->tdcx_pa[TDCS_SEPT_ROOT] = 512 * MIB;
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = 0, .rdx = f->l.tdr,
                       .r8 = machine_page(mc)), OPERAND(TDX_EPT_WALK_FAILED, RCX));
    tdr->tdcx_pa[TDCS_SEPT_ROOT] = root;
    /* An S-EPT page outside of RAM, and one that is its own parent. */
    *(uint64_t *)machine_ptr(mc, root, 8) = (512 * MIB) | 7;
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_AUG, .rcx = 0, .rdx = f->l.tdr,
                       .r8 = machine_page(mc)), OPERAND(TDX_EPT_WALK_FAILED, RCX));
    *(uint64_t *)machine_ptr(mc, root, 8) = root | 7;
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = 0, .rdx = f->l.tdr),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    assert_status(CALL(mc, 0, TDH_MEM_RANGE_BLOCK, .rcx = 0, .rdx = f->l.tdr),
                  OPERAND(TDX_PAGE_METADATA_INCORRECT, RCX));
    life_tdcs(&f->l)->ept_levels = 200;
    assert_status(CALL(mc, 0, TDH_MEM_PAGE_REMOVE, .rcx = 4, .rdx = f->l.tdr),
                  RCX_INVALID);
}

#define ADD(name, fn) g_test_add("/td/" name, Fixture, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("op-states", test_op_states);
    ADD("enter-op-states", test_enter_op_states);
    ADD("state-order", test_state_order);
    ADD("tdr-lock", test_tdr_lock);
    ADD("running", test_running);
    ADD("scribbled", test_scribbled);
    return g_test_run();
}
