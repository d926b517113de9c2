/* SPDX-License-Identifier: MIT */
/*
 * CRC-32, four bits a step.
 *
 * A remainder is linear: that of a nibble can be looked up and added (xor) to that of what follows.
 * 16 words of table are a fair trade between the bit-by-bit loop and the usual 1 KiB. Entry n is n
 * divided out by four single-bit steps: crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0), which is
 * the reflected form of the polynomial. The host test computes it that way.
 */
#include <pinion/lib/crc32.h>

static const uint32_t remainder[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
	0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

uint32_t crc32(uint32_t crc, const void *data, size_t n)
{
	const unsigned char *p = data;

	crc = ~crc;
	for (; n; n--, p++) {
		crc = crc >> 4 ^ remainder[(crc ^ *p) & 15];
		crc = crc >> 4 ^ remainder[(crc ^ *p >> 4) & 15];
	}
	return ~crc;
}
