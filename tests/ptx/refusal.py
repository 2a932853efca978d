"""What the writer of an instruction raises."""


class Unsupported(Exception):
    """Something that no emitter knows; becomes a Fault that names the line."""
