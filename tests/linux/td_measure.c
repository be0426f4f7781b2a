/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measurements of a TD, calculated from the TDX module's ABI: MRTD from the pages
 * added, RTMR from the extension that the payload makes, and the hashes inside a
 * TDREPORT.
 */
#include <string.h>

#include "sha384.h"
#include "tdlaunch.h"

#define REPORT_TCB_HASH      32 /* offsets in TDREPORT_STRUCT */
#define REPORT_TDINFO_HASH   80
#define REPORT_DATA          128
#define REPORT_TCB           256
#define REPORT_TCB_SIZE      239
#define REPORT_TDINFO        512
#define TDINFO_SIZE          512
#define TDINFO_ATTRIBUTES    0 /* offsets in TDINFO */
#define TDINFO_XFAM          8
#define TDINFO_MRTD          16
#define TDINFO_MRCONFIGID    64
#define TDINFO_MROWNER       112
#define TDINFO_MROWNERCONFIG 160
#define TDINFO_RTMR          208

/* A 128-byte extension block: name, then at byte 16 the GPA, little endian. */
static void hash_block(struct sha384 *s, const char *name, uint64_t gpa)
{
    uint8_t block[128] = { 0 };

    memcpy(block, name, strlen(name));
    for (int i = 0; i < 8; i++) {
        block[16 + i] = (uint8_t)(gpa >> (8 * i));
    }
    sha384_update(s, block, sizeof(block));
}

/*
 * KVM adds the image page by page, and extends each page's 16 chunks before the next
 * page.
 */
void td_measure(struct td *td)
{
    struct sha384 s;

    sha384_init(&s);
    for (uint64_t page = 0; page < TD_IMAGE_SIZE; page += 4096) {
        hash_block(&s, "MEM.PAGE.ADD", TD_IMAGE_GPA + page);
        for (uint64_t chunk = page; chunk < page + 4096; chunk += 256) {
            hash_block(&s, "MR.EXTEND", TD_IMAGE_GPA + chunk);
            sha384_update(&s, td->image + chunk, 256);
        }
    }
    sha384_final(&s, td->mrtd);
}

static bool is_pattern(const uint8_t *p, uint8_t base)
{
    for (int i = 0; i < 48; i++) {
        if (p[i] != (uint8_t)(base + i)) {
            return false;
        }
    }
    return true;
}

static bool is_zero(const uint8_t *p, size_t size)
{
    while (size--) {
        if (*p++) {
            return false;
        }
    }
    return true;
}

static void check_hashes(struct td *td)
{
    uint8_t digest[SHA384_SIZE];

    sha384_of(td->report + REPORT_TDINFO, TDINFO_SIZE, digest);
    td_check(td, !memcmp(digest, td->report + REPORT_TDINFO_HASH, sizeof(digest)),
             "TDREPORT: TEE_INFO_HASH is that of TDINFO");
    sha384_of(td->report + REPORT_TCB, REPORT_TCB_SIZE, digest);
    td_check(td, !memcmp(digest, td->report + REPORT_TCB_HASH, sizeof(digest)),
             "TDREPORT: TEE_TCB_INFO_HASH is that of TEE_TCB_INFO");
}

static void check_rtmr(struct td *td, const uint8_t *info)
{
    uint8_t data[2 * SHA384_SIZE] = { 0 }, digest[SHA384_SIZE];
    const uint8_t *rtmr = info + TDINFO_RTMR;

    for (int i = 0; i < SHA384_SIZE; i++) {
        data[SHA384_SIZE + i] = TD_RTMR_BYTE(i);
    }
    sha384_of(data, sizeof(data), digest);
    td_check(td, !memcmp(digest, rtmr + TD_RTMR_INDEX * SHA384_SIZE, sizeof(digest)),
             "TDREPORT: RTMR[%d] after one extension", TD_RTMR_INDEX);
    td_check(td,
             is_zero(rtmr, TD_RTMR_INDEX * SHA384_SIZE) &&
                 is_zero(rtmr + (TD_RTMR_INDEX + 1) * SHA384_SIZE,
                         (3 - TD_RTMR_INDEX) * SHA384_SIZE),
             "TDREPORT: the other RTMRs are zero");
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

void td_check_report(struct td *td)
{
    const uint8_t *r = td->report, *info = r + REPORT_TDINFO;
    bool data_ok = true;

    if (!td_check(td, td->report_len == sizeof(td->report), "TDREPORT: handed out")) {
        return;
    }
    td_check(td, td->shared_report_ok, "TDREPORT: the copy in shared memory is the same");
    td_check(td, r[0] == 0x81 && r[1] == 0, "TDREPORT: type and subtype");
    for (int i = 0; i < 64; i++) {
        data_ok &= r[REPORT_DATA + i] == TD_REPORTDATA_BYTE(i);
    }
    td_check(td, data_ok, "TDREPORT: REPORTDATA");
    td_check(td, !memcmp(info + TDINFO_MRTD, td->mrtd, sizeof(td->mrtd)),
             "TDREPORT: MRTD is what the launcher calculated");
    td_check(td, load64(info + TDINFO_ATTRIBUTES) == td->attributes,
             "TDREPORT: ATTRIBUTES");
    td_check(td, load64(info + TDINFO_XFAM) == td->xfam, "TDREPORT: XFAM");
    td_check(td,
             is_pattern(info + TDINFO_MRCONFIGID, TD_MRCONFIGID_BASE) &&
                 is_pattern(info + TDINFO_MROWNER, TD_MROWNER_BASE) &&
                 is_pattern(info + TDINFO_MROWNERCONFIG, TD_MROWNERCONFIG_BASE),
             "TDREPORT: MRCONFIGID, MROWNER, MROWNERCONFIG");
    check_rtmr(td, info);
    check_hashes(td);
}
