/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making and destroying a TD through /dev/kvm, in the order of the kernel's
 * Documentation/virt/kvm/x86/intel-tdx.rst: VM, capabilities, INIT_VM, guest_memfd
 * memory, vCPUs, INIT_VCPU, measured INIT_MEM_REGION, FINALIZE_VM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tdlaunch.h"

#define ATTR_SEPT_VE_DISABLE (1ULL << 28)
#define XFAM_X87_SSE_AVX     7ULL
#define APIC_BUS_NS          40 /* 25 MHz, the crystal that a TD's CPUID 0x15 gives */
#define CPUID1_ECX_X2APIC    (1u << 21)

static bool fail(struct td *td, const char *what, uint64_t hw_error)
{
    if (td->injected && errno == ENOMEM) {
        td_check(td, true, "%s: no memory, as a page allocation failed", what);
        return false;
    }
    if (hw_error) {
        td_check(td, false, "%s: %s, SEAMCALL status %#llx", what, strerror(errno),
                 (unsigned long long)hw_error);
    } else {
        td_check(td, false, "%s: %s", what, strerror(errno));
    }
    return false;
}

/* KVM_MEMORY_ENCRYPT_OP on a VM or vCPU. */
static bool tdx_op(struct td *td, int fd, unsigned id, unsigned flags, uint64_t data,
                   const char *what)
{
    struct tdx_uapi_cmd cmd = { .id = id, .flags = flags, .data = data };

    /* EAGAIN and EBUSY: another TD held a lock of the module. */
    for (int tries = 0; tries < 1000; tries++) {
        if (!td_fail_ioctl(td, fd, KVM_MEMORY_ENCRYPT_OP, &cmd)) {
            return true;
        }
        if (errno != EAGAIN && errno != EBUSY && errno != EINTR) {
            break;
        }
        cmd = (struct tdx_uapi_cmd) { .id = id, .flags = flags, .data = data };
    }
    return fail(td, what, cmd.hw_error);
}

static bool enable_cap(struct td *td, unsigned cap, uint64_t arg0, uint64_t arg1,
                       const char *what)
{
    struct kvm_enable_cap c = { .cap = cap, .args = { arg0, arg1 } };

    return ioctl(td->vm, KVM_ENABLE_CAP, &c) ? fail(td, what, 0) : true;
}

static bool create_vm(struct td *td)
{
    int types;

    td->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (td->kvm < 0) {
        return fail(td, "open /dev/kvm", 0);
    }
    types = ioctl(td->kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
    if (types < 0 || !(types & 1 << KVM_X86_TDX_VM)) {
        errno = EOPNOTSUPP;
        return fail(td, "KVM_CAP_VM_TYPES has no TDX (see dmesg, and kvm_intel.tdx=1)",
                    0);
    }
    td->run_size = ioctl(td->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    td->vm = ioctl(td->kvm, KVM_CREATE_VM, KVM_X86_TDX_VM);
    if (td->vm < 0) {
        return fail(td, "KVM_CREATE_VM", 0);
    }
    if (ioctl(td->vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS) < (int)td->opt->vcpus) {
        errno = EINVAL;
        return fail(td, "--vcpus is more than KVM_CAP_MAX_VCPUS", 0);
    }
    return enable_cap(td, KVM_CAP_SPLIT_IRQCHIP, 24, 0, "KVM_CAP_SPLIT_IRQCHIP") &&
           enable_cap(td, KVM_CAP_X2APIC_API,
                      KVM_X2APIC_API_USE_32BIT_IDS |
                          KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
                      0, "KVM_CAP_X2APIC_API") &&
           enable_cap(td, KVM_CAP_X86_APIC_BUS_CYCLES_NS, APIC_BUS_NS, 0,
                      "KVM_CAP_X86_APIC_BUS_CYCLES_NS") &&
           enable_cap(td, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE, 0,
                      "KVM_CAP_EXIT_HYPERCALL");
}

static const struct kvm_cpuid_entry2 *find_cpuid(const struct tdx_uapi_cpuid *c,
                                                 uint32_t leaf, uint32_t sub)
{
    for (uint32_t i = 0; i < c->nent; i++) {
        if (c->entries[i].function == leaf && c->entries[i].index == sub) {
            return &c->entries[i];
        }
    }
    return NULL;
}

/* CPUID 0x1F for vcpus cores of one thread each in one package. */
static void topology(struct kvm_cpuid_entry2 *e, unsigned vcpus)
{
    unsigned shift = 0;

    while (1u << shift < vcpus) {
        shift++;
    }
    e->eax = e->ebx = e->ecx = e->edx = 0;
    if (e->index == 0) {
        e->ebx = 1;
        e->ecx = 1 << 8; /* level type: SMT */
    } else if (e->index == 1) {
        e->eax = shift;
        e->ebx = vcpus;
        e->ecx = 2 << 8 | 1; /* level type: core */
    }
}

/*
 * Value for a configurable leaf: what KVM supports, within the bits that may be
 * configured.
 */
static void configure_leaf(struct kvm_cpuid_entry2 *e,
                           const struct tdx_uapi_cpuid *supported, unsigned vcpus)
{
    const struct kvm_cpuid_entry2 *s = find_cpuid(supported, e->function, e->index);
    struct kvm_cpuid_entry2 mask = *e;

    e->eax = s ? s->eax : 0;
    e->ebx = s ? s->ebx : 0;
    e->ecx = s ? s->ecx : 0;
    e->edx = s ? s->edx : 0;
    if (e->function == 0x1f) {
        topology(e, vcpus);
    }
    if (e->function == 1) {
        e->ebx = (e->ebx & ~0xff0000u) | vcpus << 16;
    }
    if (e->function == 0x80000008) {
        e->eax = (e->eax & ~0xff0000u) | 48 << 16; /* GPA width */
    }
    e->eax &= mask.eax;
    e->ebx &= mask.ebx;
    e->ecx &= mask.ecx;
    e->edx &= mask.edx;
}

/* What was asked for, when the module refuses it. */
static void print_cpuid(struct td *td, const struct tdx_uapi_cpuid *c)
{
    for (uint32_t i = 0; i < c->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &c->entries[i];

        td_say(td, "# CPUID %#x.%u: %08x %08x %08x %08x", e->function, e->index, e->eax,
               e->ebx, e->ecx, e->edx);
    }
}

static bool init_vm(struct td *td, struct tdx_uapi_caps *caps,
                    struct tdx_uapi_init_vm *init, struct tdx_uapi_cpuid *supported)
{
    caps->cpuid.nent = TDX_MAX_CPUID;
    if (!tdx_op(td, td->vm, TDX_CMD_CAPABILITIES, 0, (uintptr_t)caps,
                "KVM_TDX_CAPABILITIES")) {
        return false;
    }
    supported->nent = TDX_MAX_CPUID;
    if (ioctl(td->kvm, KVM_GET_SUPPORTED_CPUID, supported)) {
        return fail(td, "KVM_GET_SUPPORTED_CPUID", 0);
    }
    init->attributes = td->attributes = caps->supported_attrs & ATTR_SEPT_VE_DISABLE;
    init->xfam = td->xfam = caps->supported_xfam & XFAM_X87_SSE_AVX;
    td_check(td, init->attributes && (init->xfam & 3) == 3,
             "KVM_TDX_CAPABILITIES: SEPT_VE_DISABLE, x87 and SSE are supported");
    for (int i = 0; i < 48; i++) {
        init->mrconfigid[i] = TD_MRCONFIGID_BASE + i;
        init->mrowner[i] = TD_MROWNER_BASE + i;
        init->mrownerconfig[i] = TD_MROWNERCONFIG_BASE + i;
    }
    init->cpuid.nent = caps->cpuid.nent;
    for (uint32_t i = 0; i < caps->cpuid.nent; i++) {
        init->cpuid.entries[i] = caps->cpuid.entries[i];
        /* Without the flag KVM takes the first entry of a leaf for all its subleaves. */
        init->cpuid.entries[i].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        configure_leaf(&init->cpuid.entries[i], supported, td->opt->vcpus);
    }
    if (!tdx_op(td, td->vm, TDX_CMD_INIT_VM, 0, (uintptr_t)init, "KVM_TDX_INIT_VM")) {
        print_cpuid(td, &init->cpuid);
        return false;
    }
    return true;
}

static bool add_memory(struct td *td, enum td_slot slot, uint64_t gpa, uint64_t size)
{
    struct td_memory *m = &td->mem[slot];
    struct tdx_uapi_gmem gmem = { .size = size };
    struct tdx_uapi_region2 region = { .slot = slot, .flags = KVM_MEM_GUEST_MEMFD };

    m->gpa = gpa;
    m->size = size;
    m->host = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->host == MAP_FAILED) {
        m->host = NULL;
        return fail(td, "mmap of guest memory", 0);
    }
    madvise(m->host, size,
            MADV_NOHUGEPAGE); /* so that KVM's count of 4K pages is exact */
    m->gmem = ioctl(td->vm, TDX_UAPI_CREATE_GMEM, &gmem);
    if (m->gmem < 0) {
        return fail(td, "KVM_CREATE_GUEST_MEMFD", 0);
    }
    region.guest_phys_addr = gpa;
    region.memory_size = size;
    region.userspace_addr = (uintptr_t)m->host;
    region.guest_memfd = m->gmem;
    if (ioctl(td->vm, TDX_UAPI_SET_REGION2, &region)) {
        return fail(td, "KVM_SET_USER_MEMORY_REGION2", 0);
    }
    return td_convert(td, gpa, size, true);
}

static struct td_memory *find_memory(struct td *td, uint64_t gpa, uint64_t size)
{
    for (int i = 0; i < TD_SLOTS; i++) {
        struct td_memory *m = &td->mem[i];

        if (m->host && gpa >= m->gpa && gpa - m->gpa <= m->size &&
            size <= m->size - (gpa - m->gpa)) {
            return m;
        }
    }
    return NULL;
}

/* Host address of guest memory as the guest's shared accesses see it, or NULL. */
uint8_t *td_shared(struct td *td, uint64_t gpa, uint64_t size)
{
    struct td_memory *m = find_memory(td, gpa, size);

    return m ? m->host + (gpa - m->gpa) : NULL;
}

/* Sets the attribute of a range and frees the half that is no longer in use. */
bool td_convert(struct td *td, uint64_t gpa, uint64_t size, bool to_private)
{
    struct tdx_uapi_attributes a = {
        .address = gpa,
        .size = size,
        .attributes = to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
    };
    struct td_memory *m = find_memory(td, gpa, size);
    int err;

    if (!m) {
        errno = EFAULT;
        return fail(td, "conversion outside of memory", 0);
    }
    while ((err = ioctl(td->vm, TDX_UAPI_SET_ATTRIBUTES, &a)) && errno == EINTR) {
    }
    if (err) {
        return fail(td, "KVM_SET_MEMORY_ATTRIBUTES", 0);
    }
    if (to_private) {
        err = madvise(m->host + (gpa - m->gpa), size, MADV_DONTNEED);
    } else {
        err = fallocate(m->gmem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, gpa - m->gpa,
                        size);
    }
    return err ? fail(td, "freeing converted memory", 0) : true;
}

/*
 * The vCPU's CPUID for KVM: what it supports, with x2APIC, plus what the module
 * virtualises.
 */
static bool set_cpuid(struct td *td, struct td_vcpu *v, struct tdx_uapi_cpuid *cpuid)
{
    struct kvm_cpuid_entry2 *e;

    cpuid->nent = TDX_MAX_CPUID;
    if (ioctl(td->kvm, KVM_GET_SUPPORTED_CPUID, cpuid)) {
        return fail(td, "KVM_GET_SUPPORTED_CPUID", 0);
    }
    e = (struct kvm_cpuid_entry2 *)find_cpuid(cpuid, 1, 0);
    if (e) {
        e->ecx |= CPUID1_ECX_X2APIC;
        e->ebx = (e->ebx & 0xffff) | v->index << 24 | td->opt->vcpus << 16;
    }
    return ioctl(v->fd, KVM_SET_CPUID2, cpuid) ? fail(td, "KVM_SET_CPUID2", 0) : true;
}

static bool check_td_cpuid(struct td *td, struct td_vcpu *v, struct tdx_uapi_cpuid *cpuid)
{
    const struct kvm_cpuid_entry2 *e;

    memset(cpuid, 0, sizeof(*cpuid));
    cpuid->nent = TDX_MAX_CPUID;
    if (!tdx_op(td, v->fd, TDX_CMD_GET_CPUID, 0, (uintptr_t)cpuid, "KVM_TDX_GET_CPUID")) {
        return false;
    }
    e = find_cpuid(cpuid, 0, 0);
    return td_check(
        td, e && e->ebx == 0x756e6547 && e->edx == 0x49656e69 && e->ecx == 0x6c65746e,
        "KVM_TDX_GET_CPUID: leaf 0 is GenuineIntel");
}

static bool create_vcpu(struct td *td, unsigned index, struct tdx_uapi_cpuid *cpuid)
{
    struct td_vcpu *v = &td->vcpu[index];
    uint32_t cfg =
        TD_CFG(td->opt->vcpus, td->opt->accept_mb * 0x100000ULL, td->opt->mode);

    v->td = td;
    v->index = index;
    v->fd = ioctl(td->vm, KVM_CREATE_VCPU, index);
    if (v->fd < 0) {
        return fail(td, "KVM_CREATE_VCPU", 0);
    }
    v->run = mmap(NULL, td->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        return fail(td, "mmap of a vCPU", 0);
    }
    return set_cpuid(td, v, cpuid) && (index || check_td_cpuid(td, v, cpuid)) &&
           tdx_op(td, v->fd, TDX_CMD_INIT_VCPU, 0, cfg, "KVM_TDX_INIT_VCPU");
}

static bool add_image(struct td *td)
{
    struct tdx_uapi_mem_region region = {
        .source_addr = (uintptr_t)td->image,
        .gpa = TD_IMAGE_GPA,
        .nr_pages = TD_IMAGE_SIZE / 4096,
    };

    td->pages_added = region.nr_pages;
    if (!tdx_op(td, td->vcpu[0].fd, TDX_CMD_INIT_MEM_REGION, TDX_MEASURE_MEMORY_REGION,
                (uintptr_t)&region, "KVM_TDX_INIT_MEM_REGION")) {
        return false;
    }
    return td_check(td, !region.nr_pages,
                    "KVM_TDX_INIT_MEM_REGION: all pages were taken");
}

bool td_create(struct td *td)
{
    struct tdx_uapi_cpuid *cpuid = calloc(1, sizeof(*cpuid));
    struct tdx_uapi_caps *caps = calloc(1, sizeof(*caps));
    struct tdx_uapi_init_vm *init = calloc(1, sizeof(*init));
    bool ok = cpuid && caps && init && create_vm(td) && td_scatter(td) &&
              init_vm(td, caps, init, cpuid) &&
              add_memory(td, TD_SLOT_RAM, 0, td->opt->mem_mb * 0x100000ULL) &&
              add_memory(td, TD_SLOT_IMAGE, TD_IMAGE_GPA, TD_IMAGE_SIZE);

    for (unsigned i = 0; ok && i < td->opt->vcpus; i++) {
        ok = create_vcpu(td, i, cpuid);
    }
    ok = ok && add_image(td) &&
         tdx_op(td, td->vm, TDX_CMD_FINALIZE_VM, 0, 0, "KVM_TDX_FINALIZE_VM");
    free(cpuid);
    free(caps);
    free(init);
    return ok;
}

/*
 * KVM destroys the TD when the last reference goes: vCPUs, their mappings,
 * guest_memfds, VM.
 */
void td_destroy(struct td *td)
{
    for (unsigned i = 0; i < TD_MAX_VCPUS; i++) {
        if (td->vcpu[i].run) {
            munmap(td->vcpu[i].run, td->run_size);
        }
        if (td->vcpu[i].fd > 0) {
            close(td->vcpu[i].fd);
        }
    }
    for (int i = 0; i < TD_SLOTS; i++) {
        if (td->mem[i].gmem > 0) {
            close(td->mem[i].gmem);
        }
        if (td->mem[i].host) {
            munmap(td->mem[i].host, td->mem[i].size);
        }
    }
    if (td->scatter > 0) {
        close(td->scatter);
    }
    if (td->vm > 0) {
        close(td->vm);
    }
    if (td->kvm > 0) {
        close(td->kvm);
    }
}

/* One counter of the VM's binary statistics, or -1. */
int64_t td_kvm_stat(struct td *td, const char *name)
{
    struct kvm_stats_header h;
    char desc[sizeof(struct kvm_stats_desc) + 64];
    int fd = ioctl(td->vm, KVM_GET_STATS_FD, NULL);
    struct kvm_stats_desc *d = (void *)desc;
    int64_t value = -1;

    if (fd < 0 || pread(fd, &h, sizeof(h), 0) != sizeof(h) || h.name_size > 64) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    for (uint32_t i = 0; i < h.num_desc; i++) {
        size_t size = sizeof(*d) + h.name_size;

        if (pread(fd, desc, size, h.desc_offset + i * size) == (ssize_t)size &&
            !strncmp(d->name, name, h.name_size)) {
            if (pread(fd, &value, sizeof(value), h.data_offset + d->offset) !=
                sizeof(value)) {
                value = -1;
            }
            break;
        }
    }
    close(fd);
    return value;
}
