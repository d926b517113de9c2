/* SPDX-License-Identifier: MIT */
/*
 * CRC-32 as zlib, gzip and Ethernet have it (polynomial 0x04c11db7, bits reflected, start and end
 * inverted). The console's bulk lines carry it, and the rig computes it anew by Python's zlib.
 */
#ifndef PINION_LIB_CRC32_H
#define PINION_LIB_CRC32_H

#include <stddef.h>
#include <stdint.h>

/**
 * crc32() - checksum, all at once or in pieces
 * @crc: 0 to begin with, or the result for what came before
 * @data: @n bytes
 *
 * Return: the checksum of everything so far. crc32(0, "123456789", 9) is 0xcbf43926.
 */
uint32_t crc32(uint32_t crc, const void *data, size_t n);

#endif
