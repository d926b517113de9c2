/* SPDX-License-Identifier: MIT */
/* Numbers from text that is not trusted; see parse.h. */
#include <stddef.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/parse.h>
#include <pinion/lib/string.h>

/* The value of a digit of base 16 or below, or 16 if @c is none. */
static unsigned int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20; /* to lower case */
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

/* The number at *@s; on success *@s moves behind it. */
static int scan_u64(const char **s, uint64_t *out)
{
	const char *p = *s;
	unsigned int base = 10, digit;
	uint64_t value = 0;

	if (p[0] == '0' && (p[1] | 0x20) == 'x') {
		base = 16;
		p += 2;
	}
	if (digit_value(*p) >= base)
		return -EINVAL;
	for (; (digit = digit_value(*p)) < base; p++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return -ERANGE;
	*s = p;
	*out = value;
	return 0;
}

/* Hands a result over if the caller allows what follows it. */
static int deliver(const char *stop, uint64_t value, const char **end, uint64_t *out)
{
	if (end)
		*end = stop;
	else if (*stop)
		return -EINVAL;
	*out = value;
	return 0;
}

int parse_u64(const char *s, const char **end, uint64_t *out)
{
	uint64_t value;
	int rc = scan_u64(&s, &value);

	return rc ? rc : deliver(s, value, end, out);
}

int parse_size(const char *s, const char **end, uint64_t *out)
{
	static const char units[] = "kmgt"; /* each 2^10 of the one before */
	uint64_t value;
	unsigned int shift = 0;
	const char *unit;
	int rc = scan_u64(&s, &value);

	if (rc)
		return rc;
	unit = strchr(units, *s | 0x20);
	if (unit) {
		shift = 10 * (unit - units + 1);
		s++;
		if (s[0] == 'i' && s[1] == 'B')
			s += 2;
	}
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	return deliver(s, value << shift, end, out);
}
