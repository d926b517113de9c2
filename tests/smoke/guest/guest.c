/* SPDX-License-Identifier: MIT */
/*
 * A second guest for the hypervisor of tests/smoke: what Pinion does not ask of one. User mode and the way
 * back, the failsafe callback, the hypercall page, instructions that Xen emulates, stores to page tables. It
 * shares no address with Pinion, so that the hypervisor can't know any by heart.
 *
 * It prints a line for each check that fails, and one at the end; poweroff if all went well, else crash.
 */
#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/callback.h>
#include <xen/sched.h>
#include <xen/version.h>
#include <pinion/arch/pte.h>
#include <pinion/arch/regs.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include <pinion/lib/string.h>

#define VIRT_BASE UINT64_C(0xffffffffa0000000)

/* The user's code and stack are one page each, at these addresses. */
#define USER_CODE  UINT64_C(0x400000)
#define USER_STACK UINT64_C(0x401000)

#define VECTOR_SYSCALL	100
#define VECTOR_FAILSAFE 101

/* How a try ended: by a trap, and from user mode or not. */
#define ENDED(vector, error) (0x10000 | (vector) << 8 | (error))
#define FROM_USER	     0x20000

#define MSR_FS_BASE 0xc0000100

/* What stub and hypervisor leave on the stack. */
struct frame {
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

extern char hypercall_page[], trap_stubs[], syscall_stub[], failsafe_stub[], event_stub[];
int try(void (*code)(uint64_t), uint64_t arg);
void to_user(const uint64_t *frame);
int trap(const struct frame *frame, uint64_t rax);
__noreturn void guest_main(const struct start_info *si);

static const struct start_info *start_info;
static struct frame last;
static uint64_t last_rax;
static unsigned int checks, failed;

static uint64_t tables[5][512] __aligned(4096); /* user's L4, L3, L2, L1; a shared_info page */
static uint8_t user_code[4096] __aligned(4096), user_stack[4096] __aligned(4096);
static uint64_t kernel_stack[512] __aligned(16);

static long hypercall(unsigned int nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	char *stub = hypercall_page + nr * 32UL;
	register uint64_t r10 __asm__("r10") = a4;
	long rc;

	__asm__ volatile("call *%[stub]"
			 : "=a"(rc), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10)
			 : [stub] "r"(stub)
			 : "r8", "r9", "memory", "cc");
	return rc;
}

void console_write(const char *s, size_t n)
{
	(void)hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, n, (uintptr_t)s, 0);
}

static __noreturn void end(unsigned int reason)
{
	struct sched_shutdown how = { .reason = reason };

	for (;;)
		(void)hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&how, 0, 0);
}

void panic_at(const char *file, int line, const char *fmt, ...)
{
	print("second guest: panic: %s:%d: %s\n", file, line, fmt);
	end(SHUTDOWN_crash);
}

static void check_eq(const char *what, uint64_t got, uint64_t want)
{
	checks++;
	if (got == want)
		return;
	failed++;
	print("second guest: %s: got %#lx, expected %#lx\n", what, got, want);
}

#define CHECK_EQ(got, want) check_eq(#got, (uint64_t)(got), (uint64_t)(want))

int trap(const struct frame *frame, uint64_t rax)
{
	last = *frame;
	last_rax = rax;
	return (int)(ENDED(frame->vector, frame->error) | ((frame->cs & 3) ? FROM_USER : 0));
}

/* Where things are. */

static uint64_t mfn_of(const void *va)
{
	const uint64_t *list = (const uint64_t *)start_info->mfn_list;

	return list[((uintptr_t)va - VIRT_BASE) >> PAGE_SHIFT];
}

/* The start-of-day entry that maps @va, in its table's own mapping. */
static uint64_t *leaf_of(const void *va)
{
	const uint64_t *m2p = (const uint64_t *)MACH2PHYS_VIRT_START;
	uint64_t *table = (uint64_t *)start_info->pt_base;
	unsigned int level;

	for (level = 4; level > 1; level--)
		table = (uint64_t *)(VIRT_BASE +
				     (m2p[mfn_x(pte_mfn(table[va_index((uintptr_t)va, level)]))]
				      << PAGE_SHIFT));
	return &table[va_index((uintptr_t)va, 1)];
}

/* Instructions. */

static void do_hlt(uint64_t arg __maybe_unused)
{
	__asm__ volatile("hlt");
}

static void do_out(uint64_t arg)
{
	__asm__ volatile("outb %%al, %%dx" : : "a"(0), "d"((uint16_t)arg));
}

static void do_lgdt(uint64_t arg)
{
	__asm__ volatile("lgdt (%0)" : : "r"(arg));
}

static void do_fnop(uint64_t arg __maybe_unused)
{
	__asm__ volatile("fnop");
}

static void do_load(uint64_t arg)
{
	(void)*(volatile uint8_t *)arg;
}

static void do_int3(uint64_t arg __maybe_unused)
{
	__asm__ volatile("int3");
}

static void check_instructions(void)
{
	uint32_t eax = XEN_CPUID_FIRST_LEAF, ebx, ecx = 0, edx;
	uint64_t cr0, cr2, cr3;

	CHECK_EQ(try(do_hlt, 0), ENDED(VECTOR_GP, 0));
	CHECK_EQ(try(do_out, 0xf4), ENDED(VECTOR_GP, 0));
	CHECK_EQ(try(do_lgdt, (uintptr_t)tables), ENDED(VECTOR_GP, 0));
	CHECK_EQ(try(do_int3, 0), ENDED(VECTOR_BP, 0));
	CHECK_EQ(last.cs & 0xffff, FLAT_KERNEL_CS & ~3U);
	CHECK_EQ(last.cs >> 32, 1);
	CHECK_EQ(last.ss, FLAT_KERNEL_SS);
	__asm__ volatile("ud2; .ascii \"xen\"; cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	CHECK_EQ(ebx, XEN_CPUID_SIGNATURE_EBX);
	CHECK_EQ(ecx, XEN_CPUID_SIGNATURE_ECX);
	CHECK_EQ(edx, XEN_CPUID_SIGNATURE_EDX);
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	CHECK_EQ(cr3, mfn_of((void *)start_info->pt_base) << PAGE_SHIFT);
	CHECK_EQ(try(do_load, 0x1234), ENDED(VECTOR_PF, 0));
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	CHECK_EQ(cr2, 0x1234);
	/* TS by CR0: what guards the FPU. */
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | 8));
	CHECK_EQ(try(do_fnop, 0), ENDED(VECTOR_NM, 0));
	CHECK_EQ(try(do_fnop, 0), 0);
	__asm__ volatile("mov %0, %%cr0; clts" : : "r"(cr0 | 8));
	CHECK_EQ(try(do_fnop, 0), 0);
}

static void check_segments(void)
{
	static uint64_t words[2] = { 0x1111, 0x2222 };
	uint64_t got, base = (uintptr_t)words;
	uint32_t low, high;

	CHECK_EQ(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, base, 0, 0), 0);
	__asm__ volatile("mov %%fs:0, %0" : "=r"(got));
	CHECK_EQ(got, 0x1111);
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_FS_BASE));
	CHECK_EQ((uint64_t)high << 32 | low, base);
	base += 8;
	__asm__ volatile("wrmsr"
			 :
			 : "a"((uint32_t)base), "d"((uint32_t)(base >> 32)), "c"(MSR_FS_BASE));
	__asm__ volatile("mov %%fs:0, %0" : "=r"(got));
	CHECK_EQ(got, 0x2222);
	CHECK_EQ(hypercall(__HYPERVISOR_set_segment_base, 99, 0, 0, 0), -EINVAL);
	CHECK_EQ(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, UINT64_C(1) << 63, 0, 0),
		 -EINVAL);
}

/*
 * Stores to a live L1 table, which the hypervisor does in the guest's place: to the entry of a page that nobody uses.
 */
static void do_exchange(uint64_t arg)
{
	uint64_t value = 0;

	__asm__ volatile("xchg %0, (%1)" : "+r"(value) : "r"(arg) : "memory");
}

static void check_table_stores(void)
{
	static uint8_t page[4096] __aligned(4096);
	uint64_t *leaf = leaf_of(page), was = *leaf, got;

	__asm__ volatile("movq $0, (%0)" : : "r"(leaf) : "memory");
	CHECK_EQ(*leaf, 0);
	__asm__ volatile("mov %1, 8(%0, %2, 8)" : : "r"(leaf - 3), "r"(was), "r"(2UL) : "memory");
	CHECK_EQ(*leaf, was);
	/* A part of an entry: bits 9 to 11 are the guest's, in its second byte. */
	__asm__ volatile("movb %1, 1(%0)" : : "r"(leaf), "q"((uint8_t)(was >> 8 | 0xe)) : "memory");
	CHECK_EQ(*leaf, was | PTE_AVL);
	__asm__ volatile("movw %1, (%0)" : : "r"(leaf), "r"((uint16_t)was) : "memory");
	CHECK_EQ(*leaf, was);
	__asm__ volatile("movl $0x200, (%0); mov (%0), %1" : : "r"(leaf), "r"(0UL) : "memory");
	got = *leaf;
	CHECK_EQ(got & UINT32_MAX, 0x200);
	__asm__ volatile("movq $0, (%0)" : : "r"(leaf) : "memory");
	__asm__ volatile("mov %1, (%0)" : : "r"(leaf), "r"(was) : "memory");
	page[0] = 1;
	CHECK_EQ(try(do_exchange, (uintptr_t)leaf), ENDED(VECTOR_PF, PF_PRESENT | PF_WRITE));
	CHECK_EQ(*leaf & ~PTE_AD, was & ~PTE_AD);
}

/* User mode. */

static long map(const void *va, uint64_t flags)
{
	return hypercall(__HYPERVISOR_update_va_mapping, (uintptr_t)va,
			 mfn_of(va) << PAGE_SHIFT | flags, UVMF_INVLPG, 0);
}

static void make_user(void)
{
	struct mmuext_op op = { .cmd = MMUEXT_NEW_USER_BASEPTR };
	unsigned int level;

	tables[3][va_index(USER_CODE, 1)] = mfn_of(user_code) << PAGE_SHIFT | PTE_P | PTE_US;
	tables[3][va_index(USER_STACK, 1)] =
		mfn_of(user_stack) << PAGE_SHIFT | PTE_P | PTE_RW | PTE_US | PTE_NX;
	for (level = 4; level > 1; level--)
		tables[4 - level][va_index(USER_CODE, level)] =
			mfn_of(tables[5 - level]) << PAGE_SHIFT | PTE_LINK;
	for (level = 4; level > 0; level--)
		CHECK_EQ(map(tables[4 - level], PTE_KERNEL_RO), 0);
	op.arg1.mfn = mfn_of(tables[0]);
	CHECK_EQ(hypercall(__HYPERVISOR_mmuext_op, (uintptr_t)&op, 1, 0, DOMID_SELF), 0);
	CHECK_EQ(hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS,
			   (uintptr_t)(kernel_stack + ARRAY_SIZE(kernel_stack)), 0, 0),
		 0);
}

/* Runs the bytes @code in user mode, its selectors as given. */
static uint64_t user_cs = FLAT_USER_CS, user_ss = FLAT_USER_SS;

static void enter_user(uint64_t arg __maybe_unused)
{
	const uint64_t frame[6] = { 0, USER_CODE, user_cs, RFLAGS_IF, USER_STACK + 4096, user_ss };

	to_user(frame);
}

static int run_user(const void *code, size_t n)
{
	memset(user_code, 0x90, 32);
	memcpy(user_code, code, n);
	return try(enter_user, 0);
}

static void check_user(void)
{
	static const uint8_t call[] = { 0x0f, 0x05 };		/* syscall */
	static const uint8_t load[] = { 0x48, 0x8b, 0x04, 0x25, /* mov 0xffff...a0200000, %rax */
					0x00, 0x00, 0x20, 0xa0 };
	static const uint8_t m2p[] = { 0x48, 0xb8, 0,	 0,    0,
				       0,    0,	   0x80, 0xff, 0xff,   /* movabs */
				       0x48, 0x8b, 0x00, 0x0f, 0x0b }; /* mov (%rax), %rax; ud2 */
	static const uint8_t hlt[] = { 0xf4 };

	make_user();
	CHECK_EQ(run_user(call, sizeof(call)), ENDED(VECTOR_SYSCALL, 0) | FROM_USER);
	CHECK_EQ(last.rip, USER_CODE + sizeof(call));
	CHECK_EQ(last.cs & 0xffff, FLAT_USER_CS);
	CHECK_EQ(last.rsp, USER_STACK + 4096);
	CHECK_EQ(last_rax, 0x1234);
	CHECK_EQ(last.rflags & RFLAGS_IF, RFLAGS_IF);
	/* The kernel is not mapped there, nor is the M2P in a table that never was the kernel's. */
	CHECK_EQ(run_user(load, sizeof(load)), ENDED(VECTOR_PF, PF_USER) | FROM_USER);
	CHECK_EQ(run_user(m2p, sizeof(m2p)), ENDED(VECTOR_PF, PF_USER) | FROM_USER);
	CHECK_EQ(run_user(hlt, sizeof(hlt)), ENDED(VECTOR_GP, 0) | FROM_USER);
	/* A selector that is none: IRET faults in the hypervisor, and the guest's failsafe callback hears of it. */
	user_ss = 0x5550 | 3;
	CHECK_EQ(run_user(call, sizeof(call)), ENDED(VECTOR_FAILSAFE, 0) | FROM_USER);
	user_ss = FLAT_USER_SS;
	CHECK_EQ(run_user(call, sizeof(call)), ENDED(VECTOR_SYSCALL, 0) | FROM_USER);
}

static void register_traps(void)
{
	static struct trap_info traps[33];
	struct callback_register callback = { .type = CALLBACKTYPE_syscall,
					      .flags = CALLBACKF_mask_events,
					      .address = (uintptr_t)syscall_stub };
	unsigned int i;

	for (i = 0; i < 32; i++)
		traps[i] = (struct trap_info){ .vector = (uint8_t)i,
					       .flags = 4,
					       .cs = FLAT_KERNEL_CS,
					       .address = (uintptr_t)trap_stubs + i * 16UL };
	CHECK_EQ(hypercall(__HYPERVISOR_set_trap_table, (uintptr_t)traps, 0, 0, 0), 0);
	CHECK_EQ(hypercall(__HYPERVISOR_set_callbacks, (uintptr_t)event_stub,
			   (uintptr_t)failsafe_stub, 0, 0),
		 0);
	CHECK_EQ(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, (uintptr_t)&callback, 0,
			   0),
		 0);
	callback.type = 99;
	CHECK_EQ(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, (uintptr_t)&callback, 0,
			   0),
		 -ENOSYS);
}

void guest_main(const struct start_info *si)
{
	start_info = si;
	print("second guest: %s\n", si->magic);
	register_traps();
	check_instructions();
	check_segments();
	check_table_stores();
	check_user();
	print("second guest: %u checks, %u failed\n", checks, failed);
	end(failed ? SHUTDOWN_crash : SHUTDOWN_poweroff);
}
