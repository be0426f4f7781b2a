/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reader/writer try-locks in a 16-bit word, in module state or in guest RAM.
 * Bit 15: exclusive; 14:0: number of shared holders.  Nothing waits: a leaf
 * that loses answers TDX_OPERAND_BUSY.  0 is free.
 */
#ifndef TDXMOD_LOCK_H
#define TDXMOD_LOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef enum LockMode { LOCK_SHARED, LOCK_EXCLUSIVE } LockMode;

bool tdx_trylock(uint16_t *lock, LockMode mode);
/* A word in RAM may have been overwritten: never below 0, no assertion. */
void tdx_unlock(uint16_t *lock, LockMode mode);

#endif
