/* SPDX-License-Identifier: MIT */
/* See model_kit.h. */
#include "model_kit.h"

#define DONE_VA (KIT_VA + KIT_BYTES - sizeof(uint32_t))

const struct model_profile kit_dom0 = {
	.dom0 = true,
	.linear_pt = true,
	.maddr_bits = 40,
	.xen_slot = 256,
	.xen_slots = 16,
};

const struct model_profile kit_domu = {
	.linear_pt = true,
	.maddr_bits = 40,
	.xen_slot = 256,
	.xen_slots = 16,
};

static struct kit *of(struct model *m)
{
	return m->ctx;
}

static void *page(struct model *m, mfn_t mfn)
{
	assert_true(mfn_x(mfn) < KIT_FRAMES);
	return of(m)->page[mfn_x(mfn)];
}

/* The @n bytes at @va in the buffer, or NULL. */
static uint8_t *bytes_at(struct model *m, uint64_t va, size_t n)
{
	if (va < KIT_VA || n > KIT_BYTES || va - KIT_VA > KIT_BYTES - n)
		return NULL;
	return of(m)->mem + (va - KIT_VA);
}

static int copy_from(struct model *m, void *dst, uint64_t va, size_t n)
{
	const uint8_t *src = bytes_at(m, va, n);

	if (!src)
		return -EFAULT;
	memcpy(dst, src, n);
	return 0;
}

static int copy_to(struct model *m, uint64_t va, const void *src, size_t n)
{
	uint8_t *dst = bytes_at(m, va, n);

	if (!dst || dst + n > of(m)->mem + of(m)->writable)
		return -EFAULT;
	memcpy(dst, src, n);
	return 0;
}

static void flush_all(struct model *m)
{
	of(m)->flushes++;
}

static void flush_va(struct model *m, uint64_t va)
{
	of(m)->flushes_va++;
	of(m)->flushed_va = va;
}

static void load_base(struct model *m)
{
	of(m)->loads++;
}

static void load_descriptors(struct model *m)
{
	of(m)->descriptors++;
}

static long other(struct model *m, unsigned int nr, const uint64_t *args)
{
	(void)args;
	of(m)->others++;
	of(m)->other_nr = nr;
	return -ENOSYS;
}

static void crash(struct model *m, const char *why)
{
	assert_non_null(why);
	of(m)->crashes++;
}

static const struct model_ops ops = {
	.page = page,
	.copy_from = copy_from,
	.copy_to = copy_to,
	.flush_all = flush_all,
	.flush_va = flush_va,
	.load_base = load_base,
	.load_descriptors = load_descriptors,
	.other = other,
	.crash = crash,
};

struct kit *kit_bare(const struct model_profile *profile)
{
	struct kit *kit = calloc(1, sizeof(*kit));

	assert_non_null(kit);
	model_init(&kit->m, &ops, profile, kit->frame, kit->m2p, KIT_FRAMES);
	kit->m.ctx = kit;
	kit->writable = KIT_BYTES;
	for (uint64_t i = 0; i < 16; i++)
		model_give(&kit->m, _mfn(i), MODEL_IO, 0);
	for (uint64_t i = 16; i < 24; i++)
		model_give(&kit->m, _mfn(i), MODEL_XEN, 0);
	for (uint64_t i = 24; i < KIT_HEAP; i++)
		model_give(&kit->m, _mfn(i), MODEL_OTHER, 0);
	model_share(&kit->m, KIT_SHARED);
	kit->next = KIT_HEAP;
	return kit;
}

struct kit *kit_new(const struct model_profile *profile)
{
	struct kit *kit = kit_bare(profile);

	kit->l4 = kit_page(kit);
	kit->l3 = kit_page(kit);
	kit->l2 = kit_page(kit);
	kit->l1 = kit_page(kit);
	kit->data = kit_page(kit);
	kit_set(kit, kit->l4, 0, kit->l3, LINK);
	kit_set(kit, kit->l3, 0, kit->l2, LINK);
	kit_set(kit, kit->l2, 0, kit->l1, LINK);
	kit_set(kit, kit->l1, 0, kit->data, LEAF);
	assert_int_equal(model_start(&kit->m, kit->l4), 0);
	kit->flushes = 0;
	return kit;
}

void kit_free(struct kit *kit)
{
	free(kit);
}

mfn_t kit_page(struct kit *kit)
{
	mfn_t mfn = _mfn(kit->next++);

	assert_true(mfn_x(mfn) < mfn_x(KIT_SHARED));
	model_give(&kit->m, mfn, MODEL_GUEST, 1000 + mfn_x(mfn));
	memset(kit->page[mfn_x(mfn)], 0, PAGE_SIZE);
	return mfn;
}

struct model_frame *kit_frame(struct kit *kit, mfn_t mfn)
{
	struct model_frame *f = model_frame(&kit->m, mfn);

	assert_non_null(f);
	return f;
}

uint64_t *kit_pte(struct kit *kit, mfn_t table, unsigned int index)
{
	assert_true(index < TABLE_ENTRIES);
	return &kit->page[mfn_x(table)][index];
}

void kit_set(struct kit *kit, mfn_t table, unsigned int index, mfn_t target, uint64_t flags)
{
	*kit_pte(kit, table, index) = pte_make(target, flags);
}

uint64_t kit_ptr(mfn_t table, unsigned int index)
{
	return (mfn_x(table) << PAGE_SHIFT) + index * sizeof(uint64_t);
}

void kit_request(struct kit *kit, unsigned int i, uint64_t ptr, uint64_t val)
{
	const struct mmu_update req = { .ptr = ptr, .val = val };

	memcpy(kit->mem + i * sizeof(req), &req, sizeof(req));
}

long kit_updates(struct kit *kit, unsigned int n, uint32_t foreigndom, uint32_t *done)
{
	const uint64_t args[6] = { KIT_VA, n, DONE_VA, foreigndom };
	uint32_t said = UINT32_MAX;
	long rc;

	memcpy(kit->mem + (DONE_VA - KIT_VA), &said, sizeof(said));
	rc = model_hypercall(&kit->m, __HYPERVISOR_mmu_update, args);
	memcpy(done, kit->mem + (DONE_VA - KIT_VA), sizeof(*done));
	return rc;
}

long kit_update(struct kit *kit, mfn_t table, unsigned int index, uint64_t pte)
{
	uint32_t done;
	long rc;

	kit_request(kit, 0, kit_ptr(table, index) | MMU_NORMAL_PT_UPDATE, pte);
	rc = kit_updates(kit, 1, DOMID_SELF, &done);
	assert_int_equal(done, rc == 0);
	return rc;
}

long kit_call(struct kit *kit, unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	const uint64_t args[6] = { a0, a1, a2, a3 };

	return model_hypercall(&kit->m, nr, args);
}

uint64_t kit_put(struct kit *kit, size_t at, const void *src, size_t n)
{
	assert_true(at <= KIT_BYTES && n <= KIT_BYTES - at);
	memcpy(kit->mem + at, src, n);
	return KIT_VA + at;
}

long kit_ext(struct kit *kit, unsigned int cmd, uint64_t arg1, uint64_t arg2)
{
	struct mmuext_op op = { .cmd = cmd, .arg1.linear_addr = arg1 };
	uint32_t done = UINT32_MAX;
	uint64_t list;
	long rc;

	memcpy(&op.arg2, &arg2, sizeof(arg2));
	list = kit_put(kit, 0, &op, sizeof(op));
	kit_put(kit, DONE_VA - KIT_VA, &done, sizeof(done));
	rc = kit_call(kit, __HYPERVISOR_mmuext_op, list, 1, DONE_VA, DOMID_SELF);
	memcpy(&done, kit->mem + (DONE_VA - KIT_VA), sizeof(done));
	assert_int_equal(done, rc == 0);
	return rc;
}

static void say(const char *line)
{
	print_error("%s\n", line);
}

void kit_check(struct kit *kit)
{
	assert_int_equal(model_check(&kit->m, say), 0);
}

int kit_pin(struct kit *kit, mfn_t table, enum model_type level)
{
	int rc = model_get_page_and_type(&kit->m, table, level);

	if (!rc)
		kit_frame(kit, table)->pinned = true;
	model_finish(&kit->m);
	return rc;
}

void kit_unpin(struct kit *kit, mfn_t table)
{
	assert_true(kit_frame(kit, table)->pinned);
	kit_frame(kit, table)->pinned = false;
	model_put_page_and_type(&kit->m, table);
}
