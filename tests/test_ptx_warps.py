"""What lanes of a warp tell one another, atomics, and asynchronous copies."""

import numpy as np
import pytest

from ptx import Fault
from ptx.harness import evaluate, launch

RANDOM = np.random.default_rng(2)
VALUES = RANDOM.integers(0, 2**32, 64, dtype="u4")


def shuffled(mode, lane, b, c):
    """Source lane and predicate as the ISA's pseudocode has them."""
    segment, clamp = c >> 8 & 31, c & 31
    most, least = lane & segment | clamp & ~segment & 31, lane & segment
    source, inside = {
        "up": (lane - b, lane - b >= most),
        "down": (lane + b, lane + b <= most),
        "bfly": (lane ^ b, lane ^ b <= most) if (lane ^ b) <= most else (lane ^ b, False),
        "idx": (least | b & ~segment & 31, (least | b & ~segment & 31) <= most),
    }[mode]
    return (source if inside else lane), inside


@pytest.mark.parametrize("width", [32, 16, 8, 2])
@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
def test_shuffles(mode, width):
    c = (32 - width) << 8 | (0 if mode == "up" else 31)
    for b in (0, 1, 3, 8, 17, 31):
        text = f"shfl.sync.{mode}.b32 %d|%pd, %a, {b}, {c}, 0xffffffff;"
        text = f".reg .pred %pd;\n{text}\n@!%pd xor.b32 %d, %d, 1;"
        found = evaluate(text, [("b32", VALUES)], "b32")
        for t in range(64):
            source, inside = shuffled(mode, t % 32, b, c)
            assert found[t] == VALUES[t // 32 * 32 + source] ^ (not inside)


def test_shuffle_by_a_register():
    lanes = RANDOM.integers(0, 32, 64).astype("u4")
    inputs = [("b32", VALUES), ("b32", lanes)]
    found = evaluate("shfl.sync.idx.b32 %d, %a, %b, 31, -1;", inputs, "b32")
    assert (found == VALUES[np.arange(64) // 32 * 32 + lanes]).all()


def test_shuffle_in_a_part_of_a_warp():
    text = """
        .reg .b32 %lane; .reg .pred %q;
        mov.u32 %lane, %laneid; setp.ge.u32 %q, %lane, 16; mov.b32 %d, 0;
        @%q bra past;
        shfl.sync.bfly.b32 %d, %a, 1, 31, 0xffff;
        past:
    """
    found = evaluate(text, [("b32", VALUES)], "b32")
    lanes = np.arange(64)
    assert (found == np.where(lanes % 32 < 16, VALUES[lanes ^ 1], 0)).all()


def test_votes():
    flags = RANDOM.integers(0, 2, 64).astype(bool)
    flags[32:] = True
    inputs = [("pred", flags)]
    found = evaluate("vote.sync.ballot.b32 %d, %pa, 0xffffffff;", inputs, "b32")
    words = [sum(1 << i for i in range(32) if half[i]) for half in flags.reshape(2, 32)]
    assert (found == np.repeat(np.array(words, "u4"), 32)).all()
    for mode, wanted in (("all", [False, True]), ("any", [True, True]), ("uni", [False, True])):
        found = evaluate(f"vote.sync.{mode}.pred %pd, %pa, -1;", inputs, "pred")
        assert (found == np.repeat(wanted, 32)).all(), mode
    found = evaluate("activemask.b32 %d;", inputs, "b32")
    assert (found == 0xFFFFFFFF).all()


@pytest.mark.parametrize("mode", ["add", "min", "max", "and", "or", "xor"])
def test_redux(mode):
    function = {
        "add": np.add,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }[mode]
    kind = "b32" if mode in ("and", "or", "xor") else "u32"
    found = evaluate(f"redux.sync.{mode}.{kind} %d, %a, -1;", [("b32", VALUES)], "b32")
    wanted = function.reduce(VALUES.reshape(2, 32), axis=1).astype("u4")
    assert (found == np.repeat(wanted, 32)).all()


def test_match_and_elect():
    values = RANDOM.integers(0, 4, 64).astype("u4")
    found = evaluate("match.any.sync.b32 %d, %a, -1;", [("b32", values)], "b32")
    for t in range(64):
        row = values[t // 32 * 32 : t // 32 * 32 + 32]
        assert found[t] == sum(1 << i for i in range(32) if row[i] == values[t])
    text = "match.all.sync.b32 %d|%pd, %a, -1;"
    values[32:] = 3
    text = f".reg .pred %pd;\n{text}"
    found = evaluate(text, [("b32", values)], "b32")
    assert (found == np.repeat(np.array([0, 0xFFFFFFFF], "u4"), 32)).all()
    text = ".reg .pred %pd;\nelect.sync %d|%pd, 0xfffffff0;\nselp.b32 %d, 100, %d, %pd;"
    few = ".reg .b32 %l; .reg .pred %q;\nmov.u32 %l, %laneid; setp.lt.u32 %q, %l, 4;\n@%q exit;\n"
    text = few + text
    made = evaluate(text, [("b32", values)], "b32")
    assert made[4] == 100 and made[5] == 4


def atomics(operation, kind, initial, operands, order="lockstep"):
    """Old values and final value of atomics by 64 threads on one word of global memory."""
    width = int(kind[1:].removesuffix("x2")) // 8 * (2 if kind.endswith("x2") else 1)
    flags = ".noftz" if kind in ("f16", "f16x2") else ""
    extra = ", %w" if operation == "cas" else ""
    body = f"""
        .reg .b32 %t; .reg .b64 %p, %q; .reg .b{8 * width} %v, %w, %old;
        mov.u32 %t, %tid.x; mad.wide.u32 %p, %t, {width}, %in; mad.wide.u32 %q, %t, {width}, %out;
        ld.global.b{8 * width} %v, [%p]; ld.global.b{8 * width} %w, [%p];
        atom.global.{operation}{flags}.{kind} %old, [%word], %v{extra};
        st.global.b{8 * width} [%q], %old; ret;
    """
    buffers = {"in": (operands,), "word": (initial, True), "out": (64 * width, True)}
    made, _ = launch(body, buffers, block=64, order=order)
    return made["out"].array(operands.dtype), made["word"].array(initial.dtype)[0]


@pytest.mark.parametrize(
    "kind, dtype", [("u32", "u4"), ("s32", "i4"), ("u64", "u8"), ("f32", "f4")]
)
def test_atomic_sums(kind, dtype):
    operands = RANDOM.integers(0, 100, 64).astype(dtype)
    old, final = atomics("add", kind, np.array([7], dtype), operands)
    assert final == 7 + operands.sum()
    assert (old == 7 + np.concatenate([[0], np.cumsum(operands)[:-1]])).all()
    old, final = atomics("add", kind, np.array([7], dtype), operands, order="backward")
    assert final == 7 + operands.sum() and old[32] == 7


@pytest.mark.parametrize(
    "operation", ["min", "max", "and", "or", "xor", "exch", "inc", "dec", "cas"]
)
def test_atomic_operations(operation):
    operands = RANDOM.integers(0, 50, 64).astype("u4")
    kind = "b32" if operation in ("and", "or", "xor", "exch", "cas") else "u32"
    old, final = atomics(operation, kind, np.array([23], "u4"), operands)
    value = 23
    steps = {
        "min": min,
        "max": max,
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "exch": lambda a, b: b,
        "inc": lambda a, b: 0 if a >= b else a + 1,
        "dec": lambda a, b: b if a == 0 or a > b else a - 1,
        "cas": lambda a, b: b if a == b else a,
    }
    for before, operand in zip(old, operands.tolist()):
        assert before == value
        value = steps[operation](value, operand)
    assert final == value


def test_atomic_halves():
    operands = np.ones(64, "f2")
    _, final = atomics("add", "f16", np.array([0.5], "f2"), operands)
    assert final == 64.5
    pairs = np.ones(128, "f2").view("u4")
    _, final = atomics("add", "f16x2", np.zeros(1, "u4"), pairs)
    assert np.array([final], "u4").view("f2").tolist() == [64.0, 64.0]


def copies(form, size, amounts=None):
    """Shared memory after a cp.async of every thread, 16 bytes apart, over a pattern of 0xAA."""
    operand = "" if amounts is None else ", %n"
    body = f"""
        .shared .align 16 .b8 tile[512];
        .reg .b32 %t, %s, %n, %x; .reg .b64 %p, %q; .reg .b32 %v<4>;
        mov.u32 %t, %tid.x; mov.u32 %x, 0xAAAAAAAA;
        mov.u32 %s, tile; mad.lo.u32 %s, %t, 16, %s;
        mad.wide.u32 %p, %t, 16, %in; mad.wide.u32 %q, %t, 16, %out;
        mad.wide.u32 %a, %t, 4, %amount; ld.global.u32 %n, [%a];
        st.shared.v4.b32 [%s], {{%x, %x, %x, %x}};
        bar.warp.sync -1;
        cp.async.{form}.shared.global [%s], [%p], {size}{operand};
        cp.async.commit_group;
        cp.async.wait_group 0;
        ld.shared.v4.b32 {{%v0, %v1, %v2, %v3}}, [%s];
        st.global.v4.b32 [%q], {{%v0, %v1, %v2, %v3}};
        ret;
    """.replace("mad.wide.u32 %a", ".reg .b64 %a;\nmad.wide.u32 %a")
    source = np.arange(1, 513, dtype="u2").astype("u1")
    counts = np.zeros(32, "u4") if amounts is None else amounts
    buffers = {"in": (source,), "amount": (counts,), "out": (512, True)}
    made, _ = launch(body, buffers, block=32)
    return source.reshape(32, 16), made["out"].array("u1").reshape(32, 16)


@pytest.mark.parametrize(
    "form, size", [("cg", 16), ("ca", 16), ("ca", 8), ("ca", 4), ("cg.L2::128B", 16)]
)
def test_async_copies(form, size):
    source, found = copies(form, size)
    assert (found[:, :size] == source[:, :size]).all()
    assert (found[:, size:] == 0xAA).all()


@pytest.mark.parametrize("form, size", [("cg", 16), ("ca", 8), ("ca", 4)])
def test_async_copies_fill_with_zeros(form, size):
    amounts = RANDOM.integers(0, size + 1, 32).astype("u4")
    source, found = copies(form, size, amounts)
    for row, given, amount in zip(found, source, amounts):
        assert (row[:amount] == given[:amount]).all()
        assert (row[amount:size] == 0).all() and (row[size:] == 0xAA).all()


def test_groups_of_copies_land_in_order():
    """wait_group 1 lands the older of two groups only."""
    body = """
        .shared .align 16 .b8 tile[1024];
        .reg .b32 %t, %s, %v; .reg .b64 %p, %q;
        mov.u32 %t, %tid.x; mov.u32 %s, tile; mad.lo.u32 %s, %t, 16, %s;
        mad.wide.u32 %p, %t, 16, %in; mad.wide.u32 %q, %t, 4, %out;
        cp.async.cg.shared.global [%s], [%p], 16;
        cp.async.commit_group;
        cp.async.cg.shared.global [%s+512], [%p], 16;
        cp.async.commit_group;
        cp.async.wait_group 1;
        ld.shared.b32 %v, [%s+$];
        st.global.b32 [%q], %v;
        ret;
    """
    source = np.arange(128, dtype="u4")
    buffers = {"in": (source,), "out": (128, True)}
    made, _ = launch(body.replace("$", "4"), buffers)
    assert (made["out"].array("u4") == source.reshape(32, 4)[:, 1]).all()
    with pytest.raises(Fault, match="pending-copy"):
        launch(body.replace("$", "516"), buffers)


@pytest.mark.parametrize(
    "kind, count",
    [("b8", 2), ("b8", 4), ("b16", 2), ("b16", 4), ("b16", 8), ("b32", 2), ("b32", 4), ("b64", 2)],
)
@pytest.mark.parametrize("space", ["global", "shared", "local", "generic"])
def test_vector_accesses(space, kind, count):
    width = int(kind[1:]) // 8
    size = width * count
    registers = [f"%v{i}" for i in range(count)]
    where = {
        "global": ("mov.u64 %s, %copy;", ".global"),
        "shared": (".shared .align 16 .b8 tile[512];\nmov.u64 %s, tile;", ".shared"),
        "local": (".local .align 16 .b8 depot[512];\nmov.u64 %s, depot;", ".local"),
        "generic": (
            ".shared .align 16 .b8 tile[512];\nmov.u64 %s, tile;\ncvta.shared.u64 %s, %s;",
            "",
        ),
    }[space]
    vector = "{" + ", ".join(registers) + "}"
    body = f"""
        .reg .b32 %t; .reg .b64 %p, %q, %s; .reg .b{max(16, 8 * width)} %v<{count}>;
        mov.u32 %t, %tid.x; {where[0]}
        mad.wide.u32 %p, %t, {size}, %in; mad.wide.u32 %q, %t, {size}, %out;
        mad.wide.u32 %s, %t, {size}, %s;
        ld.global.v{count}.{kind} {vector}, [%p];
        st{where[1]}.v{count}.{kind} [%s], {vector};
        ld{where[1]}.v{count}.{kind} {vector}, [%s];
        st.global.v{count}.{kind} [%q], {vector};
        ret;
    """
    source = RANDOM.integers(0, 256, 32 * size).astype("u1")
    buffers = {"in": (source,), "out": (32 * size, True), "copy": (512, True)}
    made, _ = launch(body, buffers)
    assert (made["out"].array("u1") == source).all()


def test_generic_addresses_of_several_spaces():
    """Lanes of one load read shared, local and global memory."""
    body = """
        .shared .align 4 .b8 tile[4]; .local .align 4 .b8 depot[4];
        .reg .b32 %t, %v; .reg .b64 %p, %q, %s<3>; .reg .pred %k, %m, %i<3>;
        mov.u32 %t, %tid.x; mov.u64 %s0, tile; mov.u64 %s1, depot;
        st.shared.u32 [tile], 100; st.local.u32 [%s1], %t;
        cvta.shared.u64 %s0, %s0; cvta.local.u64 %s1, %s1; cvta.global.u64 %s2, %in;
        setp.lt.u32 %k, %t, 10; setp.gt.u32 %m, %t, 20;
        selp.b64 %p, %s0, %s1, %k; selp.b64 %p, %s2, %p, %m;
        ld.u32 %v, [%p];
        isspacep.shared %i0, %p; isspacep.local %i1, %p; isspacep.global %i2, %p;
        @%i0 add.u32 %v, %v, 1000; @%i1 add.u32 %v, %v, 2000; @%i2 add.u32 %v, %v, 3000;
        mad.wide.u32 %q, %t, 4, %out; st.u32 [%q], %v;
        ret;
    """
    made, _ = launch(body, {"in": (np.array([7], "u4"),), "out": (128, True)})
    wanted = [1100 if t < 10 else 3007 if t > 20 else 2000 + t for t in range(32)]
    assert made["out"].array("u4").tolist() == wanted


def test_special_registers():
    names = ["tid.x", "tid.y", "tid.z", "ntid.y", "ctaid.x", "nctaid.y", "laneid", "warpid"]
    names += ["lanemask_lt", "lanemask_ge", "nwarpid"]
    stores = "".join(
        f"mov.u32 %v, %{n};\nst.global.u32 [%q+{4 * i}], %v;\n" for i, n in enumerate(names)
    )
    body = f"""
        .reg .b32 %v, %t, %u, %b; .reg .b64 %q;
        mov.u32 %t, %tid.z; mov.u32 %u, %ntid.y; mov.u32 %v, %tid.y; mad.lo.u32 %t, %t, %u, %v;
        mov.u32 %u, %ntid.x; mov.u32 %v, %tid.x; mad.lo.u32 %t, %t, %u, %v;
        mov.u32 %u, %ctaid.y; mov.u32 %b, %nctaid.x; mov.u32 %v, %ctaid.x;
        mad.lo.u32 %u, %u, %b, %v; mad.lo.u32 %t, %u, 64, %t;
        mad.wide.u32 %q, %t, {4 * len(names)}, %out;
        {stores} ret;
    """
    made, _ = launch(body, {"out": (6 * 64 * 4 * len(names), True)}, grid=(3, 2), block=(8, 4, 2))
    rows = made["out"].array("u4").reshape(6, 64, len(names))
    for block in range(6):
        for t in range(64):
            lane = t % 32
            wanted = [t % 8, t // 8 % 4, t // 32, 4, block % 3, 2, lane, t // 32]
            wanted += [(1 << lane) - 1, 0xFFFFFFFF & ~((1 << lane) - 1), 2]
            assert rows[block, t].tolist() == wanted
