"""The opcodes of a pickle, read before it runs.

Even a pickle that calls nothing could fill the memory, or keep the interpreter busy for ever.
"""

import pickletools

TUPLES = 32  # an array takes seven
REUSED = 16  # an array takes two
OPCODES = 1_000_000  # the largest published file, CIFAR-100's train, has about 200,000

PUTS = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"BINGET", "LONG_BINGET"}
FRAME = {"PROTO", "FRAME", "MARK", "STOP"}
CALLS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"}
NUMBERS = {"NONE", "NEWFALSE", "NEWTRUE", "BININT", "BININT1", "BININT2", "BINFLOAT"}
STRINGS = {
    *("SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES", "BINBYTES"),
    *("SHORT_BINUNICODE", "BINUNICODE"),
}
DICTS_AND_LISTS = {"EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"}
TUPLE_MAKERS = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
ALLOWED = PUTS | GETS | FRAME | CALLS | NUMBERS | STRINGS | DICTS_AND_LISTS | TUPLE_MAKERS


def read_through(program: bytes) -> None:
    """Refuse what the published files have no use for.

    An object that is used twice, in an object that is used twice, and so on, is a tree without end
    for whoever walks over it; a memo with a hole takes any amount of memory. A string longer than
    the file already fails in `genops`.
    """
    tuples = gets = position = 0
    for number, (opcode, argument, at) in enumerate(pickletools.genops(program)):
        name = opcode.name
        if name not in ALLOWED:
            raise ValueError(f"opcode {name}, which no published file has")
        if name in PUTS and (argument or 0) > number:
            raise ValueError(f"memo entry {argument} after {number} opcodes")
        tuples += name in TUPLE_MAKERS
        gets += name in GETS
        if tuples > TUPLES or gets > REUSED or number > OPCODES:
            raise ValueError(
                f"more than {TUPLES} tuples, {REUSED} objects used again or {OPCODES} opcodes"
            )
        position = at or 0
    if more := len(program) - position - 1:
        raise ValueError(f"{more} bytes after its end")
