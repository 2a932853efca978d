"""Where state spaces and buffers lie in the generic address space: 64 GiB apart."""

SLOT_BITS = 36
SLOT = 1 << SLOT_BITS

WINDOWS = {"shared": 1 << SLOT_BITS, "local": 2 << SLOT_BITS, "const": 3 << SLOT_BITS}
WINDOWS["param"] = 4 << SLOT_BITS
SPACE_OF_SLOT = {base >> SLOT_BITS: space for space, base in WINDOWS.items()}
FIRST_BUFFER_SLOT = 16
ALIGNMENT = 256
