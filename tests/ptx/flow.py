"""Basic blocks, their order, and which registers cross from one to another."""

from dataclasses import dataclass, field, replace

from .fault import Fault
from .syntax import (
    Address,
    Instruction,
    Label,
    Negation,
    Pair,
    Register,
    Symbol,
    Vector,
)

BARRIERS = {"bar", "barrier"}
ENDS = {"bra", "brx", "ret", "exit"} | BARRIERS
NO_DESTINATION = ENDS - BARRIERS | {
    "st",
    "red",
    "cp",
    "membar",
    "fence",
    "trap",
    "prefetch",
    "prefetchu",
    "nanosleep",
    "griddepcontrol",
    "discard",
    "applypriority",
    "brkpt",
    "pmevent",
    "stmatrix",
}
CARRY = "%carry"


@dataclass
class BasicBlock:
    """Instructions that run one after another; the last may be a branch or barrier."""

    items: list = field(default_factory=list)
    label: str | None = None
    successors: list = field(default_factory=list)

    @property
    def end(self):
        """The closing branch, return or barrier, or None where the block falls through."""
        last = self.items[-1] if self.items else None
        return last if last is not None and ends_block(last) else None


def ends_block(item):
    """Whether an instruction closes a basic block."""
    if item.opcode in BARRIERS:
        return "warp" not in item.modifiers
    return item.opcode in ENDS


def registers_in(operand):
    """The registers that an operand names."""
    if isinstance(operand, Register):
        return [operand.name]
    if isinstance(operand, Address):
        return registers_in(operand.base)
    if isinstance(operand, Vector):
        return [name for item in operand.items for name in registers_in(item)]
    if isinstance(operand, Pair):
        return registers_in(operand.first) + registers_in(operand.second)
    if isinstance(operand, Negation):
        return [operand.register.name]
    return []


def has_destination(item):
    """Whether the first operand is written."""
    if item.opcode in BARRIERS:
        return "red" in item.modifiers
    if item.opcode == "st":
        return item.modifiers[0] == "argument"
    return item.opcode not in NO_DESTINATION and bool(item.operands)


def defined_by(item):
    """Names of the registers that an instruction writes."""
    names = registers_in(item.operands[0]) if has_destination(item) else []
    return names + [CARRY] if "cc" in item.modifiers else names


def used_by(item):
    """Names of the registers that an instruction reads, its guard included."""
    operands = item.operands[1:] if has_destination(item) else item.operands
    names = [name for operand in operands for name in registers_in(operand)]
    if item.guard:
        names.append(item.guard[0].name)
    if item.opcode in ("addc", "subc", "madc"):
        names.append(CARRY)
    return names


def split_blocks(body, limit=None):
    """Cut a flat body into basic blocks, of at most `limit` instructions where that is given."""
    blocks = [BasicBlock()]
    skips = 0
    for item in body:
        if isinstance(item, Label):
            if blocks[-1].items or blocks[-1].label:
                blocks.append(BasicBlock())
            blocks[-1].label = item.name
            continue
        if item.guard and ends_block(item) and item.opcode != "bra":
            skips += 1
            over, (register, negated) = f"skip@{skips}", item.guard
            branch = Instruction(item.line, item.text, "bra", (), (Symbol(over),))
            blocks[-1].items.append(replace(branch, guard=(register, not negated)))
            blocks += [BasicBlock([replace(item, guard=None)]), BasicBlock(label=over)]
            continue
        blocks[-1].items.append(item)
        if ends_block(item) or (limit and len(blocks[-1].items) >= limit):
            blocks.append(BasicBlock())
    return blocks


def link(blocks, branch_targets):
    """Set the successors of every block: a branch's target first, then what follows it."""
    labels = {block.label: index for index, block in enumerate(blocks) if block.label}

    def target(item, name):
        if name not in labels:
            raise Fault("unsupported", f"no label {name}", line=item.line, text=item.text)
        return labels[name]

    for index, block in enumerate(blocks):
        end = block.end
        following = [index + 1] if index + 1 < len(blocks) else []
        if end is None or end.opcode in BARRIERS:
            block.successors = following
        elif end.opcode == "bra":
            block.successors = [target(end, end.operands[0].name)]
            block.successors += following if end.guard else []
        elif end.opcode == "brx":
            names = branch_targets[end.operands[1].name]
            block.successors = [target(end, name) for name in names]


def components(nodes, successors):
    """Strongly connected components of a graph, in topological order (Tarjan, iterative)."""
    number, low, stack, on_stack, found = {}, {}, [], set(), []
    for root in nodes:
        if root in number:
            continue
        work = [(root, iter(successors(root)))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, edges = work[-1]
            for successor in edges:
                if successor not in number:
                    number[successor] = low[successor] = len(number)
                    stack.append(successor)
                    on_stack.add(successor)
                    work.append((successor, iter(successors(successor))))
                    break
                if successor in on_stack:
                    low[node] = min(low[node], number[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    cut = stack.index(node)
                    found.append(stack[cut:])
                    on_stack.difference_update(stack[cut:])
                    del stack[cut:]
    return found[::-1]


def loop_order(blocks):
    """The reachable blocks, each before its successors and every loop in one piece.

    Threads of a warp that part at a branch come together again where their paths meet, if the one
    that stands earliest in this order always runs first.
    """
    order = []

    def place(nodes, headers):
        inside = set(nodes)

        def successors(node):
            return [n for n in blocks[node].successors if n in inside and n not in headers]

        for component in components(nodes, successors):
            if len(component) == 1:
                order.append(component[0])
                continue
            members = set(component)
            entered = {
                node
                for node in component
                for other in nodes
                if other not in members and node in blocks[other].successors
            }
            first = min(entered or {component[0]}, key=component.index)
            place([first] + [node for node in component if node != first], headers | {first})

    reached, pending = {0}, [0]
    while pending:
        for successor in blocks[pending.pop()].successors:
            if successor not in reached:
                reached.add(successor)
                pending.append(successor)
    place(sorted(reached), {0})
    return order


def arrange(blocks):
    """The reachable blocks in loop order, successors renumbered."""
    order = loop_order(blocks)
    place = {old: new for new, old in enumerate(order)}
    arranged = [blocks[old] for old in order]
    for block in arranged:
        block.successors = [place[old] for old in block.successors]
    return arranged


def build(body, branch_targets, limit=None):
    """The basic blocks of a flat body, ready to be written."""
    blocks = split_blocks(body, limit)
    link(blocks, branch_targets)
    return arrange(blocks)


@dataclass
class Crossing:
    """What the blocks of a kernel share: `slots` numbers the registers that cross from one block
    to another, `unproven` names those that some path reads before it writes them."""

    slots: dict
    unproven: set


def crossing(blocks):
    """Which registers live longer than a block, and which may be read unwritten."""
    homes, local_reads, unproven = {}, set(), set()
    written_in, exposed = [], []
    for index, block in enumerate(blocks):
        written, reads = set(), set()
        for item in block.items:
            for name in used_by(item):
                homes.setdefault(name, set()).add(index)
                if name not in written:
                    reads.add(name)
            for name in defined_by(item):
                homes.setdefault(name, set()).add(index)
                if item.guard is None:
                    written.add(name)
                elif name not in written:
                    local_reads.add(name)
        written_in.append(written)
        exposed.append(reads)
        local_reads |= reads
    names = sorted(name for name, where in homes.items() if len(where) > 1 or name in local_reads)
    arriving = definitely_written(blocks, written_in)
    for index, block in enumerate(blocks):
        unproven |= exposed[index] - arriving[index]
        unproven |= guarded_first(block, arriving[index])
    return Crossing({name: slot for slot, name in enumerate(names)}, unproven)


def guarded_first(block, written):
    """Registers whose first write in a block stands under a guard, if none came before."""
    written, found = set(written), set()
    for item in block.items:
        for name in defined_by(item):
            if item.guard is None:
                written.add(name)
            elif name not in written:
                found.add(name)
    return found


def definitely_written(blocks, written_in):
    """For every block the registers that each path from the start has written."""
    everything = set().union(*written_in)
    arriving = [everything for _ in blocks]
    arriving[0] = set()
    predecessors = [[] for _ in blocks]
    for index, block in enumerate(blocks):
        for successor in block.successors:
            predecessors[successor].append(index)
    changed = True
    while changed:
        changed = False
        for index in range(1, len(blocks)):
            leaving = [arriving[p] | written_in[p] for p in predecessors[index]]
            new = set.intersection(*leaving) if leaving else everything
            if new != arriving[index]:
                arriving[index], changed = new, True
    return arriving
