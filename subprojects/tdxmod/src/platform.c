/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM and the other services of the platform, and the checks of
 * physical address operands.
 */
#include <string.h>
#include "module.h"

void *tdx_map(TdxMod *m, uint64_t pa, size_t len)
{
    if (pa > m->hpa_mask || (pa & 0xfff) + len > TDX_PAGE_SIZE) {
        return NULL;
    }
    return m->platform.map(m->platform.opaque, pa, len);
}

void *tdx_map_page(TdxMod *m, uint64_t pa)
{
    return tdx_map(m, pa, TDX_PAGE_SIZE);
}

void tdx_written(TdxMod *m, uint64_t pa, size_t len)
{
    m->platform.written(m->platform.opaque, pa, len);
}

/* Bytes of [pa, pa + len) that lie in the page of @pa. */
static size_t in_page(uint64_t pa, size_t len)
{
    return MIN(len, TDX_PAGE_SIZE - (pa & (TDX_PAGE_SIZE - 1)));
}

bool tdx_read(TdxMod *m, uint64_t pa, void *buf, size_t len)
{
    while (len) {
        size_t n = in_page(pa, len);
        const void *p = tdx_map(m, pa, n);

        if (!p) {
            return false;
        }
        memcpy(buf, p, n);
        buf = (uint8_t *)buf + n;
        pa += n;
        len -= n;
    }
    return true;
}

bool tdx_zero_page(TdxMod *m, uint64_t pa)
{
    void *p = tdx_map_page(m, pa);

    if (!p) {
        return false;
    }
    memset(p, 0, TDX_PAGE_SIZE);
    tdx_written(m, pa, TDX_PAGE_SIZE);
    return true;
}

bool tdx_random(TdxMod *m, void *buf, size_t len)
{
    return m->platform.random(m->platform.opaque, buf, len);
}

const TdxCallSite *tdx_call_site(TdxCall *c)
{
    const TdxPlatform *p = &c->m->platform;

    if (!c->site_known && p->call_site) {
        p->call_site(p->opaque, &c->site);
    }
    c->site_known = true;
    return &c->site;
}

static void G_GNUC_PRINTF(3, 0)
log_text(TdxMod *m, bool unimplemented, const char *fmt, va_list ap)
{
    char text[256];

    if (m->platform.log) {
        g_vsnprintf(text, sizeof(text), fmt, ap);
        m->platform.log(m->platform.opaque, unimplemented, text);
    }
}

void tdx_log(TdxMod *m, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_text(m, false, fmt, ap);
    va_end(ap);
}

void tdx_unimp(TdxMod *m, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_text(m, true, fmt, ap);
    va_end(ap);
}

bool tdx_hkid_private(const TdxMod *m, uint64_t hkid)
{
    return hkid >= m->hkid_first && hkid < m->hkid_end;
}

bool tdx_private_hpa_valid(const TdxMod *m, uint64_t pa, uint64_t align)
{
    return !(pa & (align - 1)) && pa <= m->hpa_mask;
}

bool tdx_shared_hpa(const TdxMod *m, uint64_t *pa, uint64_t align)
{
    if ((*pa & (align - 1)) || *pa >> m->config.max_pa ||
        tdx_hkid_private(m, *pa >> m->hkid_shift)) {
        return false;
    }
    *pa &= m->hpa_mask;
    return true;
}
