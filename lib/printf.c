/* SPDX-License-Identifier: MIT */
/*
 * Formatted text. See printf.h for the language; it is C99's (7.19.6.1) and so are the rules below.
 *
 * A number is laid out in five parts, of which any but one may be empty:
 *
 *      blanks | sign or 0x | zeros | digits | blanks
 *      '------'            '-------'        '------'
 *      width               precision, or    width, with '-'
 *                          width with '0'
 *
 * and everything is emitted by put(), which alone knows about the end of the buffer.
 */
#include <stdbool.h>
#include <stdint.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/limits.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>

/* What stands between a '%' and its conversion. */
struct spec {
	bool left, plus, space, alt, zero; /* - + space # 0 */
	int width;			   /* 0: none */
	int precision;			   /* -1: none */
	bool sized;			   /* a length was given: */
	unsigned int size;		   /* bytes of an integer argument; 4 without */
};

/* Emits the @n bytes at @s, or, with @s NULL, @n times @fill. */
static void put(struct format_out *out, const char *s, char fill, size_t n)
{
	out->total += n;
	while (n) {
		size_t room = out->size - out->used;
		size_t now = n < room ? n : room;

		if (!room) {
			if (!out->flush)
				return;
			out->flush(out->buf, out->used);
			out->used = 0;
			continue;
		}
		if (s) {
			memcpy(out->buf + out->used, s, now);
			s += now;
		} else {
			memset(out->buf + out->used, fill, now);
		}
		out->used += now;
		n -= now;
	}
}

/* Text in a field; a precision was already applied to @n. */
static void put_text(struct format_out *out, const struct spec *spec, const char *s, size_t n)
{
	size_t width = spec->width;
	size_t blanks = width > n ? width - n : 0;

	if (!spec->left)
		put(out, NULL, ' ', blanks);
	put(out, s, 0, n);
	if (spec->left)
		put(out, NULL, ' ', blanks);
}

/* @value in @base behind @prefix: the drawing at the top. */
static void put_number(struct format_out *out, const struct spec *spec, const char *prefix,
		       uint64_t value, unsigned int base, bool upper)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char digits[22]; /* 64 bits in octal */
	char *first = digits + sizeof(digits);
	size_t width = spec->width, prefixed = strlen(prefix), zeros = 0, blanks, n;

	for (; value; value /= base)
		*--first = set[value % base];
	n = digits + sizeof(digits) - first;

	/* 0 has no digits so far: it gets one as the least precision, which is 1 unless given. */
	if (spec->precision < 0)
		zeros = n ? 0 : 1;
	else if ((size_t)spec->precision > n)
		zeros = spec->precision - n;
	if (spec->alt && base == 8 && !zeros)
		zeros = 1;
	if (spec->zero && !spec->left && spec->precision < 0 && width > prefixed + zeros + n)
		zeros = width - prefixed - n;
	blanks = width > prefixed + zeros + n ? width - prefixed - zeros - n : 0;

	if (!spec->left)
		put(out, NULL, ' ', blanks);
	put(out, prefix, 0, prefixed);
	put(out, NULL, '0', zeros);
	put(out, first, 0, n);
	if (spec->left)
		put(out, NULL, ' ', blanks);
}

/* Integer arguments smaller than an int were promoted to one; here they are cut down again. */
static int64_t signed_arg(unsigned int size, va_list *ap)
{
	switch (size) {
	case 1:
		return (signed char)va_arg(*ap, int);
	case 2:
		return (short)va_arg(*ap, int);
	case 4:
		return va_arg(*ap, int);
	default:
		return va_arg(*ap, long);
	}
}

static uint64_t unsigned_arg(unsigned int size, va_list *ap)
{
	switch (size) {
	case 1:
		return (unsigned char)va_arg(*ap, unsigned int);
	case 2:
		return (unsigned short)va_arg(*ap, unsigned int);
	case 4:
		return va_arg(*ap, unsigned int);
	default:
		return va_arg(*ap, unsigned long);
	}
}

/* d and i, u, x, X, o. */
static void put_integer(struct format_out *out, const struct spec *spec, char conversion,
			va_list *ap)
{
	const char *prefix = "";
	uint64_t value;
	int64_t given;

	if (conversion == 'd' || conversion == 'i') {
		given = signed_arg(spec->size, ap);
		value = given < 0 ? -(uint64_t)given : (uint64_t)given;
		if (given < 0)
			prefix = "-";
		else if (spec->plus)
			prefix = "+";
		else if (spec->space)
			prefix = " ";
		put_number(out, spec, prefix, value, 10, false);
		return;
	}

	value = unsigned_arg(spec->size, ap);
	if (conversion == 'u') {
		put_number(out, spec, prefix, value, 10, false);
	} else if (conversion == 'o') {
		put_number(out, spec, prefix, value, 8, false);
	} else {
		if (spec->alt && value)
			prefix = conversion == 'x' ? "0x" : "0X";
		put_number(out, spec, prefix, value, 16, conversion == 'X');
	}
}

/*
 * One conversion, its argument taken from @ap. False if there is no such one: then nothing was
 * taken and nothing put out.
 */
static bool put_conversion(struct format_out *out, const struct spec *spec, char conversion,
			   va_list *ap)
{
	const char *s;
	char c;

	switch (conversion) {
	case 'd':
	case 'i':
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		put_integer(out, spec, conversion, ap);
		return true;
	}
	if (spec->sized) /* %lc and %ls are wide text, others mean nothing */
		return false;

	switch (conversion) {
	case 'c':
		c = va_arg(*ap, int);
		put_text(out, spec, &c, 1);
		return true;
	case 's':
		s = va_arg(*ap, const char *);
		if (!s)
			s = "(null)";
		put_text(out, spec, s,
			 spec->precision < 0 ? strlen(s) : strnlen(s, spec->precision));
		return true;
	case 'p':
		s = va_arg(*ap, const char *);
		if (s)
			put_number(out, spec, "0x", (uintptr_t)s, 16, false);
		else
			put_text(out, spec, "(nil)", 5);
		return true;
	default:
		return false;
	}
}

/* The decimal number at *@f, 0 if there is none; false beyond INT_MAX. */
static bool scan_int(const char **f, int *out)
{
	int value = 0;

	for (; **f >= '0' && **f <= '9'; ++*f)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, **f - '0', &value))
			return false;
	*out = value;
	return true;
}

/* Flags, width, precision and length at *@f, which moves on to the conversion; 0 or -EOVERFLOW. */
static int scan_spec(const char **f, struct spec *spec, va_list *ap)
{
	*spec = (struct spec){ .precision = -1, .size = 4 };
	for (;; ++*f) {
		if (**f == '-')
			spec->left = true;
		else if (**f == '+')
			spec->plus = true;
		else if (**f == ' ')
			spec->space = true;
		else if (**f == '#')
			spec->alt = true;
		else if (**f == '0')
			spec->zero = true;
		else
			break;
	}

	if (**f == '*') {
		++*f;
		spec->width = va_arg(*ap, int);
		if (spec->width == INT_MIN)
			return -EOVERFLOW;
		if (spec->width < 0) { /* a '-' and a width */
			spec->left = true;
			spec->width = -spec->width;
		}
	} else if (!scan_int(f, &spec->width)) {
		return -EOVERFLOW;
	}

	if (**f == '.') {
		++*f;
		if (**f == '*') {
			++*f;
			spec->precision = va_arg(*ap, int); /* negative: as if there were none */
		} else if (!scan_int(f, &spec->precision)) {
			return -EOVERFLOW;
		}
	}

	spec->sized = true;
	if (str_starts(*f, "hh")) {
		spec->size = sizeof(char);
		*f += 2;
	} else if (**f == 'h') {
		spec->size = sizeof(short);
		++*f;
	} else if (str_starts(*f, "ll")) {
		spec->size = sizeof(long long);
		*f += 2;
	} else if (**f && strchr("lzjt", **f)) { /* size_t, intmax_t, ptrdiff_t are longs */
		spec->size = sizeof(long);
		++*f;
	} else {
		spec->sized = false;
	}
	return 0;
}

int vformat(struct format_out *out, const char *fmt, va_list ap)
{
	va_list args; /* a copy: &ap is no va_list *, for arrays decay in parameters */
	struct spec spec;
	int rc = 0;

	va_copy(args, ap);
	while (*fmt) {
		const char *start = fmt;

		while (*fmt && *fmt != '%')
			fmt++;
		put(out, start, 0, fmt - start);
		if (!*fmt)
			break;

		start = fmt++;
		if (*fmt == '%') {
			put(out, fmt++, 0, 1);
			continue;
		}
		rc = scan_spec(&fmt, &spec, &args);
		if (rc)
			break;
		if (!put_conversion(out, &spec, *fmt, &args))
			put(out, start, 0, fmt - start + (*fmt != '\0'));
		if (*fmt)
			fmt++;
	}
	va_end(args);

	if (!rc && out->total > INT_MAX)
		rc = -EOVERFLOW;
	return rc ? rc : (int)out->total;
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct format_out out = { .buf = buf, .size = size ? size - 1 : 0 };
	int len = vformat(&out, fmt, ap);

	if (size)
		buf[out.used] = '\0';
	return len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return len;
}
