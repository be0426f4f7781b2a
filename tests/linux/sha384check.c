/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks sha384.c: with FIPS 180 examples, or digests standard input in pieces of 1 to
 * 200.
 */
#include <stdio.h>
#include <string.h>

#include "sha384.h"

static const struct {
    const char *name, *text;
    unsigned repeat;
    const char *digest;
} vectors[] = {
    { "empty message", "", 1,
      "38b060a751ac96384cd9327eb1b1e36a21fdb71114be0743"
      "4c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b" },
    { "abc", "abc", 1,
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"
      "1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7" },
    { "two blocks",
      "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
      "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
      1,
      "09330c33f71147e83d192fc782cd1b4753111b173b3b05d2"
      "2fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039" },
    { "a million a", "aaaaaaaaaa", 100000,
      "9d0e1809716474cb086e834e310a4a1ced149e9c00f24852"
      "7972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985" },
};

static void hex(const uint8_t digest[SHA384_SIZE], char out[97])
{
    for (int i = 0; i < SHA384_SIZE; i++) {
        sprintf(out + 2 * i, "%02x", digest[i]);
    }
}

static int digest_stdin(void)
{
    uint8_t buf[200], digest[SHA384_SIZE];
    size_t n, want = 1;
    struct sha384 s;
    char text[97];

    sha384_init(&s);
    while ((n = fread(buf, 1, want, stdin))) {
        sha384_update(&s, buf, n);
        want = want % sizeof(buf) + 1;
    }
    sha384_final(&s, digest);
    hex(digest, text);
    puts(text);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 1 && !strcmp(argv[1], "-")) {
        return digest_stdin();
    }
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t digest[SHA384_SIZE];
        struct sha384 s;
        char text[97];
        int bad;

        sha384_init(&s);
        for (unsigned n = 0; n < vectors[i].repeat; n++) {
            sha384_update(&s, vectors[i].text, strlen(vectors[i].text));
        }
        sha384_final(&s, digest);
        hex(digest, text);
        bad = strcmp(text, vectors[i].digest) != 0;
        failed += bad;
        printf("%sok - SHA-384: %s\n", bad ? "not " : "", vectors[i].name);
    }
    return failed != 0;
}
