/* SPDX-License-Identifier: MIT */
/* A 16550 UART, polled. Registers by offset from the base port, as in its data sheet. */
#include <pinion/arch/io.h>
#include <pinion/arch/serial.h>

#define BASE	     0x3f8
#define DATA	     0 /* with DLAB: divisor, low byte */
#define INTERRUPTS   1 /* with DLAB: divisor, high byte */
#define FIFO	     2
#define LINE_CONTROL 3
#define LINE_STATUS  5

#define LINE_8N1      0x03
#define LINE_DLAB     0x80
#define FIFO_ON_CLEAR 0x07
#define STATUS_ROOM   0x20 /* the holding register is empty */
#define STATUS_IDLE   0x40 /* the shift register too */

/* An absent port reads as ones, so has room; a stuck one is given up on. */
#define SPINS 1000000

static void wait_for(uint8_t bit)
{
	unsigned int i;

	for (i = 0; i < SPINS && !(inb(BASE + LINE_STATUS) & bit); i++)
		;
}

void serial_init(void)
{
	outb(BASE + INTERRUPTS, 0);
	outb(BASE + LINE_CONTROL, LINE_DLAB);
	outb(BASE + DATA, 1);
	outb(BASE + INTERRUPTS, 0);
	outb(BASE + LINE_CONTROL, LINE_8N1);
	outb(BASE + FIFO, FIFO_ON_CLEAR);
}

static void put_raw(char c)
{
	wait_for(STATUS_ROOM);
	outb(BASE + DATA, (uint8_t)c);
}

void serial_put(char c)
{
	if (c == '\n')
		put_raw('\r');
	put_raw(c);
}

void serial_drain(void)
{
	wait_for(STATUS_IDLE);
}
