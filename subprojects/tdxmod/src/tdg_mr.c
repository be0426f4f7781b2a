/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TDG.MR.*: run-time measurements and TDREPORT.  The report's MAC is the
 * SHA-256 HMAC under a random key of this module; on silicon it is the CPU's.
 */
#include "tdg.h"

#define TEE_TCB_INFO_VALID      0x301ffull
#define MAC_SIZE                32

static bool lock_rtmr(TdxCall *c, LockMode mode)
{
    return tdx_trylock(&c->td->tdcs->rtmr_lock, mode);
}

static uint64_t rtmr_busy(void)
{
    return tdx_operand(TDX_OPERAND_BUSY, TDX_OPERAND_ID_RTMR);
}

static bool buffer_valid(const TdxCall *c, uint64_t gpa, uint64_t align)
{
    return !(gpa & (align - 1)) && sept_gpa_private(c->td, gpa);
}

/* RCX: GPA of 48 bytes, RDX: index.  RTMR := SHA-384(RTMR, data). */
uint64_t tdg_mr_rtmr_extend(TdxCall *c)
{
    uint64_t gpa = c->gpr[TDX_RCX], index = c->gpr[TDX_RDX], hpa;
    struct sha384 s;
    const void *data;
    uint8_t *rtmr;

    if (!buffer_valid(c, gpa, 64)) {
        return tdg_invalid(TDX_RCX);
    }
    if (index > 3) {
        return tdg_invalid(TDX_RDX);
    }
    data = tdg_map(c, gpa, SHA384_SIZE, false, &hpa);
    if (!data) {
        return TDX_SUCCESS;
    }
    if (!lock_rtmr(c, LOCK_EXCLUSIVE)) {
        return rtmr_busy();
    }
    rtmr = c->td->tdcs->rtmr[index];
    sha384_init(&s);
    sha384_update(&s, rtmr, SHA384_SIZE);
    sha384_update(&s, data, SHA384_SIZE);
    sha384_final(&s, rtmr);
    tdx_unlock(&c->td->tdcs->rtmr_lock, LOCK_EXCLUSIVE);
    return TDX_SUCCESS;
}

/* False: no entropy for the key now. */
static bool report_key(TdxMod *m, uint8_t key[MAC_SIZE])
{
    if (!__atomic_load_n(&m->report_key_valid, __ATOMIC_ACQUIRE)) {
        if (!tdx_trylock(&m->report_key_lock, LOCK_EXCLUSIVE)) {
            return false;
        }
        if (!m->report_key_valid && tdx_random(m, m->report_key, MAC_SIZE)) {
            __atomic_store_n(&m->report_key_valid, true, __ATOMIC_RELEASE);
        }
        tdx_unlock(&m->report_key_lock, LOCK_EXCLUSIVE);
    }
    memcpy(key, m->report_key, MAC_SIZE);
    return __atomic_load_n(&m->report_key_valid, __ATOMIC_ACQUIRE);
}

/* The MAC covers the structure up to itself. */
static bool report_mac(TdxMod *m, const struct tdx_report_mac *r, uint8_t mac[MAC_SIZE])
{
    uint8_t key[MAC_SIZE];
    gsize len = MAC_SIZE;
    GHmac *hmac;

    if (!report_key(m, key)) {
        return false;
    }
    hmac = g_hmac_new(G_CHECKSUM_SHA256, key, sizeof(key));
    g_hmac_update(hmac, (const guchar *)r, offsetof(struct tdx_report_mac, mac));
    g_hmac_get_digest(hmac, mac, &len);
    g_hmac_unref(hmac);
    return true;
}

/* Security version of the model: fixed, of no meaning but equality. */
static void cpusvn(uint8_t svn[16])
{
    memset(svn, 0, 16);
    svn[0] = 1;
}

/* MRSEAM stands for the module's code: here, for its version. */
static void fill_tcb_info(const TdxMod *m, struct tdx_tee_tcb_info *t)
{
    char version[64];

    g_snprintf(version, sizeof(version), "tdxmod %u.%u.%u.%u", m->config.major,
               m->config.minor, m->config.update, m->config.build_num);
    t->valid = TEE_TCB_INFO_VALID;
    t->tee_tcb_svn[0] = m->config.update & 0xff;
    t->tee_tcb_svn[1] = m->config.major & 0xff;
    memcpy(t->tee_tcb_svn2, t->tee_tcb_svn, sizeof(t->tee_tcb_svn2));
    sha384(version, strlen(version), t->mrseam);
}

static void fill_tdinfo(const struct tdcs *t, struct tdx_tdinfo *i)
{
    memset(i, 0, sizeof(*i));
    i->attributes = t->attributes;
    i->xfam = t->xfam;
    memcpy(i->mrtd, t->mrtd, sizeof(i->mrtd));
    memcpy(i->mrconfigid, t->mrconfigid, sizeof(i->mrconfigid));
    memcpy(i->mrowner, t->mrowner, sizeof(i->mrowner));
    memcpy(i->mrownerconfig, t->mrownerconfig, sizeof(i->mrownerconfig));
    memcpy(i->rtmr, t->rtmr, sizeof(i->rtmr));
    memcpy(i->servtd_hash, t->servtd_hash, sizeof(i->servtd_hash));
}

static bool fill_report(TdxCall *c, const uint8_t data[64], struct tdx_report *r)
{
    struct tdx_tdinfo tdinfo;

    memset(r, 0, sizeof(*r));
    fill_tcb_info(c->m, &r->tee_tcb_info);
    fill_tdinfo(c->td->tdcs, &tdinfo);
    memcpy(&r->tdinfo, &tdinfo, sizeof(tdinfo));        /* r is packed */
    r->mac.type = TDX_REPORT_TYPE_TDX;
    cpusvn(r->mac.cpusvn);
    sha384(&r->tee_tcb_info, sizeof(r->tee_tcb_info), r->mac.tee_tcb_info_hash);
    sha384(&r->tdinfo, sizeof(r->tdinfo), r->mac.tee_info_hash);
    memcpy(r->mac.report_data, data, sizeof(r->mac.report_data));
    return report_mac(c->m, &r->mac, r->mac.mac);
}

/* RCX: GPA of TDREPORT_STRUCT (written), RDX: GPA of REPORTDATA, R8: subtype 0. */
uint64_t tdg_mr_report(TdxCall *c)
{
    uint64_t out_gpa = c->gpr[TDX_RCX], in_gpa = c->gpr[TDX_RDX], out_hpa, in_hpa;
    struct tdx_report report;
    const uint8_t *in;
    bool filled;
    void *out;

    if (!buffer_valid(c, out_gpa, sizeof(report))) {
        return tdg_invalid(TDX_RCX);
    }
    if (!buffer_valid(c, in_gpa, 64)) {
        return tdg_invalid(TDX_RDX);
    }
    if (c->gpr[TDX_R8]) {
        return tdg_invalid(TDX_R8);
    }
    out = tdg_map(c, out_gpa, sizeof(report), true, &out_hpa);
    in = out ? tdg_map(c, in_gpa, 64, false, &in_hpa) : NULL;
    if (!in) {
        return TDX_SUCCESS;
    }
    if (!lock_rtmr(c, LOCK_SHARED)) {
        return rtmr_busy();
    }
    filled = fill_report(c, in, &report);
    tdx_unlock(&c->td->tdcs->rtmr_lock, LOCK_SHARED);
    if (!filled) {
        return TDX_RND_NO_ENTROPY;
    }
    memcpy(out, &report, sizeof(report));
    tdx_written(c->m, out_hpa, sizeof(report));
    return TDX_SUCCESS;
}

/* RCX: GPA of a REPORTMACSTRUCT of a TD on this platform. */
uint64_t tdg_mr_verifyreport(TdxCall *c)
{
    uint64_t gpa = c->gpr[TDX_RCX], hpa;
    struct tdx_report_mac r;
    uint8_t mac[MAC_SIZE], svn[16];
    const void *p;

    if (!buffer_valid(c, gpa, sizeof(r))) {
        return tdg_invalid(TDX_RCX);
    }
    p = tdg_map(c, gpa, sizeof(r), false, &hpa);
    if (!p) {
        return TDX_SUCCESS;
    }
    memcpy(&r, p, sizeof(r));           /* other vCPUs may write to it */
    cpusvn(svn);
    if (r.type != TDX_REPORT_TYPE_TDX || r.reserved0 || r.subtype) {
        return TDX_INVALID_REPORTMACSTRUCT;
    }
    if (memcmp(r.cpusvn, svn, sizeof(svn))) {
        return TDX_INVALID_CPUSVN;
    }
    if (!report_mac(c->m, &r, mac)) {
        return TDX_RND_NO_ENTROPY;
    }
    return memcmp(r.mac, mac, sizeof(mac)) ? TDX_INVALID_REPORTMACSTRUCT : TDX_SUCCESS;
}
