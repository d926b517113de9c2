/* SPDX-License-Identifier: MIT */
/*
 * tests/model/elf: an image and its notes, good and bad.
 *
 * The smoke hypervisor loads whatever it is given in ring 0: what the reader lets pass is copied where the file says. So
 * each claim of the file is made wrong by itself here, in memory that ends in a fence, and each is refused in its own words.
 */
#include <unistd.h>
#include "host.h"
#include <xen/elfnote.h>
#include <pinion/lib/errno.h>
#include "../model/elf.h"
#include "../model/elf_format.h"

#define BASE	  UINT64_C(0xffffffff80000000)
#define PHDRS	  24
#define NOTES	  0x1000  /* file offset of the notes */
#define TEXT	  0x10000 /* and of what is loaded */
#define FILE_SIZE 0x11000

/* A file in the making; [0] loads TEXT at 1 MiB, [1] is the notes. */
static struct {
	struct elf_header h;
	struct elf_segment s[PHDRS];
	uint8_t fill[NOTES - sizeof(struct elf_header) - PHDRS * sizeof(struct elf_segment)];
	uint8_t notes[TEXT - NOTES];
	uint8_t text[FILE_SIZE - TEXT];
} file;

static struct image image;
static char why[200];

static void note(uint32_t type, const void *desc, uint32_t size)
{
	uint32_t head[3] = { 4, size, type };
	uint8_t *at = file.notes + file.s[1].filesz;

	libc_memcpy(at, head, sizeof(head));
	libc_memcpy(at + 12, "Xen", 4);
	libc_memcpy(at + 16, desc, size);
	file.s[1].filesz += 16 + ((size + 3) & ~3U);
}

static void note_number(uint32_t type, uint64_t value)
{
	note(type, &value, sizeof(value));
}

static void note_text(uint32_t type, const char *text)
{
	note(type, text, (uint32_t)libc_strlen(text) + 1);
}

/* A file that can be loaded, as yet without notes. */
static void begin(void)
{
	libc_memset(&file, 0, sizeof(file));
	libc_memcpy(file.h.ident, "\177ELF\2\1\1", 7);
	file.h.type = 2;
	file.h.machine = 62;
	file.h.entry = BASE + 0x100010;
	file.h.phoff = offsetof(__typeof__(file), s);
	file.h.phentsize = sizeof(struct elf_segment);
	file.h.phnum = 2;
	file.s[0] = (struct elf_segment){ 1, 5, TEXT, 0, 0x100000, 0x800, 0x1800, 0x1000 };
	file.s[1] = (struct elf_segment){ 4, 4, NOTES, 0, 0, 0, 0, 4 };
	libc_memset(file.text, 0x90, sizeof(file.text));
}

/* The least that Xen wants. */
static void good(void)
{
	begin();
	note_text(XEN_ELFNOTE_GUEST_OS, "Test");
	note_text(XEN_ELFNOTE_LOADER, "generic");
	note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
	note_number(XEN_ELFNOTE_VIRT_BASE, BASE);
	note_number(XEN_ELFNOTE_ENTRY, BASE + 0x100000);
}

static int parse_cut(uint64_t size)
{
	void *bytes = fence_after(size);
	int rc;

	libc_memcpy(bytes, &file, size);
	why[0] = '\0';
	rc = image_from_elf(&image, bytes, size, why, sizeof(why));
	fence_free(bytes, size);
	return rc;
}

static int parse(void)
{
	return parse_cut(sizeof(file));
}

static void expect_refused(const char *text)
{
	assert_int_equal(parse(), -EINVAL);
	if (!libc_strstr(why, text))
		fail_msg("'%s' does not say '%s'", why, text);
}

#define EXPECT_REFUSED(change, text)  \
	do {                          \
		good();               \
		change;               \
		expect_refused(text); \
	} while (0)

/* What is read of a good file is what stands in it, and addresses are p_paddr + VIRT_BASE. */
static void test_good(void **state)
{
	(void)state;
	good();
	assert_int_equal(parse(), 0);
	assert_int_equal(image.virt_base, BASE);
	assert_int_equal(image.start, BASE + 0x100000);
	assert_int_equal(image.end, BASE + 0x101800);
	assert_int_equal(image.entry, BASE + 0x100000);
	assert_int_equal(image.nr_segments, 1);
	assert_int_equal(image.segment[0].va, image.start);
	assert_int_equal(image.segment[0].size, 0x800);
	assert_int_equal(image.segment[0].mem_size, 0x1800);
	assert_int_equal(image.hypercall_page, 0);
	assert_false(image.no_dom0);
	assert_false(image.pae_note);
	assert_false(image.module_unmapped);
}

/* PADDR_OFFSET is what the linker had in p_paddr already: virt = paddr + VIRT_BASE - PADDR_OFFSET. */
static void test_paddr_offset(void **state)
{
	(void)state;
	good();
	file.s[0].paddr = BASE + 0x100000;
	note_number(XEN_ELFNOTE_PADDR_OFFSET, BASE);
	assert_int_equal(parse(), 0);
	assert_int_equal(image.segment[0].va, BASE + 0x100000);
	assert_int_equal(image.start, BASE + 0x100000);
}

/* Without the notes: base 0, and the header's entry (elf_xen_addr_calc_check()). */
static void test_defaults(void **state)
{
	(void)state;
	begin();
	note_text(XEN_ELFNOTE_GUEST_OS, "linux");
	note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
	file.h.entry = 0x100010;
	assert_int_equal(parse(), 0);
	assert_int_equal(image.virt_base, 0);
	assert_int_equal(image.start, 0x100000);
	assert_int_equal(image.entry, 0x100010);
}

/* The notes that only say something: each on and off. */
static void test_said(void **state)
{
	uint32_t features[2] = { 1U << 11, 0 };

	(void)state;
	good();
	note_number(XEN_ELFNOTE_SUPPORTED_FEATURES, 1);
	assert_int_equal(parse(), 0);
	assert_true(image.no_dom0);
	note(XEN_ELFNOTE_SUPPORTED_FEATURES, features, 8);
	assert_int_equal(parse(), 0);
	assert_false(image.no_dom0);

	good();
	note(XEN_ELFNOTE_SUPPORTED_FEATURES, features, 3); /* is there and says nothing */
	assert_int_equal(parse(), 0);
	assert_true(image.no_dom0);

	good();
	note_text(XEN_ELFNOTE_PAE_MODE, "no");
	assert_int_equal(parse(), 0);
	assert_false(image.pae_note);
	note_text(XEN_ELFNOTE_PAE_MODE, "yes");
	assert_int_equal(parse(), 0);
	assert_true(image.pae_note);
	note_text(XEN_ELFNOTE_PAE_MODE, "yes,bimodal");
	assert_int_equal(parse(), 0);
	assert_true(image.pae_note);

	good();
	note_number(XEN_ELFNOTE_MOD_START_PFN, 1);
	note_number(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x100000);
	note_number(0x1234, 7);
	assert_int_equal(parse(), 0);
	assert_true(image.module_unmapped);
	assert_int_equal(image.hypercall_page, BASE + 0x100000);
}

/* A guest that Xen would not build. */
static void test_notes_refused(void **state)
{
	(void)state;
	begin();
	file.h.entry = 0x100000;
	expect_refused("no notes");
	note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
	expect_refused("LOADER");
	note_text(XEN_ELFNOTE_LOADER, "other");
	expect_refused("LOADER");
	note_text(XEN_ELFNOTE_GUEST_OS, "linux");
	assert_int_equal(parse(), 0);
	note_text(XEN_ELFNOTE_XEN_VERSION, "xen-4.0"); /* the last one counts */
	expect_refused("XEN_VERSION");
	begin();
	note_text(XEN_ELFNOTE_LOADER, "generic");
	expect_refused("XEN_VERSION");
	note_number(XEN_ELFNOTE_PADDR_OFFSET, 0);
	note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
	expect_refused("PADDR_OFFSET without");
	EXPECT_REFUSED(note(XEN_ELFNOTE_ENTRY, "abc", 3), "note 1 has 3 bytes");
	EXPECT_REFUSED(note(XEN_ELFNOTE_LOADER, "generic", 7), "without an end");
	EXPECT_REFUSED(note(XEN_ELFNOTE_LOADER, "", 0), "without an end");
}

/* Addresses that contradict each other, first and last value that does not. */
static void test_addresses_refused(void **state)
{
	(void)state;
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_ENTRY, BASE + 0xfffff), "ENTRY");
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_ENTRY, BASE + 0x101801), "ENTRY");
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_PADDR_OFFSET, 0x100001), "above VIRT_BASE");
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_VIRT_BASE, UINT64_MAX - 0x100800),
		       "above VIRT_BASE");
	EXPECT_REFUSED(file.s[0].memsz = UINT64_MAX - 0xfffff, "wraps round");
	EXPECT_REFUSED(file.s[0].memsz = UINT64_C(1) << 48; file.s[0].paddr = 0;
		       note_number(XEN_ELFNOTE_VIRT_BASE, 0);
		       note_number(XEN_ELFNOTE_ENTRY, 0), "the image has");
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x100800), "HYPERCALL_PAGE");
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0xff000), "HYPERCALL_PAGE");
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x101000), "HYPERCALL_PAGE");
	EXPECT_REFUSED(note_number(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x102000), "HYPERCALL_PAGE");
}

static void test_header_refused(void **state)
{
	(void)state;
	EXPECT_REFUSED(file.h.ident[0] = 0, "not a little-endian");
	EXPECT_REFUSED(file.h.ident[4] = 1, "not a little-endian");
	EXPECT_REFUSED(file.h.ident[5] = 2, "not a little-endian");
	EXPECT_REFUSED(file.h.machine = 3, "machine is 3");
	EXPECT_REFUSED(file.h.phnum = 0, "program headers of");
	EXPECT_REFUSED(file.h.phentsize = 32, "program headers of");
	EXPECT_REFUSED(file.h.phoff = sizeof(file) - 2 * sizeof(struct elf_segment) + 1,
		       "end beyond");
	EXPECT_REFUSED(file.h.phoff = UINT64_MAX - 8, "end beyond");
	EXPECT_REFUSED(file.h.phnum = UINT16_MAX, "end beyond");
	good();
	file.h.phoff = sizeof(file) - 2 * sizeof(struct elf_segment);
	libc_memcpy((char *)&file + file.h.phoff, file.s, 2 * sizeof(struct elf_segment));
	assert_int_equal(parse(), 0);
}

static void test_segments_refused(void **state)
{
	(void)state;
	EXPECT_REFUSED(file.s[0].filesz = FILE_SIZE - TEXT + 1;
		       file.s[0].memsz = 0x2000, "ends beyond");
	EXPECT_REFUSED(file.s[0].offset = UINT64_MAX, "ends beyond");
	EXPECT_REFUSED(file.s[0].memsz = 0x7ff, "in memory");
	EXPECT_REFUSED(file.s[0].type = 2, "no segment");
	EXPECT_REFUSED(file.s[0].flags = 0, "no segment");
	good();
	file.s[0].filesz = FILE_SIZE - TEXT;
	assert_int_equal(parse(), 0);
	/* Twice the same is what Xen takes, three times is not: a small file must not make much work. */
	file.h.phnum = 3;
	file.s[2] = file.s[0];
	assert_int_equal(parse(), 0);
	file.h.phnum = 4;
	file.s[3] = file.s[0];
	expect_refused("over each other");
	good();
	file.h.phnum = 2 + IMAGE_SEGMENTS - 1;
	for (int i = 2; i < file.h.phnum; i++) {
		file.s[i] = file.s[0];
		file.s[i].paddr += (uint64_t)i * 0x10000;
	}
	assert_int_equal(parse(), 0);
	assert_int_equal(image.nr_segments, IMAGE_SEGMENTS);
	file.s[file.h.phnum] = file.s[0];
	file.h.phnum++;
	expect_refused("more than 16 segments");
}

/* Notes whose sizes reach beyond their segment, or beyond all. */
static void test_note_sizes(void **state)
{
	uint32_t *head = (uint32_t *)file.notes;

	(void)state;
	EXPECT_REFUSED(file.s[1].filesz = FILE_SIZE, "notes (");
	EXPECT_REFUSED(file.s[1].offset = UINT64_MAX - 3, "notes (");
	EXPECT_REFUSED(head[0] = UINT32_MAX, "the note at");
	EXPECT_REFUSED(head[1] = UINT32_MAX, "the note at");
	EXPECT_REFUSED(file.s[1].filesz -= 1, "the note at");
	EXPECT_REFUSED(file.s[1].offset = 0, "no notes");
	good();
	head[0] = 3; /* "Xen" without its NUL is another's */
	assert_int_equal(parse(), 0);
	good();
	file.s[1].filesz += 11; /* less than a header is no note */
	assert_int_equal(parse(), 0);
	good();
	note(XEN_ELFNOTE_LOADER, "generic", 8);
	note(XEN_ELFNOTE_GUEST_VERSION, "1.0.0", 6);
	file.s[1].filesz -= 2; /* the last one's padding is not in the file */
	assert_int_equal(parse(), 0);
}

/* Headers that all name the same notes: that must not multiply the work without end. */
static void test_too_many_notes(void **state)
{
	(void)state;
	good();
	libc_memset(file.notes, 0, sizeof(file.notes));
	file.s[1].filesz = sizeof(file.notes);
	file.h.phnum = PHDRS;
	for (int i = 2; i < PHDRS; i++)
		file.s[i] = file.s[1];
	expect_refused("more than 65536 notes");
	file.h.phnum = 2 + 65536 / (sizeof(file.notes) / 12) - 1;
	expect_refused("LOADER");
}

/* Every prefix of a good file, and of a file with any one byte changed: read inside the fence, answered with a rule. */
static void test_any_byte(void **state)
{
	struct rng rng;

	(void)state;
	good();
	for (uint64_t size = 1; size < 0x1200; size++)
		assert_int_equal(parse_cut(size), -EINVAL);
	host_seed(&rng);
	for (int i = 0; i < 20000; i++) {
		uint64_t to = rng_below(&rng, 2) ? offsetof(__typeof__(file), s[2]) : 0x1100;
		uint8_t *byte = (uint8_t *)&file + rng_below(&rng, to);
		uint8_t before = *byte;

		*byte = (uint8_t)rng_next(&rng);
		if (image_from_elf(&image, &file, sizeof(file), why, sizeof(why)) == 0) {
			assert_true(image.virt_base <= image.start && image.start <= image.end);
			for (unsigned int s = 0; s < image.nr_segments; s++) {
				const struct image_segment *seg = &image.segment[s];

				assert_true(seg->va >= image.start && seg->mem_size >= seg->size);
				assert_true(seg->mem_size <= image.end - seg->va);
				assert_true((const uint8_t *)seg->bytes >= (uint8_t *)&file);
				assert_true(seg->size <= (size_t)((uint8_t *)(&file + 1) -
								  (const uint8_t *)seg->bytes));
			}
		} else {
			assert_true(why[0] != '\0');
		}
		*byte = before;
	}
}

/* The kernel's image, as it is booted. */
static void test_kernel(void **state)
{
	static char path[4096];
	uint8_t *bytes;
	long size;
	FILE *f;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	(void)state;
	assert_true(n > 0);
	/* build/host/FLAVOUR/test_elf */
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	strcat(path, "/pinion.elf");
	f = fopen(path, "rb");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	bytes = fence_after((size_t)size);
	assert_int_equal(fread(bytes, 1, (size_t)size, f), size);
	fclose(f);
	assert_int_equal(image_from_elf(&image, bytes, (uint64_t)size, why, sizeof(why)), 0);
	assert_int_equal(image.virt_base, BASE);
	assert_int_equal(image.start, BASE + 0x100000);
	assert_false(image.no_dom0);
	assert_int_equal(image.nr_segments, 3);
	assert_memory_equal(image.segment[0].bytes, bytes + 0x1000, 64);
	fence_free(bytes, (size_t)size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	       cmocka_unit_test(test_paddr_offset),
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_said),
		cmocka_unit_test(test_notes_refused),  cmocka_unit_test(test_addresses_refused),
		cmocka_unit_test(test_header_refused), cmocka_unit_test(test_segments_refused),
		cmocka_unit_test(test_note_sizes),     cmocka_unit_test(test_too_many_notes),
		cmocka_unit_test(test_any_byte),       cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
