/* SPDX-License-Identifier: MIT */
/*
 * ELF images and their Xen notes of any content: tests/model/elf.c, which the smoke hypervisor believes in ring 0.
 *
 *   u8         how many notes, up to 15; bit 4: the file is changed after it was built
 *   u8 ...     a note: its type in the low 4 bits, of NOTES below; then for a number its width (the next 2 bits) and value (a number),
 *              for text which one of TEXTS
 *   number x 3 the segment's p_paddr, p_memsz beyond p_filesz, the header's entry
 *   ...        changes: u16 where, and a number of 1, 2, 4 or 8 bytes; before them u16, the file's length (0: whole), and u8: how
 *              many segments more, and whether at the same place
 *
 * The oracle, for a file as it was built: its notes by the rules of elf.h, the last of a type counting. For any file: what is accepted
 * lies inside the file and in the image's own range, what is refused is told in a sentence.
 */
#include "../host/host.h"
#include "fuzz.h"
#include <xen/elfnote.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/frames.h>
#include "../model/elf.h"
#include "../model/elf_format.h"

#define PHDRS	  20
#define NOTES_MAX 15
#define NOTE_ROOM 32 /* bytes of a note, at most */
#define TEXT_SIZE 64

static struct file {
	struct elf_header h;
	struct elf_segment s[PHDRS];
	uint8_t notes[NOTES_MAX * NOTE_ROOM];
	uint8_t text[TEXT_SIZE];
} file;

/* What the notes say. */
static struct {
	uint64_t number[XEN_ELFNOTE_MAX + 1];
	const char *text[XEN_ELFNOTE_MAX + 1];
	bool has[XEN_ELFNOTE_MAX + 1];
	bool wrong; /* one that must be refused */
	unsigned int nr;
} said;

/* Note types: those that hold a number, and those that hold text. */
static const struct {
	uint32_t type;
	bool text;
} notes[16] = {
	{ XEN_ELFNOTE_VIRT_BASE, false },     { XEN_ELFNOTE_ENTRY, false },
	{ XEN_ELFNOTE_LOADER, true },	      { XEN_ELFNOTE_XEN_VERSION, true },
	{ XEN_ELFNOTE_PADDR_OFFSET, false },  { XEN_ELFNOTE_HYPERCALL_PAGE, false },
	{ XEN_ELFNOTE_MOD_START_PFN, false }, { XEN_ELFNOTE_GUEST_OS, true },
	{ XEN_ELFNOTE_PAE_MODE, true },	      { XEN_ELFNOTE_VIRT_BASE, false },
	{ XEN_ELFNOTE_ENTRY, false },	      { XEN_ELFNOTE_LOADER, true },
	{ XEN_ELFNOTE_XEN_VERSION, true },    { XEN_ELFNOTE_VIRT_BASE, false },
	{ XEN_ELFNOTE_ENTRY, false },	      { XEN_ELFNOTE_XEN_VERSION, true },
};

static const char
	*const texts[] = { "generic", "xen-3.0", "linux",	   "yes", "no",
			   "",	      "bimodal", "xen-3.0-x86_64", NULL /* without an end */ };

static void add_note(uint32_t type, const void *desc, uint32_t size)
{
	uint8_t *at = file.notes + file.s[1].filesz;
	uint32_t head[3] = { sizeof("Xen"), size, type };

	libc_memcpy(at, head, sizeof(head));
	libc_memcpy(at + sizeof(head), "Xen", sizeof("Xen"));
	libc_memcpy(at + 16, desc, size);
	file.s[1].filesz += 16 + ((size + 3) & ~3U);
	said.nr++;
}

static void decode_number(struct fuzz *f, uint32_t type, uint8_t form)
{
	static const uint32_t widths[] = { 8, 4, 2, 3 };
	uint32_t width = widths[form >> 4 & 3];
	uint64_t value = fuzz_number(f);

	add_note(type, &value, width);
	said.wrong |= width == 3;
	said.number[type] = value & (width == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * width) - 1);
	said.has[type] = true;
}

static void decode_text(struct fuzz *f, uint32_t type)
{
	const char *text = texts[fuzz_u8(f) % ARRAY_SIZE(texts)];

	if (text)
		add_note(type, text, (uint32_t)libc_strlen(text) + 1);
	else
		add_note(type, "generic", 7);
	said.wrong |= !text;
	said.text[type] = text;
	said.has[type] = true;
}

static void build(struct fuzz *f, unsigned int nr)
{
	libc_memset(&file, 0, sizeof(file));
	libc_memset(&said, 0, sizeof(said));
	libc_memcpy(file.h.ident, "\177ELF\2\1\1", 7);
	file.h.type = 2;
	file.h.machine = 62;
	file.h.phoff = offsetof(struct file, s);
	file.h.ehsize = sizeof(struct elf_header);
	file.h.phentsize = sizeof(struct elf_segment);
	file.h.phnum = 2;
	file.s[0] =
		(struct elf_segment){ 1, 5, offsetof(struct file, text), 0, 0, TEXT_SIZE, 0, 0 };
	file.s[1] = (struct elf_segment){ 4, 4, offsetof(struct file, notes), 0, 0, 0, 0, 4 };
	libc_memset(file.text, 0x90, sizeof(file.text));
	for (unsigned int i = 0; i < nr; i++) {
		uint8_t form = fuzz_u8(f);

		if (notes[form & 15].text)
			decode_text(f, notes[form & 15].type);
		else
			decode_number(f, notes[form & 15].type, form);
	}
	file.s[0].paddr = fuzz_number(f);
	file.s[0].memsz = TEXT_SIZE + fuzz_number(f);
	file.h.entry = fuzz_number(f);
}

/* Returns the length that the file has now. */
static size_t change(struct fuzz *f)
{
	size_t size = fuzz_u16(f) % sizeof(file);
	uint8_t more = fuzz_u8(f);

	/* More to load, side by side or at the same place. */
	for (file.h.phnum = 2; file.h.phnum < 2 + (more >> 1) % (PHDRS - 1); file.h.phnum++) {
		struct elf_segment *s = &file.s[file.h.phnum];

		*s = file.s[0];
		s->paddr += more & 1 ? file.h.phnum * s->memsz : 0;
	}

	while (f->left) {
		uint16_t where = fuzz_u16(f);
		size_t width = (size_t)1 << (where >> 14), at = where % (sizeof(file) - 8);
		uint64_t value = fuzz_number(f);

		libc_memcpy((uint8_t *)&file + at, &value, width);
	}
	return size ? size : sizeof(file);
}

static bool begins(uint32_t type, const char *text)
{
	return said.has[type] && libc_strncmp(said.text[type], text, libc_strlen(text)) == 0;
}

/* Whether the file as it was built makes a guest. */
static bool is_right(void)
{
	typedef unsigned __int128 wide;
	uint64_t base = said.number[XEN_ELFNOTE_VIRT_BASE];
	uint64_t up = base - said.number[XEN_ELFNOTE_PADDR_OFFSET];
	uint64_t start = file.s[0].paddr + up, end = start + file.s[0].memsz;
	uint64_t entry =
		said.has[XEN_ELFNOTE_ENTRY] ? said.number[XEN_ELFNOTE_ENTRY] : file.h.entry;
	uint64_t page = said.number[XEN_ELFNOTE_HYPERCALL_PAGE];

	if (said.nr == 0 || said.wrong || !begins(XEN_ELFNOTE_XEN_VERSION, "xen-3.0") ||
	    (!begins(XEN_ELFNOTE_LOADER, "generic") && !begins(XEN_ELFNOTE_GUEST_OS, "linux")))
		return false;
	if (said.has[XEN_ELFNOTE_PADDR_OFFSET] && !said.has[XEN_ELFNOTE_VIRT_BASE])
		return false;
	if (file.s[0].memsz < TEXT_SIZE || file.s[0].memsz > 1UL << 47 ||
	    (wide)file.s[0].paddr + file.s[0].memsz > UINT64_MAX)
		return false;
	if (end < start || base > start || entry < start || entry > end)
		return false;
	return !said.has[XEN_ELFNOTE_HYPERCALL_PAGE] ||
	       (page % PAGE_SIZE == 0 && page >= start && page <= end && end - page >= PAGE_SIZE);
}

static void check_built(const struct image *image)
{
	uint64_t base = said.number[XEN_ELFNOTE_VIRT_BASE];
	uint64_t start = base - said.number[XEN_ELFNOTE_PADDR_OFFSET] + file.s[0].paddr;
	const char *pae = said.text[XEN_ELFNOTE_PAE_MODE];

	fuzz_check(image->virt_base == base && image->start == start &&
			   image->end == start + file.s[0].memsz && image->nr_segments == 1,
		   "the image is %#lx to %#lx, not %#lx", image->start, image->end, start);
	fuzz_check(image->hypercall_page == said.number[XEN_ELFNOTE_HYPERCALL_PAGE],
		   "the hypercall page is %#lx", image->hypercall_page);
	fuzz_check(image->module_unmapped == (said.number[XEN_ELFNOTE_MOD_START_PFN] != 0) &&
			   image->pae_note == (pae && (pae[0] == 'y' || pae[0] == 'b')),
		   "module_unmapped is %d, pae_note %d", image->module_unmapped, image->pae_note);
}

/* Whatever the file: a loader that follows @image reads inside the file, and writes inside the image. */
static void check_image(const struct image *image, const uint8_t *bytes, size_t size)
{
	uint64_t total = 0;

	fuzz_check(image->virt_base <= image->start && image->start <= image->end &&
			   image->entry >= image->start && image->entry <= image->end,
		   "the image is %#lx to %#lx, entered at %#lx", image->start, image->end,
		   image->entry);
	fuzz_check(image->nr_segments > 0 && image->nr_segments <= IMAGE_SEGMENTS, "%u segments",
		   image->nr_segments);
	for (unsigned int i = 0; i < image->nr_segments; i++) {
		const struct image_segment *s = &image->segment[i];
		uint64_t offset = (uint64_t)((const uint8_t *)s->bytes - bytes);

		fuzz_check(offset <= size && s->size <= size - offset,
			   "segment %u: %#lx bytes at %#lx", i, s->size, offset);
		fuzz_check(s->size <= s->mem_size && s->va >= image->start && s->va <= image->end &&
				   s->mem_size <= image->end - s->va,
			   "segment %u: %#lx bytes to %#lx", i, s->mem_size, s->va);
		total += s->mem_size;
	}
	fuzz_check(total <= 2 * (image->end - image->start), "%#lx bytes to copy", total);
	fuzz_check(image->hypercall_page == 0 || (image->hypercall_page >= image->start &&
						  image->hypercall_page <= image->end - PAGE_SIZE),
		   "the hypercall page is %#lx", image->hypercall_page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = fuzz_bytes(data, size);
	uint8_t form = fuzz_u8(&f), *exact;
	size_t length = sizeof(file), said_bytes;
	struct image image;
	char why[200] = "";
	int rc;

	build(&f, form & 15);
	if (form & 16)
		length = change(&f);
	exact = malloc(length);
	fuzz_check(exact, "no memory");
	libc_memcpy(exact, &file, length);
	rc = image_from_elf(&image, exact, length, why, sizeof(why));
	said_bytes = libc_strlen(why);
	fuzz_check(rc == 0 || (rc == -EINVAL && said_bytes > 5 && said_bytes < sizeof(why) - 1),
		   "%d, and '%.190s'", rc, why);
	if (!(form & 16))
		fuzz_check((rc == 0) == is_right(), "%d: '%.190s'", rc, why);
	if (rc == 0)
		check_image(&image, exact, length);
	if (rc == 0 && !(form & 16))
		check_built(&image);
	free(exact);
	return 0;
}
