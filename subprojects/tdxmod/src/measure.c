/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MRTD: the SHA-384 of what was built into a TD, one 128-byte block for each
 * page added and one (then 256 bytes of data) for each chunk extended.  TDX
 * module base specification, "TD measurement".
 */
#include "guest.h"

static void block(struct tdcs *t, const char *what, uint64_t gpa)
{
    uint8_t b[128] = { 0 };

    memcpy(b, what, strlen(what));
    for (unsigned i = 0; i < 8; i++) {
        b[16 + i] = gpa >> (8 * i);
    }
    sha384_update(&t->mrtd_context, b, sizeof(b));
}

void mr_init(struct tdcs *t)
{
    sha384_init(&t->mrtd_context);
    memset(t->mrtd, 0, sizeof(t->mrtd));
    memset(t->rtmr, 0, sizeof(t->rtmr));
    memset(t->servtd_hash, 0, sizeof(t->servtd_hash));
}

void mr_page_add(struct tdcs *t, uint64_t gpa)
{
    block(t, "MEM.PAGE.ADD", gpa);
}

void mr_extend(struct tdcs *t, uint64_t gpa, const uint8_t data[256])
{
    block(t, "MR.EXTEND", gpa);
    sha384_update(&t->mrtd_context, data, 256);
}

void mr_finalize(struct tdcs *t)
{
    sha384_final(&t->mrtd_context, t->mrtd);
}
