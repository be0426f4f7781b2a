/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -object tdx-module: gives the machine SEAM and a TDX module.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qom/object_interfaces.h"
#include "hw/qdev-core.h"
#include "migration/blocker.h"
#include "system/reset.h"
#include "system/system.h"
#include "system/tcg.h"
#include "tdx-module.h"

#define MIN_TDX_KEYIDS  2       /* the module's own, and one for a TD */

static TdxModule *the_module;   /* one a machine */

/* --- what the user may say ----------------------------------------------- */

static bool parse_version(const char *text, SeamConfig *c, Error **errp)
{
    g_auto(GStrv) part = g_strsplit(text, ".", -1);
    uint16_t *to[] = { &c->major, &c->minor, &c->update };
    unsigned n = g_strv_length(part), value;

    for (unsigned i = 0; n == ARRAY_SIZE(to) && i < n; i++) {
        if (qemu_strtoui(part[i], NULL, 10, &value) || value > UINT16_MAX) {
            n = 0;
        } else {
            *to[i] = value;
        }
    }
    if (n != ARRAY_SIZE(to)) {
        error_setg(errp, "tdx-module: version '%s' is not MAJOR.MINOR.UPDATE, "
                   "as in 1.5.20", text);
        return false;
    }
    return true;
}

/* yyyymmdd, in digits: that is BCD when read as a hexadecimal number. */
static bool parse_build_date(const char *text, SeamConfig *c, Error **errp)
{
    unsigned value = 0, month, day;
    bool ok = strlen(text) == 8 && strspn(text, "0123456789") == 8 &&
              qemu_strtoui(text, NULL, 16, &value) == 0;

    month = value >> 8 & 0xff;
    day = value & 0xff;
    if (!ok || month < 0x01 || month > 0x12 || day < 0x01 || day > 0x31) {
        error_setg(errp, "tdx-module: build-date '%s' is not a date written "
                   "YYYYMMDD, as in 20251103", text);
        return false;
    }
    c->build_date = value;
    return true;
}

static bool check_keyids(TdxModule *t, SeamConfig *c, Error **errp)
{
    uint64_t total = (uint64_t)t->num_tdx_keyids + t->num_mktme_keyids;

    if (t->keyid_bits < 1 || t->keyid_bits > SEAM_MAX_KEYID_BITS) {
        error_setg(errp, "tdx-module: keyid-bits is %u and must be from 1 to "
                   "%d", t->keyid_bits, SEAM_MAX_KEYID_BITS);
        return false;
    }
    if (t->num_tdx_keyids < MIN_TDX_KEYIDS) {
        error_setg(errp, "tdx-module: num-tdx-keyids is %u and must be at "
                   "least %d: one for the module and one for a TD",
                   t->num_tdx_keyids, MIN_TDX_KEYIDS);
        return false;
    }
    if (total >= 1ull << t->keyid_bits) {
        error_setg(errp, "tdx-module: %u TDX and %u MKTME KeyIDs need more "
                   "than the %u of keyid-bits=%u", t->num_tdx_keyids,
                   t->num_mktme_keyids, (1u << t->keyid_bits) - 1,
                   t->keyid_bits);
        return false;
    }
    c->keyid_bits = t->keyid_bits;
    c->num_tdx_keyids = t->num_tdx_keyids;
    c->num_mktme_keyids = t->num_mktme_keyids;
    return true;
}

static bool check_dynamic_pamt(TdxModule *t, SeamConfig *c, Error **errp)
{
    unsigned least = SEAM_MAX_PA - SEAM_DYNAMIC_PAMT_MAX_PA;

    if (t->dynamic_pamt && t->keyid_bits < least) {
        error_setg(errp, "tdx-module: dynamic-pamt=on needs keyid-bits of at "
                   "least %u, so that addresses without KeyID have at most %u "
                   "bits", least, SEAM_DYNAMIC_PAMT_MAX_PA);
        return false;
    }
    c->dynamic_pamt = t->dynamic_pamt;
    return true;
}

/* --- life cycle ---------------------------------------------------------- */

static void tdx_module_reset(void *opaque)
{
    seam_system_reset();
}

/* All CPUs and all RAM are there; nothing has run yet. */
static void tdx_module_machine_done(Notifier *n, void *data)
{
    TdxCmr cmr[TDXMOD_MAX_CMRS];
    Error *err = NULL;
    unsigned num;

    if (!tcg_enabled()) {
        error_setg(&err, "tdx-module: it needs the emulated CPU; use "
                   "-accel tcg");
    } else {
        num = tdx_find_cmrs(cmr, &err);
        if (num && seam_start(cmr, num, &err)) {
            qemu_register_reset(tdx_module_reset, NULL);
            return;
        }
    }
    error_report_err(err);
    exit(1);
}

/* No vmstate yet: a snapshot would lose the TDs without a word. */
static bool block_migration(Error **errp)
{
    static Error *blocker;

    error_setg(&blocker, "a machine with a tdx-module object cannot be saved "
               "or migrated yet");
    return migrate_add_blocker(&blocker, errp) == 0;
}

static void tdx_module_complete(UserCreatable *uc, Error **errp)
{
    TdxModule *t = TDX_MODULE(uc);
    SeamConfig c = { .seed = t->seed };

    if (the_module) {
        error_setg(errp, "tdx-module: a machine has one TDX module, and this "
                   "one has it already");
        return;
    }
    if (phase_check(PHASE_MACHINE_INITIALIZED)) {
        error_setg(errp, "tdx-module: it cannot be added to a machine that "
                   "has started");
        return;
    }
    if (!check_keyids(t, &c, errp) || !check_dynamic_pamt(t, &c, errp) ||
        !parse_version(t->version, &c, errp) ||
        !parse_build_date(t->build_date, &c, errp) || !block_migration(errp)) {
        return;
    }
    the_module = t;
    t->complete = true;
    tdx_offer_tme();
    seam_configure(&c);
    t->machine_done.notify = tdx_module_machine_done;
    qemu_add_machine_init_done_notifier(&t->machine_done);
}

/* The CPUs were built for it: it stays. */
static bool tdx_module_can_be_deleted(UserCreatable *uc)
{
    return !TDX_MODULE(uc)->complete;
}

/* --- properties ---------------------------------------------------------- */

typedef struct TdxProperty {
    const char *name;
    enum { PROP_U32, PROP_U64, PROP_STR, PROP_BOOL } type;
    size_t offset;
    const char *description;
} TdxProperty;

#define AT(member) offsetof(TdxModule, member)
static const TdxProperty tdx_properties[] = {
    { "num-tdx-keyids", PROP_U32, AT(num_tdx_keyids),
      "Number of private (TDX) KeyIDs; the first is the module's own "
      "(default: 32)" },
    { "num-mktme-keyids", PROP_U32, AT(num_mktme_keyids),
      "Number of shared (MKTME) KeyIDs besides KeyID 0 (default: 31)" },
    { "keyid-bits", PROP_U32, AT(keyid_bits),
      "Number of upper physical address bits that are the KeyID "
      "(default: 6)" },
    { "version", PROP_STR, AT(version),
      "Version that the module reports, as MAJOR.MINOR.UPDATE "
      "(default: 1.5.20)" },
    { "build-date", PROP_STR, AT(build_date),
      "Build date that the module reports, as YYYYMMDD (default: 20251103)" },
    { "dynamic-pamt", PROP_BOOL, AT(dynamic_pamt),
      "Offer Dynamic PAMT (default: off)" },
    { "seed", PROP_U64, AT(seed),
      "Make the module's random numbers follow from this number; 0: take the "
      "host's (default: 0)" },
};

static const char *const type_name[] = {
    [PROP_U32] = "uint32", [PROP_U64] = "uint64",
    [PROP_STR] = "string", [PROP_BOOL] = "bool",
};

static void visit_property(const TdxProperty *p, void *field, Visitor *v,
                           const char *name, Error **errp)
{
    switch (p->type) {
    case PROP_U32:
        visit_type_uint32(v, name, field, errp);
        break;
    case PROP_U64:
        visit_type_uint64(v, name, field, errp);
        break;
    case PROP_BOOL:
        visit_type_bool(v, name, field, errp);
        break;
    case PROP_STR:
        visit_type_str(v, name, field, errp);
        break;
    }
}

static void tdx_get(Object *obj, Visitor *v, const char *name, void *opaque,
                    Error **errp)
{
    const TdxProperty *p = opaque;

    visit_property(p, (char *)TDX_MODULE(obj) + p->offset, v, name, errp);
}

static void tdx_set(Object *obj, Visitor *v, const char *name, void *opaque,
                    Error **errp)
{
    TdxModule *t = TDX_MODULE(obj);
    const TdxProperty *p = opaque;
    void *field = (char *)t + p->offset;

    if (t->complete) {
        error_setg(errp, "tdx-module: '%s' cannot be changed any more", name);
        return;
    }
    if (p->type == PROP_STR) {
        char *text = NULL;

        if (visit_type_str(v, name, &text, errp)) {
            g_free(*(char **)field);
            *(char **)field = text;
        }
        return;
    }
    visit_property(p, field, v, name, errp);
}

static char *tdx_get_leaf_stats(Object *obj, Error **errp)
{
    return tdx_leaf_stats_json(TDX_MODULE(obj)->complete ? seam_module() : NULL);
}

static void tdx_get_pages_in_use(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    TdxMod *mod = TDX_MODULE(obj)->complete ? seam_module() : NULL;
    uint64_t pages = mod ? tdxmod_pages_in_use(mod) : 0;

    visit_type_uint64(v, name, &pages, errp);
}

static void add_properties(ObjectClass *oc)
{
    for (int i = 0; i < ARRAY_SIZE(tdx_properties); i++) {
        const TdxProperty *p = &tdx_properties[i];

        object_class_property_add(oc, p->name, type_name[p->type], tdx_get,
                                  tdx_set, NULL, (void *)p);
        object_class_property_set_description(oc, p->name, p->description);
    }
    object_class_property_add_str(oc, "leaf-stats", tdx_get_leaf_stats, NULL);
    object_class_property_set_description(oc, "leaf-stats",
        "Calls and errors of each leaf, as a JSON array (read-only)");
    object_class_property_add(oc, "pages-in-use", "uint64",
                              tdx_get_pages_in_use, NULL, NULL, NULL);
    object_class_property_set_description(oc, "pages-in-use",
        "Pages that belong to the module or to a TD (read-only)");
}

static void tdx_module_class_init(ObjectClass *oc, void *data)
{
    UserCreatableClass *ucc = USER_CREATABLE_CLASS(oc);

    ucc->complete = tdx_module_complete;
    ucc->can_be_deleted = tdx_module_can_be_deleted;
    add_properties(oc);
}

static void tdx_module_init(Object *obj)
{
    TdxModule *t = TDX_MODULE(obj);

    t->num_tdx_keyids = 32;
    t->num_mktme_keyids = 31;
    t->keyid_bits = 6;
    t->version = g_strdup("1.5.20");
    t->build_date = g_strdup("20251103");
}

static void tdx_module_finalize(Object *obj)
{
    TdxModule *t = TDX_MODULE(obj);

    if (the_module == t) {
        qemu_remove_machine_init_done_notifier(&t->machine_done);
        the_module = NULL;
    }
    g_free(t->version);
    g_free(t->build_date);
}

static const TypeInfo tdx_module_info = {
    .name = TYPE_TDX_MODULE,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(TdxModule),
    .instance_init = tdx_module_init,
    .instance_finalize = tdx_module_finalize,
    .class_init = tdx_module_class_init,
    .interfaces = (InterfaceInfo[]) {
        { TYPE_USER_CREATABLE },
        { }
    },
};

static void tdx_module_register(void)
{
    type_register_static(&tdx_module_info);
}
type_init(tdx_module_register)
