"""Reads the machine code that nvdisasm prints: instructions, loops, and the mix of a loop."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Instruction(NamedTuple):
    """One line: /*0150*/ @!P0 LDG.E.128 R4, [R8.64] ;"""

    address: int
    predicate: str  # "@!P0", or empty
    opcode: str  # with its modifiers: "LDG.E.128"
    operands: str
    targets: tuple[int, ...]  # addresses of the labels among the operands

    @property
    def stem(self) -> str:
        return self.opcode.split(".")[0]

    def __str__(self) -> str:
        words = (self.predicate, self.opcode, self.operands)
        return f"/*{self.address:04x}*/ " + " ".join(word for word in words if word)


_SECTION = re.compile(r"^\.text\.(\S+):\s*$")
_LABEL = re.compile(r"^(\.L_\w+|\$\S+):\s*$")
_LINE = re.compile(r"^\s*/\*([0-9a-f]+)\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_REFERENCE = re.compile(r"\.L_\w+|\$[\w$]+")


def parse(listing: str) -> dict[str, list[Instruction]]:
    """Instructions of each function in the output of `nvdisasm -c`, by its mangled name."""
    functions: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in listing.splitlines():
        if section := _SECTION.match(line):
            lines = functions.setdefault(section[1], [])
        else:
            lines.append(line)
    return {name: _parse_function(lines) for name, lines in functions.items()}


def _parse_function(lines: list[str]) -> list[Instruction]:
    labels: dict[str, int] = {}
    pending: list[str] = []  # labels wait for the address of the instruction that follows
    matches = []
    for line in lines:
        if label := _LABEL.match(line):
            pending.append(label[1])
        elif match := _LINE.match(line):
            labels.update(dict.fromkeys(pending, int(match[1], 16)))
            pending.clear()
            matches.append(match)
    return [_instruction(match, labels) for match in matches]


def _instruction(match: re.Match, labels: dict[str, int]) -> Instruction:
    address, predicate, opcode, operands = match.groups()
    targets = (labels[name] for name in _REFERENCE.findall(operands) if name in labels)
    return Instruction(int(address, 16), predicate or "", opcode, operands, tuple(targets))


# Classes of instructions, by the first part of the opcode.
CLASSES = {
    "tensor": "HMMA IMMA DMMA BMMA QMMA OMMA",
    "ffma": "FFMA FFMA2",
    "dfma": "DFMA",
    "float": "FADD FADD2 FMUL FMUL2 FMNMX FMNMX3 FSEL FSET FSETP FCHK FSWZADD MUFU "
    "DADD DMUL DSETP DMNMX HFMA2 HADD2 HMUL2 HMNMX2 HSET2 HSETP2",
    "integer": "IMAD IADD3 IADD IADD64 IABS IMUL LOP3 LOP SHF SHL SHR LEA ISETP IMNMX VIMNMX "
    "VIMNMX3 VIADD VIADDMNMX VABSDIFF VABSDIFF4 PRMT SEL MOV MOV32I MOVM SGXT BMSK POPC FLO BREV "
    "IDP IDP4A ISCADD CS2R S2R LEPC",
    "uniform": "UIADD3 UIADD3_64 ULOP3 USHF USHL USHR ULEA UISETP UIMAD UMOV USEL UPRMT ULDC "
    "UFLO UPOPC UBREV USGXT UBMSK UPLOP3 UP2UR UR2UP UCLEA UVIADD UVIMNMX UIABS R2UR S2UR CS2UR "
    "UF2FP UFADD UFMUL UFFMA UFSETP UFSEL UFMNMX UI2F UI2FP UF2I VOTEU REDUX CREDUX",
    "predicate": "PLOP3 P2R R2P",
    "conversion": "F2F F2FP F2I F2IP I2F I2FP I2I I2IP FRND",
    "global": "LDG STG LDGSTS LD ST ATOM ATOMG RED REDG CCTL CCTLL",
    "shared": "LDS STS LDSM STSM ATOMS",
    "local": "LDL STL",
    "constant": "LDC LDCU",
    "warp": "SHFL VOTE MATCH",
    "barrier": "BAR DEPBAR LDGDEPBAR MEMBAR ERRBAR FENCE ARRIVES SYNCS WARPSYNC NANOSLEEP B2R R2B "
    "ACQBULK CGAERRBAR UCGABAR_ARV UCGABAR_WAIT PREEXIT",
    "branch": "BRA BRX JMP JMX CALL RET EXIT KILL BPT BSSY BSYNC BREAK BMOV YIELD UBRA",
    "nop": "NOP",
}
_CLASS_OF = {stem: name for name, stems in CLASSES.items() for stem in stems.split()}


def class_of(instruction: Instruction) -> str:
    """The class of an instruction: a key of CLASSES, or "other" where its opcode is unknown."""
    if instruction.predicate in ("@!PT", "@!UPT"):
        return "nop"  # never runs
    if instruction.stem in ("HFMA2", "HADD2") and "RZ" in instruction.operands:
        # Conversions and constants in the clothes of half arithmetic: HADD2.F32 R0, -RZ, R2.H0_H0
        # widens a half, HFMA2.MMA R5, -RZ, RZ, 0, 0 loads a constant.
        return "conversion" if ".F32" in instruction.opcode else "integer"
    return _CLASS_OF.get(instruction.stem, "other")


class Mix(NamedTuple):
    """How many instructions of each class, and of each opcode, a piece of code has."""

    classes: Counter
    opcodes: Counter

    @property
    def total(self) -> int:
        return self.classes.total()

    def share(self, name: str) -> float:
        return self.classes[name] / self.total if self.total else 0.0

    def count(self, stem: str, modifier: str = "") -> int:
        """Instructions whose opcode begins with `stem` and has `modifier`: count("LDG", "128")."""
        return sum(
            count
            for opcode, count in self.opcodes.items()
            if opcode.split(".")[0] == stem and modifier in ["", *opcode.split(".")[1:]]
        )

    @property
    def unknown(self) -> list[str]:
        """Opcodes that CLASSES does not know."""
        return sorted({opcode.split(".")[0] for opcode in self.opcodes} - _CLASS_OF.keys())


def mix(instructions: Iterable[Instruction]) -> Mix:
    """Counts all instructions but fillers, which do nothing."""
    counted = [instruction for instruction in instructions if class_of(instruction) != "nop"]
    return Mix(Counter(map(class_of, counted)), Counter(item.opcode for item in counted))


class Loop(NamedTuple):
    """A natural loop: every instruction that can come back to its head without leaving it."""

    head: int  # an address
    body: tuple[Instruction, ...]  # with the loops inside
    own: tuple[Instruction, ...]  # without them
    depth: int  # 1: in no other loop
    inner: int  # loops inside


def loops(code: Sequence[Instruction]) -> list[Loop]:
    """The natural loops of a function, by the address of their heads."""
    blocks = _basic_blocks(code)
    successors = _successors(blocks)
    members = _natural_loops(successors)
    return [_loop(head, blocks, members) for head in sorted(members)]


# A multiply-add on a tensor core does the work of many.
_WEIGHTS = {"tensor": 64, "ffma": 1, "dfma": 1}


def main_loop(code: Sequence[Instruction]) -> Loop | None:
    """The loop with the most multiply-adds of its own, else the largest without a loop inside."""

    def worth(loop: Loop) -> tuple[int, bool, int]:
        classes = mix(loop.own).classes
        work = sum(weight * classes[name] for name, weight in _WEIGHTS.items())
        return work, loop.inner == 0, len(loop.own)

    return max(loops(code), key=worth, default=None)


def _basic_blocks(code: Sequence[Instruction]) -> list[tuple[Instruction, ...]]:
    heads = {target for instruction in code for target in instruction.targets}
    blocks: list[list[Instruction]] = []
    ends = True
    for instruction in code:
        if ends or instruction.address in heads:
            blocks.append([])
        blocks[-1].append(instruction)
        ends = instruction.stem in _JUMPS or instruction.stem in _ENDS
    return [tuple(block) for block in blocks]


# A CALL of a label may be a jump that never comes back, or a call that does.
_JUMPS = {"BRA", "UBRA", "JMP", "BRX", "JMX", "CALL"}
_ENDS = {"EXIT", "RET", "KILL"}


def _successors(blocks: list[tuple[Instruction, ...]]) -> list[list[int]]:
    """Edges of the flow graph, blocks by number."""
    number = {block[0].address: index for index, block in enumerate(blocks)}
    edges = []
    for index, block in enumerate(blocks):
        last = block[-1]
        targets = last.targets if last.stem in _JUMPS else ()
        after = [number[target] for target in targets]
        if _may_fall_through(last) and index + 1 < len(blocks):
            after.append(index + 1)
        edges.append(after)
    return edges


def _may_fall_through(last: Instruction) -> bool:
    """A jump is conditional by a predicate before it or an operand beside its label."""
    if last.predicate or last.stem == "CALL":
        return True
    if last.stem in _JUMPS:
        return last.stem not in ("BRX", "JMX") and "," in last.operands
    return last.stem not in _ENDS


def _dominators(successors: list[list[int]], before: list[list[int]]) -> list[int]:
    """For each block the blocks that every way to it passes, as bits; 0 where no way leads."""
    everything = (1 << len(successors)) - 1
    dominators = [everything] * len(successors)
    dominators[0] = 1
    changed = True
    while changed:
        changed = False
        for block in range(1, len(successors)):
            common = everything
            for earlier in before[block]:
                common &= dominators[earlier]
            common |= 1 << block
            changed |= common != dominators[block]
            dominators[block] = common
    return dominators


def _natural_loops(successors: list[list[int]]) -> dict[int, frozenset[int]]:
    """Blocks of every loop by the number of its head; loops with one head are one."""
    before: list[list[int]] = [[] for _ in successors]
    for block in _reachable(successors):
        for after in successors[block]:
            before[after].append(block)
    dominators = _dominators(successors, before) if successors else []
    members: dict[int, set[int]] = {}
    for block in _reachable(successors):
        for head in successors[block]:
            if dominators[block] >> head & 1:
                members.setdefault(head, {head}).update(_reaching(block, head, before))
    return {head: frozenset(blocks) for head, blocks in members.items()}


def _reachable(successors: list[list[int]]) -> set[int]:
    return _closure([0] if successors else [], successors, set())


def _reaching(block: int, head: int, before: list[list[int]]) -> set[int]:
    """Blocks from which `block` is reached without passing `head`."""
    return _closure([block], before, {head})


def _closure(start: list[int], edges: list[list[int]], found: set[int]) -> set[int]:
    found, waiting = set(found), list(start)
    while waiting:
        block = waiting.pop()
        if block not in found:
            found.add(block)
            waiting.extend(edges[block])
    return found


def _loop(
    head: int, blocks: list[tuple[Instruction, ...]], members: dict[int, frozenset[int]]
) -> Loop:
    body = members[head]
    inner = [other for other in members.values() if other < body]
    outer = sum(body < other for other in members.values())
    own = body.difference(*inner)

    def code(numbers: Iterable[int]) -> tuple[Instruction, ...]:
        return tuple(instruction for number in sorted(numbers) for instruction in blocks[number])

    return Loop(blocks[head][0].address, code(body), code(own), 1 + outer, len(inner))
