/* SPDX-License-Identifier: MIT */
/*
 * The ELF image and its notes; see elf.h.
 *
 * Every number in the file is the file's own claim. So nothing is read but through within(), which knows the size that
 * is true, structures are copied out before they are looked at, and sums are formed so that they can't wrap.
 *
 * Source: Xen's common/libelf/libelf-loader.c (elf_init(), elf_parse_binary(), elf_load_binary()) and libelf-dominfo.c
 * (elf_xen_parse() and what it calls).
 */
#include <xen/elfnote.h>
#include <xen/features.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frames.h>
#include "elf.h"
#include "elf_format.h"

#define ELF_MAGIC      "\177ELF\2\1" /* 64 bits, little endian */
#define ELF_X86_64     62U
#define ELF_PT_LOAD    1
#define ELF_PT_NOTE    4
#define ELF_ANY_RIGHTS 7      /* of p_flags: Xen loads nothing without one */
#define ELF_MAX_NOTES  65536U /* ELF_MAX_TOTAL_NOTE_COUNT */

/* No image is larger: what lies between two of its addresses is then no matter of wrapping round. */
#define IMAGE_BYTES (UINT64_C(1) << 47)

/* The numbers of the notes that count, by their types; has[] says which are there. */
#define NOTE_TYPES (XEN_ELFNOTE_MAX + 1U)

struct parser {
	const uint8_t *bytes;
	uint64_t size;
	char *why;
	size_t n;

	struct image *image;
	struct elf_header header;
	uint64_t number[NOTE_TYPES];
	const char *text[NOTE_TYPES];
	bool has[NOTE_TYPES];
	uint32_t features;
	unsigned int notes; /* Xen's and others' */
	uint64_t low, high; /* of all segments, by p_paddr */
};

#define refuse(p, ...) (snprintf((p)->why, (p)->n, __VA_ARGS__), -EINVAL)

/* Whether @n bytes at @offset are in the file. */
static bool within(const struct parser *p, uint64_t offset, uint64_t n)
{
	return offset <= p->size && n <= p->size - offset;
}

static struct elf_segment segment_at(const struct parser *p, unsigned int i)
{
	struct elf_segment segment;

	memcpy(&segment, p->bytes + p->header.phoff + i * sizeof(segment), sizeof(segment));
	return segment;
}

static int read_header(struct parser *p)
{
	struct elf_header *h = &p->header;

	if (!within(p, 0, sizeof(*h)))
		return refuse(p, "%#lx bytes are too few for an ELF header", p->size);
	memcpy(h, p->bytes, sizeof(*h));
	if (memcmp(h->ident, ELF_MAGIC, sizeof(ELF_MAGIC) - 1) != 0)
		return refuse(p, "not a little-endian 64-bit ELF file");
	if (h->machine != ELF_X86_64)
		return refuse(p, "ELF machine is %u, expected %u", h->machine, ELF_X86_64);
	if (h->phnum == 0 || h->phentsize != sizeof(struct elf_segment))
		return refuse(p, "%u program headers of %u bytes each, expected some of %zu",
			      h->phnum, h->phentsize, sizeof(struct elf_segment));
	if (!within(p, h->phoff, (uint64_t)h->phnum * h->phentsize))
		return refuse(p, "program headers (%u at %#lx) end beyond the file", h->phnum,
			      h->phoff);
	return 0;
}

/* The value of a note whose type means a number. */
static int note_number(struct parser *p, uint32_t type, const uint8_t *desc, uint32_t size)
{
	uint64_t value = 0;

	if (size != 1 && size != 2 && size != 4 && size != 8)
		return refuse(p, "note %u has %u bytes, expected a number", type, size);
	memcpy(&value, desc, size);
	p->number[type] = value;
	p->has[type] = true;
	return 0;
}

static int note_text(struct parser *p, uint32_t type, const uint8_t *desc, uint32_t size)
{
	if (strnlen((const char *)desc, size) == size)
		return refuse(p, "note %u is text without an end", type);
	p->text[type] = (const char *)desc;
	p->has[type] = true;
	return 0;
}

/* elf_xen_parse_note() */
static int take_note(struct parser *p, uint32_t type, const uint8_t *desc, uint32_t size)
{
	uint32_t features;

	switch (type) {
	case XEN_ELFNOTE_ENTRY:
	case XEN_ELFNOTE_VIRT_BASE:
	case XEN_ELFNOTE_PADDR_OFFSET:
	case XEN_ELFNOTE_HYPERCALL_PAGE:
	case XEN_ELFNOTE_MOD_START_PFN:
		return note_number(p, type, desc, size);
	case XEN_ELFNOTE_XEN_VERSION:
	case XEN_ELFNOTE_LOADER:
	case XEN_ELFNOTE_GUEST_OS:
	case XEN_ELFNOTE_PAE_MODE:
		return note_text(p, type, desc, size);
	case XEN_ELFNOTE_SUPPORTED_FEATURES:
		p->has[type] = true;
		if (size < sizeof(features) || size % sizeof(features) != 0)
			return 0; /* says nothing, elf_note_numeric_array() */
		memcpy(&features, desc, sizeof(features));
		p->features |= features;
		return 0;
	default:
		return 0;
	}
}

/* The notes of one PT_NOTE segment: header, name and value, each padded to 4 bytes. */
static int read_notes(struct parser *p, const struct elf_segment *segment)
{
	uint64_t at = segment->offset, left = segment->filesz;
	struct elf_note note;

	if (!within(p, at, left))
		return refuse(p, "notes (%#lx bytes at %#lx) end beyond the file", left, at);
	while (left >= sizeof(note)) {
		const uint8_t *name = p->bytes + at + sizeof(note);
		uint64_t name_size, size;
		int rc;

		memcpy(&note, p->bytes + at, sizeof(note));
		name_size = ((uint64_t)note.namesz + 3) & ~UINT64_C(3);
		size = sizeof(note) + name_size + note.descsz;
		if (size > left)
			return refuse(p, "the note at %#lx ends beyond its segment", at);
		if (++p->notes > ELF_MAX_NOTES)
			return refuse(p, "more than %u notes", ELF_MAX_NOTES);
		if (note.namesz == sizeof("Xen") && memcmp(name, "Xen", sizeof("Xen")) == 0) {
			rc = take_note(p, note.type, name + name_size, note.descsz);
			if (rc)
				return rc;
		}
		size = (size + 3) & ~UINT64_C(3);
		if (size > left) /* the last one's padding may be missing */
			break;
		at += size;
		left -= size;
	}
	return 0;
}

/* One PT_LOAD segment, as yet at its p_paddr. */
static int add_segment(struct parser *p, const struct elf_segment *segment)
{
	struct image *image = p->image;

	if (image->nr_segments == IMAGE_SEGMENTS)
		return refuse(p, "more than %u segments to load", IMAGE_SEGMENTS);
	if (!within(p, segment->offset, segment->filesz))
		return refuse(p, "a segment (%#lx bytes at %#lx) ends beyond the file",
			      segment->filesz, segment->offset);
	if (segment->filesz > segment->memsz)
		return refuse(p, "a segment has %#lx bytes in the file but %#lx in memory",
			      segment->filesz, segment->memsz);
	if (segment->memsz > UINT64_MAX - segment->paddr)
		return refuse(p, "a segment (%#lx bytes at paddr %#lx) wraps round", segment->memsz,
			      segment->paddr);
	if (segment->paddr < p->low)
		p->low = segment->paddr;
	if (segment->paddr + segment->memsz > p->high)
		p->high = segment->paddr + segment->memsz;
	image->segment[image->nr_segments++] =
		(struct image_segment){ segment->paddr, p->bytes + segment->offset, segment->filesz,
					segment->memsz };
	return 0;
}

static int read_segments(struct parser *p)
{
	for (unsigned int i = 0; i < p->header.phnum; i++) {
		struct elf_segment segment = segment_at(p, i);
		int rc = 0;

		if (segment.type == ELF_PT_LOAD && (segment.flags & ELF_ANY_RIGHTS))
			rc = add_segment(p, &segment);
		else if (segment.type == ELF_PT_NOTE && segment.offset != 0)
			rc = read_notes(p, &segment);
		if (rc)
			return rc;
	}
	if (p->image->nr_segments == 0)
		return refuse(p, "no segment to load");
	return 0;
}

static bool says(const struct parser *p, unsigned int type, const char *prefix)
{
	return p->has[type] && str_starts(p->text[type], prefix);
}

/* elf_xen_note_check() */
static int check_notes(struct parser *p)
{
	if (p->notes == 0)
		return refuse(p, "no notes");
	if (!says(p, XEN_ELFNOTE_LOADER, "generic") && !says(p, XEN_ELFNOTE_GUEST_OS, "linux"))
		return refuse(p, "LOADER is not 'generic' and GUEST_OS not 'linux'");
	if (!says(p, XEN_ELFNOTE_XEN_VERSION, "xen-3.0"))
		return refuse(p, "XEN_VERSION is not 'xen-3.0'");
	return 0;
}

/* elf_xen_addr_calc_check() */
static int place(struct parser *p)
{
	struct image *image = p->image;
	uint64_t up, total = 0;

	if (p->has[XEN_ELFNOTE_PADDR_OFFSET] && !p->has[XEN_ELFNOTE_VIRT_BASE])
		return refuse(p, "PADDR_OFFSET without VIRT_BASE");
	image->virt_base = p->number[XEN_ELFNOTE_VIRT_BASE];
	up = image->virt_base - p->number[XEN_ELFNOTE_PADDR_OFFSET];
	image->start = p->low + up;
	image->end = p->high + up;
	image->entry = p->has[XEN_ELFNOTE_ENTRY] ? p->number[XEN_ELFNOTE_ENTRY] : p->header.entry;
	if (image->start > image->end || image->virt_base > image->start)
		return refuse(p, "the image (%#lx to %#lx) does not lie above VIRT_BASE (%#lx)",
			      image->start, image->end, image->virt_base);
	if (image->entry < image->start || image->entry > image->end)
		return refuse(p, "ENTRY (%#lx) is outside the image (%#lx to %#lx)", image->entry,
			      image->start, image->end);
	if (image->end - image->start > IMAGE_BYTES)
		return refuse(p, "the image has %#lx bytes", image->end - image->start);
	for (unsigned int i = 0; i < image->nr_segments; i++) {
		image->segment[i].va += up;
		total += image->segment[i].mem_size;
		/* as in elf_load_binary(), so that a small file can't make much work */
		if (total > 2 * (image->end - image->start))
			return refuse(p, "segments lie over each other, %#lx bytes in all", total);
	}
	return 0;
}

static int check_hypercall_page(struct parser *p)
{
	uint64_t page = p->number[XEN_ELFNOTE_HYPERCALL_PAGE];

	if (!p->has[XEN_ELFNOTE_HYPERCALL_PAGE])
		return 0;
	if ((page & PAGE_OFFSET_MASK) || page < p->image->start || page > p->image->end ||
	    p->image->end - page < PAGE_SIZE)
		return refuse(p, "HYPERCALL_PAGE (%#lx) is no page of the image", page);
	p->image->hypercall_page = page;
	return 0;
}

int image_from_elf(struct image *image, const void *bytes, uint64_t size, char *why, size_t n)
{
	struct parser p = {
		.bytes = bytes, .size = size, .why = why, .n = n, .image = image, .low = UINT64_MAX
	};
	int rc;

	memset(image, 0, sizeof(*image));
	rc = read_header(&p);
	if (!rc)
		rc = read_segments(&p);
	if (!rc)
		rc = check_notes(&p);
	if (!rc)
		rc = place(&p);
	if (!rc)
		rc = check_hypercall_page(&p);
	if (rc)
		return rc;
	image->no_dom0 =
		p.has[XEN_ELFNOTE_SUPPORTED_FEATURES] && !(p.features & (1U << XENFEAT_dom0));
	image->pae_note = p.has[XEN_ELFNOTE_PAE_MODE] &&
			  (strcmp(p.text[XEN_ELFNOTE_PAE_MODE], "yes") == 0 ||
			   glob_match("*bimodal*", p.text[XEN_ELFNOTE_PAE_MODE]));
	image->module_unmapped = p.number[XEN_ELFNOTE_MOD_START_PFN] != 0;
	return 0;
}
