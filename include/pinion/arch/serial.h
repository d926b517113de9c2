/* SPDX-License-Identifier: MIT */
/* The first serial port (16550 at 0x3f8), for who is not under Xen PV. => port I/O is allowed */
#ifndef PINION_ARCH_SERIAL_H
#define PINION_ARCH_SERIAL_H

/* 115200 baud, 8 bits, no parity, one stop bit; no interrupts. */
void serial_init(void);

/* Writes one byte, "\n" as "\r\n". Waits for room, but not for ever: there may be no port. */
void serial_put(char c);

/* Waits until the last byte has left the chip. */
void serial_drain(void);

#endif
