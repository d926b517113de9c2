# SPDX-License-Identifier: MIT
"""
What the generator means by a call, and what Xen has to say to it if the generator was right.

A label names a case of the table 'What must fail, and how' of the ABI, or a family of calls. `expected` are
the letters (tests/guest/trace_print.c) that make the case; they may differ between dom0 and a domU.
"""

_LABELS = (
    # name, letters as dom0, letters as domU (None: the same)
    ('random', None, None),
    ('build', '.', None),
    ('map_table_rw', 'B', None),
    ('map_table_ro', '.', None),
    ('pin_rw_mapped', 'I', None),
    ('pin_other_level', 'I', None),
    ('pin_twice', 'I', None),
    ('pin_l1_of_foreign', 'B', None),
    ('pin_l1_rw_table', 'B', None),
    ('pin_l2_of_rw_page', 'I', None),
    ('pin_l4_junk', 'I', None),
    ('pin', '.', None),
    ('unpin', '.', None),
    ('unpin_plain', 'I', None),
    ('pin_bad_frame', 'I', None),
    ('unpin_bad_frame', 'I', None),
    ('unpin_live_l4', '.', None),
    ('map_foreign', 'B', None),
    ('map_mmio', '.', 'P'),
    ('map_ones', 'I', None),
    ('map_cache_bits', '.', 'I'),
    ('command_4_to_7', 'N', None),
    ('ptr_foreign', 'I', None),
    ('ptr_gdt', 'I', None),
    ('ptr_plain', '.', None),
    ('good_bad_good', 'IBEPM', None),
    ('upper_bad_bits', 'I', None),
    ('upper_bad_target', 'I', None),
    ('share_table', '.', None),
    ('xen_slot', 'I', None),
    ('uva_no_l1', 'I', None),
    ('uva_misaligned', '.', None),
    ('uva_bad_bitmap', 'F', None),
    ('flush_bad_bitmap', 'I', None),
    ('invlpg_anywhere', '.', None),
    ('own_number', 'S', None),
    ('other_domain', 'S', 'P'),
    ('m2p_foreign', 'I', None),
    ('m2p_own', '.', None),
    ('base_bad', 'I', None),
    ('base_unpinned', '.', None),
    ('user_base', '.', None),
    ('ext_command', 'N', None),
    ('ext_super', 'O', None),
    ('ldt_bad', 'I', None),
    ('ldt', '.', None),
    ('overwrite_table', 'I', None),
    ('overwrite_foreign', 'I', None),
    ('copy_from_table', '.', None),
    ('flush_cache', '.', 'A'),
    ('flush_cache_global', '.', 'I'),
    ('requests_bad', 'F', None),
    ('done_bad', '.', None),
    ('count_0', '.', None),
    ('multicall', '.', None),
    ('multicall_bad', 'F', None),
    ('unknown_call', 'N', None),
    ('nested', 'I', None),
    ('assist_type', 'I', None),
    ('assist_command', 'N', None),
    ('decrease_held', '1', None),
    ('decrease_foreign', '.', None),
    ('decrease_fault', '.F', None),
    ('exchange_mapped', 'I', None),
    ('exchange_free', '.', None),
    ('populate_none', '.', None),
    ('gdt', '.', None),
    ('gdt_rw', 'I', None),
    ('gdt_foreign', 'I', None),
    ('gdt_long', 'I', None),
    ('gdt_pointer', 'F', None),
    ('descriptor', '.', None),
    ('descriptor_bad', 'I', None),
    ('linear_ro', '.', None),
    ('linear_rw', 'I', None),
    ('nonpresent', '.', None),
)

NAMES = [name for name, _, _ in _LABELS]
NUMBER = {name: number for number, name in enumerate(NAMES)}


def expected(label, dom0):
    """The letters that make the case of a label's number; None: it is no case."""
    _, as_dom0, as_domu = _LABELS[label]
    return as_dom0 if dom0 or as_domu is None else as_domu
