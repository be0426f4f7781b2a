/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-384 (FIPS 180-4) whose running state is plain data.  MRTD is built over
 * many SEAMCALLs and its state lives in a TDCS page, which GLib's opaque
 * GChecksum cannot do.
 */
#ifndef TDXMOD_SHA384_H
#define TDXMOD_SHA384_H

#include <stddef.h>
#include <stdint.h>

#define SHA384_SIZE             48
#define SHA384_BLOCK            128

struct sha384 {
    uint64_t h[8];
    uint64_t bytes;             /* hashed so far; % SHA384_BLOCK: kept in buf */
    uint8_t buf[SHA384_BLOCK];
};

void sha384_init(struct sha384 *s);
void sha384_update(struct sha384 *s, const void *data, size_t len);
/* Ends the message; @s must be initialised again before another use. */
void sha384_final(struct sha384 *s, uint8_t digest[SHA384_SIZE]);
/* All three for one piece of data. */
void sha384(const void *data, size_t len, uint8_t digest[SHA384_SIZE]);

#endif
