/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of metadata reads and writes that all scopes share, on a table made
 * for this test.
 */
#include "machine.h"
#include "metadata.h"

enum { READ_ONLY, NOT_THERE, ARRAY, MASKED, GUEST_ONLY, PICKY, NUM };

#define ID(code)        TDX_FIELD_ID(1, 0x2a, 1, 3, code)

static uint64_t values[NUM][4];

static bool get(const MdContext *x, const MdField *f, unsigned element, uint64_t *value)
{
    (void)x;
    *value = values[f->arg][element];
    return f->arg != NOT_THERE;
}

static uint64_t set(const MdContext *x, const MdField *f, unsigned element, uint64_t old,
                    uint64_t value)
{
    (void)x;
    g_assert_cmphex(old, ==, values[f->arg][element]);
    if (f->arg == PICKY && value % 2) {
        return TDX_METADATA_FIELD_VALUE_NOT_VALID;
    }
    values[f->arg][element] = value;
    return TDX_SUCCESS;
}

static const MdField fields[] = {
    { .id = ID(1), .read = MD_HOST | MD_GUEST, .get = get, .arg = READ_ONLY },
    { .id = ID(2), .read = MD_HOST, .get = get, .arg = NOT_THERE },
    { .id = ID(16), .elements = 4, .read = MD_HOST, .get = get, .arg = ARRAY },
    { .id = ID(32), .read = MD_HOST, .get = get, .set = set, .host_wr = 0xff00,
      .guest_wr = 0x00ff, .arg = MASKED },
    { .id = ID(33), .read = MD_GUEST, .get = get, .set = set, .guest_wr = UINT64_MAX,
      .arg = GUEST_ONLY },
    { .id = ID(34), .read = MD_HOST, .get = get, .set = set, .host_wr = 0xff,
      .arg = PICKY },
};
static const MdTable table = { fields, G_N_ELEMENTS(fields) };

static TdxCall host, guest = { .guest = true };
static const MdContext as_host = { .c = &host }, as_guest = { .c = &guest };

static void fill(void)
{
    for (unsigned i = 0; i < NUM; i++) {
        for (unsigned j = 0; j < 4; j++) {
            values[i][j] = 0x1000 * (i + 1) + j;
        }
    }
}

static void check_read(const MdContext *x, uint64_t id, uint64_t status, uint64_t value,
                       uint64_t next)
{
    uint64_t got_value = 1, got_next = 1;

    assert_status(md_read(&table, x, id, &got_value, &got_next), status);
    g_assert_cmphex(got_value, ==, value);
    g_assert_cmphex(got_next, ==, next);
}

static void test_read(void)
{
    const uint64_t none = UINT64_MAX;
    const uint64_t bad_id = OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX);

    fill();
    /* The next id skips what cannot be read. */
    check_read(&as_host, ID(1), 0, 0x1000, ID(16));
    check_read(&as_host, ID(18), 0, 0x3002, ID(19));
    check_read(&as_host, ID(19), 0, 0x3003, ID(32));
    check_read(&as_host, ID(34), 0, 0x6000, none);
    check_read(&as_guest, ID(1), 0, 0x1000, ID(33));
    check_read(&as_host, none, TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT, 0, ID(1));
    check_read(&as_host, ID(20), bad_id, 0, none);
    check_read(&as_host, ID(15), bad_id, 0, none);
    check_read(&as_host, ID(2), TDX_METADATA_FIELD_NOT_READABLE, 0, none);
    check_read(&as_host, ID(33), TDX_METADATA_FIELD_NOT_READABLE, 0, none);
    check_read(&as_guest, ID(16), TDX_METADATA_FIELD_NOT_READABLE, 0, none);
    /* Only class and code name a field. */
    check_read(&as_host, 0x2a00000000000001, 0, 0x1000, ID(16));
    check_read(&as_host, ID(1) ^ TDX_FIELD_INC_SIZE ^ TDX_FIELD_WRITE_MASK_VALID, 0,
               0x1000, ID(16));
    check_read(&as_host, ID(1) ^ 3ull << 32 ^ 7ull << 52, 0, 0x1000, ID(16));
    check_read(&as_host, ID(1) ^ 1ull << 56, bad_id, 0, none);
}

static void check_write(const MdContext *x, uint64_t id, uint64_t value, uint64_t mask,
                        uint64_t status, uint64_t old)
{
    uint64_t got_old = 1;

    assert_status(md_write(&table, x, id, value, mask, &got_old), status);
    g_assert_cmphex(got_old, ==, old);
}

static void test_write(void)
{
    const uint64_t bad_id = OPERAND(TDX_METADATA_FIELD_ID_INCORRECT, RDX);

    fill();
    check_write(&as_host, ID(99), 0, -1, bad_id, 0);
    check_write(&as_host, ID(34) | 1ull << 47, 0, -1, bad_id, 0);
    check_write(&as_host, UINT64_MAX, 0, -1, bad_id, 0);
    check_write(&as_host, ID(1), 0, -1, TDX_METADATA_FIELD_NOT_WRITABLE, 0);
    check_write(&as_host, ID(33), 0, -1, TDX_METADATA_FIELD_NOT_WRITABLE, 0);
    /* No writable bit is asked for. */
    check_write(&as_host, ID(32), 0, 0x00ff, TDX_METADATA_FIELD_NOT_WRITABLE, 0);
    check_write(&as_host, ID(32), 0, 0, TDX_METADATA_FIELD_NOT_WRITABLE, 0);
    /* Bits that are not writable must keep their value: 0x4000 now. */
    check_write(&as_host, ID(32), 0x1234, 0xffff, TDX_METADATA_FIELD_VALUE_NOT_VALID, 0);
    g_assert_cmphex(values[MASKED][0], ==, 0x4000);
    check_write(&as_host, ID(32), 0x1200, UINT64_MAX, 0, 0x4000);
    g_assert_cmphex(values[MASKED][0], ==, 0x1200);
    check_write(&as_host, ID(32), UINT64_MAX, 0x0100, 0, 0x1200);
    g_assert_cmphex(values[MASKED][0], ==, 0x1300);
    check_write(&as_guest, ID(32), 0x0042, 0x00ff, 0, 0x1300);
    g_assert_cmphex(values[MASKED][0], ==, 0x1342);
    check_write(&as_guest, ID(33), 5, -1, 0, 0x5000);
    /* What the field itself refuses leaves it alone. */
    check_write(&as_host, ID(34), 0x11, 0x01, TDX_METADATA_FIELD_VALUE_NOT_VALID, 0);
    g_assert_cmphex(values[PICKY][0], ==, 0x6000);
    check_write(&as_host, ID(34), 0x10, 0xff, 0, 0x6000);
    g_assert_cmphex(values[PICKY][0], ==, 0x6010);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/metadata/read", test_read);
    g_test_add_func("/metadata/write", test_write);
    return g_test_run();
}
