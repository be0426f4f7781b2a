/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a program finds its data files: in its own directory, else in ../lib/tdx. */
#ifndef TESTS_LINUX_BESIDE_H
#define TESTS_LINUX_BESIDE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Path of @file in a static buffer; the last place that is tried if it is nowhere. */
static inline const char *beside(const char *file)
{
    static const char *const places[] = { "", "../lib/tdx/" };
    static char path[4096];
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    self[n > 0 ? n : 0] = 0;
    slash = strrchr(self, '/');
    if (slash) {
        slash[1] = 0;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s%s%s", self, places[i], file);
        if (!access(path, R_OK)) {
            break;
        }
    }
    return path;
}

#endif
