/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A TD whose vCPU 0 runs on LP 0, with no processor: the test plays it, writes
 * the exit information into the VMCS and calls the module.
 */
#ifndef TDXMOD_TEST_GUEST_H
#define TDXMOD_TEST_GUEST_H

#include "../src/guest.h"        /* the model's header of this name */
#include "life.h"

#define GUEST_RIP       0x100000ull
#define GUEST_SHARED    (1ull << 47)

/* Event injected by the next VM entry, as VM-entry interruption information. */
#define EVENT_NONE      0u
#define EVENT_VE        0x80000314u
#define EVENT_UD        0x80000306u
#define EVENT_GP        0x80000b0du
#define EVENT_PF        0x80000b0eu
#define EVENT_DF        0x80000b08u
#define EVENT_NMI       0x80000202u

typedef struct Guest {
    Life l;
    Machine *mc;
    Vmcs *vmcs;
    struct tdvps_guest *regs;
    struct tdvpr *vp;
    struct tdcs *tdcs;
    uint64_t host[16];          /* L1's registers around TDH.VP.ENTER */
} Guest;

/* Up to a runnable TD with @vcpus; @edit may change its TD_PARAMS (or NULL). */
void guest_build(Guest *g, Machine *mc, unsigned vcpus,
                 void (*edit)(TdxMod *m, struct td_params *p));
/* Finalize, enter vCPU 0, in 64-bit mode at GUEST_RIP. */
void guest_run(Guest *g);
/* Both, with one vCPU on a new machine. */
void guest_start(Guest *g, void (*edit)(TdxMod *m, struct td_params *p));
/* Leaves the TD if it is inside, destroys it and the machine. */
void guest_end(Guest *g);

/* TDH.VP.ENTER with g->host as it is: must enter. */
void guest_enter(Guest *g);
/* A VM exit; true: the TD goes on, false: g->host has L1's registers. */
bool guest_exit(Guest *g, uint32_t reason, uint64_t qual);
bool guest_exit_sve(Guest *g, uint32_t reason, uint64_t qual, bool suppress_ve);
/* An exit that must be answered with this event, RIP where it was. */
void guest_expect_event(Guest *g, uint32_t reason, uint64_t qual, uint32_t event);
/* An emulated instruction of 3 bytes: no event, RIP behind it. */
void guest_expect_done(Guest *g, uint32_t reason, uint64_t qual);
/* TDCALL that completes: its status; other registers in g->regs->gpr. */
uint64_t guest_tdcall(Guest *g, uint64_t rax);
/* Drop the #VE information, as a #VE handler does. */
void guest_fetch_ve(Guest *g);

uint64_t guest_vmcs(Guest *g, uint32_t field);
void guest_set_vmcs(Guest *g, uint32_t field, uint64_t value);

#endif
