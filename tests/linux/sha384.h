/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-384 (FIPS 180-4), for checking the module model's measurements with other code. */
#ifndef TESTS_LINUX_SHA384_H
#define TESTS_LINUX_SHA384_H

#include <stddef.h>
#include <stdint.h>

#define SHA384_SIZE 48

struct sha384 {
    uint64_t state[8];
    uint64_t length;            /* bytes so far; 2^61 at most */
    uint8_t block[128];
};

void sha384_init(struct sha384 *s);
void sha384_update(struct sha384 *s, const void *data, size_t size);
void sha384_final(struct sha384 *s, uint8_t digest[SHA384_SIZE]);
void sha384_of(const void *data, size_t size, uint8_t digest[SHA384_SIZE]);

#endif
