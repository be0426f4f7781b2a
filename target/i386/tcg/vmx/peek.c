/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Some VM exits report operands that TCG's intercept points do not carry: the
 * general register of a MOV to or from CR/DR, LMSW's source, INVLPG's address.
 * They are read once more from the bytes at RIP.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "exec/exec-all.h"
#include "vmx.h"

typedef struct Peek {
    CPUX86State *env;
    uint64_t pc;
    int len;
    int seg;                    /* override, or -1 */
    bool addr32, addr16;
    bool data16;                /* the prefix, not the size */
} Peek;

static uint8_t fetch(Peek *p)
{
    return p->len++ < 15 ? cpu_ldub_code(p->env, p->pc++) : 0;
}

static uint64_t fetch_signed(Peek *p, int bytes)
{
    uint64_t v = 0;

    for (int i = 0; i < bytes; i++) {
        v |= (uint64_t)fetch(p) << 8 * i;
    }
    return bytes ? sextract64(v, 0, 8 * bytes) : 0;
}

static bool legacy_prefix(Peek *p, uint8_t b, bool code64)
{
    static const int8_t seg_of[] = {
        [0x26] = R_ES + 1, [0x2e] = R_CS + 1, [0x36] = R_SS + 1,
        [0x3e] = R_DS + 1, [0x64] = R_FS + 1, [0x65] = R_GS + 1,
    };

    if (b < ARRAY_SIZE(seg_of) && seg_of[b]) {
        p->seg = seg_of[b] - 1;
        return true;
    }
    if (b == 0x67) {
        p->addr16 = !code64 && !p->addr16;
        p->addr32 = code64;
        return true;
    }
    p->data16 |= b == 0x66;
    return b == 0x66 || b == 0xf0 || b == 0xf2 || b == 0xf3;
}

/* Effective address of 16-bit forms: base and index by ModRM's rm field. */
static uint64_t ea16(Peek *p, VmxInsn *insn, int *seg)
{
    static const int8_t base[8] = { R_EBX, R_EBX, R_EBP, R_EBP, R_ESI, R_EDI,
                                    R_EBP, R_EBX };
    static const int8_t index[8] = { R_ESI, R_EDI, R_ESI, R_EDI, -1, -1, -1, -1 };
    int mod = insn->modrm >> 6, rm = insn->modrm & 7;
    uint64_t ea = 0;

    if (mod == 0 && rm == 6) {
        insn->disp = fetch_signed(p, 2);
        return insn->disp & 0xffff;
    }
    insn->base = base[rm];
    insn->index = index[rm];
    ea = p->env->regs[base[rm]] + (index[rm] < 0 ? 0 : p->env->regs[index[rm]]);
    *seg = base[rm] == R_EBP ? R_SS : R_DS;
    insn->disp = fetch_signed(p, mod);
    return (ea + insn->disp) & 0xffff;
}

static uint64_t ea32(Peek *p, VmxInsn *insn, bool code64, int *seg)
{
    int mod = insn->modrm >> 6, base = insn->rm, index = -1, scale = 0;
    bool has_base = true;
    uint64_t ea = 0;

    if ((insn->modrm & 7) == 4) {
        uint8_t sib = fetch(p);

        base = (sib & 7) | (insn->rex & 1) << 3;
        index = (sib >> 3 & 7) | (insn->rex & 2) << 2;
        scale = sib >> 6;
        if (index == 4) {
            index = -1;
        }
    }
    if (mod == 0 && (base & 7) == 5) {
        has_base = false;
    }
    ea = fetch_signed(p, mod == 1 ? 1 : mod == 2 || !has_base ? 4 : 0);
    if (!has_base && code64 && (insn->modrm & 7) == 5) {
        ea += p->pc - p->env->segs[R_CS].base;  /* RIP-relative, no immediate */
    }
    insn->disp = ea;
    if (has_base) {
        insn->base = base;
        ea += p->env->regs[base];
        *seg = base == R_ESP || base == R_EBP ? R_SS : R_DS;
    }
    if (index >= 0) {
        insn->index = index;
        insn->scale = scale;
        ea += p->env->regs[index] << scale;
    }
    return ea;
}

void vmx_peek_insn(CPUX86State *env, VmxInsn *insn)
{
    bool code64 = env->hflags & HF_CS64_MASK;
    Peek p = {
        .env = env, .pc = env->segs[R_CS].base + env->eip, .seg = -1,
        .addr16 = !(env->hflags & (HF_CS32_MASK | HF_CS64_MASK)),
    };
    int seg = R_DS;
    uint8_t b;

    *insn = (VmxInsn) { .base = -1, .index = -1 };
    do {
        b = fetch(&p);
    } while (p.len < 15 && legacy_prefix(&p, b, code64));
    if (code64 && (b & 0xf0) == 0x40) {
        insn->rex = b & 15;
        b = fetch(&p);
    }
    insn->opcode[0] = b;
    if (b != 0x0f) {
        return;
    }
    insn->opcode[1] = fetch(&p);
    if (insn->opcode[1] == 0x38) {
        insn->opcode[2] = fetch(&p);
    }
    insn->modrm = fetch(&p);
    insn->reg = (insn->modrm >> 3 & 7) | (insn->rex & 4) << 1;
    insn->rm = (insn->modrm & 7) | (insn->rex & 1) << 3;
    insn->op_size = code64 ? 2 : !(env->hflags & HF_CS32_MASK) == p.data16;
    if (insn->modrm >> 6 == 3) {
        return;
    }
    insn->mem = true;
    insn->addr_size = p.addr16 ? 0 : code64 && !p.addr32 ? 2 : 1;
    insn->ea = p.addr16 ? ea16(&p, insn, &seg) : ea32(&p, insn, code64, &seg);
    if (!code64 || p.addr32) {
        insn->ea = (uint32_t)insn->ea;
    }
    seg = p.seg >= 0 ? p.seg : seg;
    insn->seg = seg;
    if (!code64 || seg == R_FS || seg == R_GS) {
        insn->ea += env->segs[seg].base;
    }
    if (!code64) {
        insn->ea = (uint32_t)insn->ea;
    }
}

/* SDM 28.2.5: what all formats with a memory operand have in common. */
uint32_t vmx_insn_info(const VmxInsn *insn)
{
    uint32_t info = insn->scale | insn->addr_size << 7 | insn->seg << 15;

    info |= insn->index < 0 ? 1u << 22 : (uint32_t)insn->index << 18;
    info |= insn->base < 0 ? 1u << 27 : (uint32_t)insn->base << 23;
    return insn->mem ? info : 0;
}

uint64_t vmx_string_address(CPUX86State *env, bool in)
{
    bool code64 = env->hflags & HF_CS64_MASK;
    Peek p = {
        .env = env, .pc = env->segs[R_CS].base + env->eip, .seg = -1,
        .addr16 = !(env->hflags & (HF_CS32_MASK | HF_CS64_MASK)),
    };
    uint64_t ea = env->regs[in ? R_EDI : R_ESI];
    int seg;

    while (p.len < 15 && legacy_prefix(&p, fetch(&p), code64)) {
        ;
    }
    if (p.addr16) {
        ea &= 0xffff;
    } else if (p.addr32 || !code64) {
        ea = (uint32_t)ea;
    }
    seg = in ? R_ES : p.seg >= 0 ? p.seg : R_DS;
    if (!code64 || seg == R_FS || seg == R_GS) {
        ea += env->segs[seg].base;
    }
    return code64 ? ea : (uint32_t)ea;
}

/* A byte of code, -1 if it is not there: no fault from inside of a VM exit. */
static int code_byte(CPUX86State *env, int offset)
{
    uint64_t addr = env->segs[R_CS].base + env->eip + offset;
    void *host = NULL;
    int flags;

    if (!(env->hflags & HF_CS64_MASK)) {
        addr = (uint32_t)addr;
    }
    flags = probe_access_flags(env, addr, 1, MMU_INST_FETCH,
                               cpu_mmu_index(env_cpu(env), true), true, &host, 0);
    return !(flags & TLB_INVALID_MASK) && host ? *(uint8_t *)host : -1;
}

/*
 * TCG has one flag for both kinds of blocking, which lasts for one instruction:
 * the byte in front of RIP is the end of the one that set it.
 */
bool vmx_after_sti(CPUX86State *env)
{
    return code_byte(env, -1) == 0xfb;
}

/* With an operand-size prefix or REX.W in front, as assemblers make it. */
bool vmx_at_iret(CPUX86State *env)
{
    int byte = code_byte(env, 0);

    if (byte == 0x66 || (byte == 0x48 && (env->hflags & HF_CS64_MASK))) {
        byte = code_byte(env, 1);
    }
    return byte == 0xcf;
}
