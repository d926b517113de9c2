/* SPDX-License-Identifier: MIT */
/*
 * Booted without Xen PV: say so in one sentence, and end.
 *
 * Two ways lead here. QEMU's -kernel on a bare machine: the sentence goes to the serial port, and
 * the isa-debug-exit device, if QEMU has one, ends QEMU with a status of its own. A domain of
 * type = "pvh": there is no serial port, but Xen's debug port, which Xen copies to its log; then
 * HLT with interrupts off, by which Xen knows that the domain has ended.
 *
 * Everything here is port I/O at ring 0, on the constant tables of entry_pvh.S.
 */
#include <stdbool.h>
#include <stdint.h>
#include <xen/arch-x86/cpuid.h>
#include <pinion/arch/io.h>
#include <pinion/arch/serial.h>
#include <pinion/lib/compiler.h>

#define XEN_DEBUG_PORT 0xe9

#define DEBUG_EXIT_PORT	 0xf4
#define DEBUG_EXIT_VALUE 0x2a /* QEMU ends with status 0x2a << 1 | 1 = 85 */

/* Called by entry_pvh.S alone. */
__noreturn void pvh_start(void);

static const char sentence[] =
	"Pinion needs Xen PV: boot it as a domU of type = \"pv\", or as Xen's initial domain.\n";

/* Xen's leaves start at one of these, above those of a viridian interface if there is one. */
static bool xen_present(void)
{
	uint32_t base, eax, ebx, ecx, edx;

	for (base = XEN_CPUID_FIRST_LEAF; base < XEN_CPUID_FIRST_LEAF + 0x10000; base += 0x100) {
		cpuid(base, &eax, &ebx, &ecx, &edx);
		if (ebx == XEN_CPUID_SIGNATURE_EBX && ecx == XEN_CPUID_SIGNATURE_ECX &&
		    edx == XEN_CPUID_SIGNATURE_EDX)
			return true;
	}
	return false;
}

void pvh_start(void)
{
	bool xen = xen_present();
	const char *c;

	if (!xen)
		serial_init();
	for (c = sentence; *c; c++) {
		if (xen)
			outb(XEN_DEBUG_PORT, (uint8_t)*c);
		else
			serial_put(*c);
	}
	if (!xen) {
		serial_drain();
		outl(DEBUG_EXIT_PORT, DEBUG_EXIT_VALUE);
	}
	for (;;)
		__asm__ volatile("cli; hlt");
}
