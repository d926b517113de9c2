/* SPDX-License-Identifier: MIT */
/*
 * Random hypercalls through the door: all of the model's calls, among each other and in multicalls, with arguments that are
 * mostly plausible. All invariants hold after each call, whatever came of it; and each command both does its work and is refused
 * now and then, else the test says nothing. PINION_SEED gives the seed.
 */
#include "model_kit.h"

#define MACHINES 150
#define STEPS	 250
#define POOL	 20
#define LIST	 1024 /* offset of what a call points to further on */

struct run {
	struct kit *kit;
	struct rng rng;
	mfn_t pool[POOL];
};

/* What of each command's calls was done, and what refused. */
static unsigned int ext_done[20], ext_refused[20], op_done[32], op_refused[32], other_done[64],
	other_refused[64];

/* Commands of memory_op that change something. */
static const unsigned int ops[] = { XENMEM_increase_reservation, XENMEM_decrease_reservation,
				    XENMEM_populate_physmap, XENMEM_exchange };

static uint64_t below(struct run *r, uint64_t n)
{
	return rng_below(&r->rng, n);
}

/* One of the pool mostly; of those that became nobody's there are soon some. */
static uint64_t any_frame(struct run *r)
{
	static const uint64_t others[] = { 0, 5, 17, 25, 255, 300, UINT64_MAX };

	if (below(r, 12) == 0)
		return others[below(r, ARRAY_SIZE(others))];
	return mfn_x(r->pool[below(r, POOL)]);
}

static uint64_t any_va(struct run *r)
{
	static const uint64_t odd[] = { 0, UINT64_C(0xffff800000000000), KIT_VA + KIT_BYTES };

	return below(r, 12) ? KIT_VA + LIST : odd[below(r, ARRAY_SIZE(odd))];
}

static domid_t any_domain(struct run *r)
{
	static const domid_t odd[] = { 0, 1, 77, DOMID_IO, DOMID_XEN };

	return below(r, 12) ? DOMID_SELF : odd[below(r, ARRAY_SIZE(odd))];
}

static uint64_t any_entry(struct run *r)
{
	static const uint64_t rights[] = { LEAF, LEAF_RO, LINK | PTE_A, LEAF_RO | PTE_NX };

	if (below(r, 4) == 0)
		return 0;
	return pte_make(_mfn(any_frame(r)), rights[below(r, ARRAY_SIZE(rights))]);
}

/* Arguments of call @nr; the lists they point to are at LIST. */
static void fill_update(struct run *r, uint64_t *args)
{
	struct mmu_update req[3];

	for (unsigned int i = 0; i < 3; i++) {
		req[i].ptr = kit_ptr(_mfn(any_frame(r)), (unsigned int)below(r, 4) * 170);
		req[i].ptr |= below(r, 9) ? 0 : below(r, 8);
		req[i].val = any_entry(r);
	}
	kit_put(r->kit, LIST, req, sizeof(req));
	args[0] = any_va(r);
	args[1] = below(r, 4);
	args[3] = any_domain(r);
}

static void fill_ext(struct run *r, uint64_t *args)
{
	struct mmuext_op op = { .cmd = (unsigned int)below(r, 20) };
	uint64_t vcpus = below(r, 2);

	op.arg1.mfn = any_frame(r);
	op.arg2.src_mfn = any_frame(r);
	if (op.cmd == MMUEXT_TLB_FLUSH_MULTI || op.cmd == MMUEXT_INVLPG_MULTI)
		set_xen_guest_handle(op.arg2.vcpumask, (void *)(any_va(r) + 512));
	if (op.cmd == MMUEXT_SET_LDT) {
		op.arg1.linear_addr = below(r, 3) << PAGE_SHIFT | (below(r, 9) ? 0 : 8);
		op.arg2.nr_ents = (unsigned int)below(r, 9000);
	}
	kit_put(r->kit, LIST, &op, sizeof(op));
	kit_put(r->kit, LIST + 512, &vcpus, sizeof(vcpus));
	args[0] = any_va(r);
	args[1] = 1;
	args[3] = any_domain(r);
}

static void fill_memory(struct run *r, uint64_t *args)
{
	struct xen_memory_exchange x = { .nr_exchanged = 0 };
	const uint64_t frames[4] = { any_frame(r), any_frame(r), any_frame(r), any_frame(r) };

	args[0] = below(r, 4) ? ops[below(r, ARRAY_SIZE(ops))] : below(r, 32);
	args[1] = any_va(r);
	x.in.nr_extents = below(r, 4);
	x.in.extent_order = below(r, 4) ? 0 : (unsigned int)below(r, 3);
	x.in.mem_flags = below(r, 8) ? 0 : (unsigned int)below(r, 1 << 19);
	x.in.domid = any_domain(r);
	x.out = x.in;
	set_xen_guest_handle(x.in.extent_start, (xen_pfn_t *)(any_va(r) + 512));
	set_xen_guest_handle(x.out.extent_start, (xen_pfn_t *)(any_va(r) + 768));
	kit_put(r->kit, LIST, &x, sizeof(x));
	kit_put(r->kit, LIST + 512, frames, sizeof(frames));
	kit_put(r->kit, LIST + 768, frames, sizeof(frames));
}

static unsigned int fill(struct run *r, uint64_t *args)
{
	static const unsigned int numbers[] = {
		__HYPERVISOR_mmu_update, __HYPERVISOR_mmu_update,
		__HYPERVISOR_mmuext_op,	 __HYPERVISOR_mmuext_op,
		__HYPERVISOR_memory_op,	 __HYPERVISOR_update_va_mapping,
		__HYPERVISOR_set_gdt,	 __HYPERVISOR_update_descriptor,
		__HYPERVISOR_vm_assist,	 __HYPERVISOR_update_va_mapping_otherdomain,
	};
	const unsigned int nr = numbers[below(r, ARRAY_SIZE(numbers))];
	const uint64_t frames[2] = { any_frame(r), any_frame(r) };

	switch (nr) {
	case __HYPERVISOR_mmu_update:
		fill_update(r, args);
		break;
	case __HYPERVISOR_mmuext_op:
		fill_ext(r, args);
		break;
	case __HYPERVISOR_memory_op:
		fill_memory(r, args);
		break;
	case __HYPERVISOR_set_gdt:
		args[0] = below(r, 12) ? kit_put(r->kit, LIST, frames, sizeof(frames)) : 8;
		args[1] = below(r, 20) ? below(r, 1025) : 7169;
		break;
	case __HYPERVISOR_update_descriptor:
		args[0] = kit_ptr(_mfn(any_frame(r)), 0);
		args[1] = below(r, 2) ? UINT64_C(0x00cff3000000ffff) : rng_next(&r->rng);
		break;
	case __HYPERVISOR_vm_assist:
		args[0] = below(r, 3);
		args[1] = below(r, 2) ? VMASST_TYPE_m2p_strict : below(r, 8);
		break;
	default:
		args[0] = below(r, 4) << PAGE_SHIFT;
		args[1] = any_entry(r);
		args[2] = below(r, 4);
		args[3] = any_domain(r);
		break;
	}
	return nr;
}

static void note(unsigned int nr, const struct run *r, const uint64_t *args, long rc)
{
	uint32_t cmd;

	memcpy(&cmd, r->kit->mem + LIST, sizeof(cmd));
	other_done[nr] += rc >= 0;
	other_refused[nr] += rc < 0;
	if (nr == __HYPERVISOR_mmuext_op) {
		ext_done[cmd] += rc == 0;
		ext_refused[cmd] += rc < 0;
	}
	if (nr == __HYPERVISOR_memory_op) {
		op_done[args[0]] += rc > 0 || (args[0] == XENMEM_exchange && rc == 0);
		op_refused[args[0]] += rc < 0 || (rc == 0 && args[0] != XENMEM_exchange);
	}
}

static void step(struct run *r)
{
	struct multicall_entry entry = { .op = 0 };
	uint64_t args[6] = { 0 };
	const unsigned int nr = fill(r, args);
	uint64_t list;

	if (below(r, 4)) {
		note(nr, r, args, model_hypercall(&r->kit->m, nr, args));
	} else {
		entry.op = nr;
		memcpy(entry.args, args, sizeof(args));
		list = kit_put(r->kit, 0, &entry, sizeof(entry));
		assert_int_equal(kit_call(r->kit, __HYPERVISOR_multicall, list, 1, 0, 0), 0);
	}
	if (below(r, 8) == 0) {
		model_map_ldt(&r->kit->m, below(r, 3) << PAGE_SHIFT);
		kit_check(r->kit);
	}
	/* what was given up is had again under another number: the pool follows */
	for (unsigned int i = 0; i < POOL; i++)
		if (kit_frame(r->kit, r->pool[i])->owner != MODEL_GUEST && below(r, 4) == 0) {
			const mfn_t mfn = model_alloc(&r->kit->m);

			if (mfn_eq(mfn, INVALID_MFN))
				continue;
			memset(r->kit->page[mfn_x(mfn)], 0, PAGE_SIZE);
			r->pool[i] = mfn;
		}
}

static void play(struct run *r, const struct model_profile *profile)
{
	r->kit = kit_new(profile);
	r->kit->m.check_every = 1;
	r->pool[0] = r->kit->l4;
	r->pool[1] = r->kit->l3;
	r->pool[2] = r->kit->l2;
	r->pool[3] = r->kit->l1;
	for (unsigned int i = 4; i < POOL; i++)
		r->pool[i] = kit_page(r->kit);
	for (unsigned int i = 0; i < STEPS; i++)
		step(r);
	kit_free(r->kit);
}

/* Whether the calls counted in @n of both kinds are all there. */
static void both(const char *what, unsigned int n, const unsigned int *done,
		 const unsigned int *refused)
{
	print_message("%s %u: %u done, %u refused\n", what, n, done[n], refused[n]);
	assert_true(done[n] > 20 && refused[n] > 20);
}

static void test_calls(void **state)
{
	static const unsigned int numbers[] = {
		__HYPERVISOR_mmu_update, __HYPERVISOR_update_va_mapping,
		__HYPERVISOR_set_gdt,	 __HYPERVISOR_update_descriptor,
		__HYPERVISOR_vm_assist,
	};
	struct model_profile debug = kit_dom0;
	struct run r;

	(void)state;
	debug.debug = true;
	host_seed(&r.rng);
	for (unsigned int i = 0; i < MACHINES; i++)
		play(&r, i % 4 == 3 ? &debug : i % 2 ? &kit_dom0 : &kit_domu);
	for (unsigned int cmd = 0; cmd <= MMUEXT_COPY_PAGE; cmd++)
		if (cmd != 14)
			both("mmuext_op", cmd, ext_done, ext_refused);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		both("memory_op", ops[i], op_done, op_refused);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		both("hypercall", numbers[i], other_done, other_refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_calls) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
