/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-384 against FIPS 180 examples and GLib; MRTD against its definition. */
#include "guest.h"
#include "sha384.h"

static char *hex(const uint8_t *p, size_t len)
{
    GString *s = g_string_new(NULL);

    while (len--) {
        g_string_append_printf(s, "%02x", *p++);
    }
    return g_string_free(s, FALSE);
}

static void assert_digest(const struct sha384 *s, const char *expected)
{
    struct sha384 copy = *s;
    uint8_t digest[SHA384_SIZE];
    g_autofree char *got = NULL;

    sha384_final(&copy, digest);
    got = hex(digest, sizeof(digest));
    g_assert_cmpstr(got, ==, expected);
}

/* The examples that NIST publishes with FIPS 180. */
static void test_nist(void)
{
    static const struct {
        const char *text;
        unsigned times;
        const char *digest;
    } rows[] = {
        { "abc", 1, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"
                    "1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7" },
        { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
          "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu", 1,
          "09330c33f71147e83d192fc782cd1b4753111b173b3b05d2"
          "2fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039" },
        { "a", 1000000, "9d0e1809716474cb086e834e310a4a1ced149e9c00f24852"
                        "7972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985" },
        { "", 1, "38b060a751ac96384cd9327eb1b1e36a21fdb71114be0743"
                 "4c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct sha384 s;

        sha384_init(&s);
        for (unsigned n = 0; n < rows[i].times; n++) {
            sha384_update(&s, rows[i].text, strlen(rows[i].text));
        }
        assert_digest(&s, rows[i].digest);
    }
}

/* All lengths around the block and padding borders, in random pieces. */
static void test_glib(void)
{
    uint8_t data[600];

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = g_random_int();
    }
    for (size_t len = 0; len <= sizeof(data); len++) {
        g_autofree char *expected =
            g_compute_checksum_for_data(G_CHECKSUM_SHA384, data, len);
        struct sha384 s;

        sha384_init(&s);
        for (size_t done = 0; done < len; ) {
            size_t n = g_random_int_range(1, len - done + 1);

            sha384_update(&s, data + done, n);
            done += n;
        }
        assert_digest(&s, expected);
    }
}

static void add_block(GChecksum *sum, const char *what, uint64_t gpa)
{
    uint8_t block[128] = { 0 };

    memcpy(block, what, strlen(what));
    gpa = GUINT64_TO_LE(gpa);
    memcpy(block + 16, &gpa, 8);
    g_checksum_update(sum, block, sizeof(block));
}

static void read_mrtd(Guest *g, uint8_t mrtd[48])
{
    for (unsigned i = 0; i < 6; i++) {
        uint64_t v;

        assert_status(CALL(g->mc, 0, TDH_MNG_RD, .rcx = g->l.tdr,
                           .rdx = TDX_MD_TDCS_MRTD + i), TDX_SUCCESS);
        v = GUINT64_TO_LE(g->mc->out.r8);
        memcpy(mrtd + 8 * i, &v, 8);
    }
}

/* Two pages, the first measured; S-EPT pages and AUG leave no trace. */
static void test_mrtd(void)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA384);
    Machine *mc = machine_new(1, 1);
    uint8_t mrtd[48];
    g_autofree char *got = NULL;
    uint64_t page;
    Guest g;

    machine_ready(mc);
    guest_build(&g, mc, 1, NULL);
    page = life_page_add(&g.l, 0x7ff000);
    add_block(sum, "MEM.PAGE.ADD", 0x7ff000);
    for (unsigned i = 0; i < 16; i++) {
        assert_status(CALL(mc, 0, TDH_MR_EXTEND, .rcx = 0x7ff000 + 256 * i,
                           .rdx = g.l.tdr), TDX_SUCCESS);
        add_block(sum, "MR.EXTEND", 0x7ff000 + 256 * i);
        g_checksum_update(sum, machine_ptr(mc, page + 256 * i, 256), 256);
    }
    life_page_aug(&g.l, 0x5000);
    life_page_add(&g.l, 0x1000);
    add_block(sum, "MEM.PAGE.ADD", 0x1000);
    life_finalize(&g.l);
    read_mrtd(&g, mrtd);
    got = hex(mrtd, sizeof(mrtd));
    g_assert_cmpstr(got, ==, g_checksum_get_string(sum));
    g_checksum_free(sum);
    guest_end(&g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/measure/nist", test_nist);
    g_test_add_func("/measure/glib", test_glib);
    g_test_add_func("/measure/mrtd", test_mrtd);
    return g_test_run();
}
