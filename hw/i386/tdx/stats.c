/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Call counts of the module's leaves as JSON. */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "tdx-module.h"

/* Leaf numbers have 16 bits; those of the module are far below this. */
#define MAX_LEAF        256

static void add_side(QList *list, TdxMod *mod, bool guest)
{
    for (unsigned leaf = 0; leaf < MAX_LEAF; leaf++) {
        const char *name;
        uint64_t calls, errors;
        QDict *d;

        if (!tdxmod_leaf_stats(mod, guest, leaf, &name, &calls, &errors)) {
            continue;
        }
        d = qdict_new();
        qdict_put_str(d, "name", name);
        qdict_put_str(d, "side", guest ? "guest" : "host");
        qdict_put_int(d, "leaf", leaf);
        qdict_put_int(d, "calls", calls);
        qdict_put_int(d, "errors", errors);
        qlist_append(list, d);
    }
}

char *tdx_leaf_stats_json(TdxMod *mod)
{
    g_autoptr(QList) list = qlist_new();
    g_autoptr(GString) text = NULL;

    if (mod) {
        add_side(list, mod, false);
        add_side(list, mod, true);
    }
    text = qobject_to_json(QOBJECT(list));
    return g_strdup(text->str);
}
