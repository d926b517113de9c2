/* SPDX-License-Identifier: MIT */
/*
 * Other names for those functions of lib/ that the host's libc has too, so that both can be linked
 * into one program and compared. host.mk gives this file to the kernel's sources (-include); in
 * tests host.h includes it after the libc's headers, so that there memcpy() is Pinion's as well,
 * and the libc's is libc_memcpy().
 */
#ifndef TESTS_HOST_RENAME_H
#define TESTS_HOST_RENAME_H

#define memcpy	  pinion_memcpy
#define memmove	  pinion_memmove
#define memset	  pinion_memset
#define memcmp	  pinion_memcmp
#define memchr	  pinion_memchr
#define strlen	  pinion_strlen
#define strnlen	  pinion_strnlen
#define strcmp	  pinion_strcmp
#define strncmp	  pinion_strncmp
#define strchr	  pinion_strchr
#define strrchr	  pinion_strrchr
#define strlcpy	  pinion_strlcpy
#define snprintf  pinion_snprintf
#define vsnprintf pinion_vsnprintf

#endif
