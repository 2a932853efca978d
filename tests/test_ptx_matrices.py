"""Fragments of mma and ldmatrix against the tables of the PTX ISA."""

import numpy as np
import pytest
import torch

from ptx import Fault
from ptx.harness import launch

RANDOM = np.random.default_rng(3)
LANES = [(lane // 4, lane % 4) for lane in range(32)]

# Row and column of every element of a fragment, by group and thread in group of its lane, as the
# tables of the ISA give them.
A_16 = {8: lambda i, g, t: (g + 8 * (i >= 2), 2 * t + (i & 1))}
A_16[16] = lambda i, g, t: (g + 8 * (i in (2, 3, 6, 7)), 2 * t + (i & 1) + 8 * (i >= 4))
B_16 = {k: lambda i, g, t: (2 * t + (i & 1) + 8 * (i >= 2), g) for k in (8, 16)}
A_TF32 = {
    4: lambda i, g, t: (g + 8 * (i == 1), t),
    8: lambda i, g, t: (g + 8 * (i in (1, 3)), t + 4 * (i >= 2)),
}
B_TF32 = {4: lambda i, g, t: (t, g), 8: lambda i, g, t: (t + 4 * i, g)}


def place_c(i, g, t):
    return g + 8 * (i >= 2), 2 * t + (i & 1)


def fragments(matrix, place, count, registers):
    """A register's bits for each of 32 lanes: `count` elements packed into each register."""
    packed = np.empty((registers, 32, count), matrix.dtype)
    for lane, (g, t) in enumerate(LANES):
        for i in range(registers * count):
            packed[i // count, lane, i % count] = matrix[place(i, g, t)]
    return packed.view("u4").reshape(registers, 32)


def bits_of(values, kind):
    """A matrix's bits in the type, and its values after rounding to it."""
    if kind == "tf32":
        bits = values.astype("f4").view("u4") & np.uint32(0xFFFFE000)
        return bits, bits.view("f4").astype("f8")
    rounded = torch.from_numpy(values).to({"f16": torch.float16, "bf16": torch.bfloat16}[kind])
    return rounded.view(torch.int16).numpy().view("u2"), rounded.double().numpy()


def run_mma(kind, k, a, b, c):
    """D of one mma by every warp of two, as registers of the first warp's lanes."""
    registers = {"a": a, "b": b, "c": c}
    declared, loads = [], []
    for name, rows in registers.items():
        declared.append(f".reg .b32 %{name}<{len(rows)}>;")
        for i in range(len(rows)):
            loads.append(f"ld.global.b32 %{name}{i}, [%p{name}+{128 * i}];")
    vectors = {
        n: "{" + ", ".join(f"%{n}{i}" for i in range(len(r))) + "}" for n, r in registers.items()
    }
    vectors = {n: v.replace("%c", "%f") if n == "c" else v for n, v in vectors.items()}
    body = "\n".join(
        [
            ".reg .b64 %p<4>, %pa, %pb, %pc, %po;\n.reg .b32 %lane;\n.reg .f32 %f<4>;",
            *declared,
            "mov.u32 %lane, %laneid;",
            *(f"mad.wide.u32 %p{n}, %lane, 4, %in_{n};" for n in "abc"),
            "mov.u32 %lane, %tid.x;\nmad.wide.u32 %po, %lane, 16, %out;",
            *loads,
            *(f"mov.b32 %f{i}, %c{i};" for i in range(4)),
            f"mma.sync.aligned.m16n8k{k}.row.col.f32.{kind}.{kind}.f32 "
            f"{vectors['c']}, {vectors['a']}, {vectors['b']}, {vectors['c']};",
            f"st.global.v4.f32 [%po], {vectors['c']};\nret;",
        ]
    )
    buffers = {f"in_{n}": (rows,) for n, rows in registers.items()}
    made, _ = launch(body, {**buffers, "out": (64 * 16, True)}, block=64)
    lanes = made["out"].array("f4").reshape(2, 32, 4)
    assert (lanes[0] == lanes[1]).all()
    return lanes[0]


@pytest.mark.parametrize(
    "kind, k", [("bf16", 16), ("f16", 16), ("f16", 8), ("bf16", 8), ("tf32", 8), ("tf32", 4)]
)
def test_mma(kind, k):
    a_bits, a = bits_of(RANDOM.standard_normal((16, k)), kind)
    b_bits, b = bits_of(RANDOM.standard_normal((k, 8)), kind)
    c = RANDOM.standard_normal((16, 8)).astype("f4")
    count = 1 if kind == "tf32" else 2
    places = (A_TF32, B_TF32) if kind == "tf32" else (A_16, B_16)
    fragment_a = fragments(a_bits, places[0][k], count, 16 * k // 32 // count)
    fragment_b = fragments(b_bits, places[1][k], count, 8 * k // 32 // count)
    lanes = run_mma(kind, k, fragment_a, fragment_b, fragments(c, place_c, 1, 4))
    wanted = (a @ b + c).astype("f4")
    for lane, (g, t) in enumerate(LANES):
        for i in range(4):
            assert lanes[lane, i] == pytest.approx(wanted[place_c(i, g, t)], rel=1e-6, abs=1e-6)


def test_tf32_ignores_low_bits():
    a_bits, _ = bits_of(RANDOM.standard_normal((16, 8)), "tf32")
    b_bits, _ = bits_of(RANDOM.standard_normal((8, 8)), "tf32")
    c = np.zeros((4, 32), "u4")
    plain, dirty = (
        run_mma(
            "tf32",
            8,
            fragments(a_bits | np.uint32(low), A_TF32[8], 1, 4),
            fragments(b_bits | np.uint32(low), B_TF32[8], 1, 2),
            c,
        )
        for low in (0, 0x1FFF)
    )
    assert (plain == dirty).all()


def ldmatrix(count, transposed, address="%row", **options):
    """Registers of 64 threads after an ldmatrix of matrices whose element r, c is 100 m + 8 r + c,
    the rows lying 48 bytes apart in shared memory."""
    registers = ", ".join(f"%m{i}" for i in range(count))
    opcode = f"ldmatrix.sync.aligned.m8n8.x{count}{'.trans' * transposed}"
    body = f"""
        .shared .align 16 .b8 tile[{2 * 8 * count * 48}];
        .reg .b32 %row, %t, %w, %n, %s, %lane, %v, %m<4>;
        .reg .b64 %p;
        .reg .pred %q;
        mov.u32 %t, %tid.x; and.b32 %lane, %t, 31; shr.u32 %w, %t, 5;
        mov.u32 %row, tile;
        mad.lo.u32 %row, %w, {8 * count * 48}, %row;
        mov.u32 %n, %lane;
        fill:
        setp.ge.u32 %q, %n, {8 * count * 8};
        @%q bra done;
        shr.u32 %v, %n, 3; mad.lo.u32 %s, %v, 48, %row;
        and.b32 %v, %n, 7; mad.lo.u32 %s, %v, 2, %s;
        st.shared.b16 [%s], %h;
        add.u32 %n, %n, 32;
        bra fill;
        done:
        bar.warp.sync 0xffffffff;
        mad.lo.u32 %row, %lane, 48, %row;
        {opcode}.shared.b16 {{{registers}}}, [{address}];
        mad.wide.u32 %p, %t, {4 * count}, %out;
    """
    body = body.replace("st.shared.b16", ".reg .b16 %h; cvt.u16.u32 %h, %n;\nst.shared.b16")
    for i in range(count):
        body += f"st.global.b32 [%p+{4 * i}], %m{i};\n"
    made, stats = launch(body + "ret;", {"out": (64 * 4 * count, True)}, block=64, **options)
    return made["out"].array("u2").reshape(2, 32, count, 2), stats


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("order", ["lockstep", "shuffled"])
def test_ldmatrix(count, transposed, order):
    lanes, stats = ldmatrix(count, transposed, order=order)
    for lane, (g, t) in enumerate(LANES):
        for m in range(count):
            for j in range(2):
                row, column = (2 * t + j, g) if transposed else (g, 2 * t + j)
                assert (lanes[:, lane, m, j] == 64 * m + 8 * row + column).all()


def test_ldmatrix_needs_aligned_rows():
    with pytest.raises(Fault) as caught:
        ldmatrix(4, False, address="%row+8")
    assert caught.value.kind == "misaligned"
    assert "ldmatrix" in caught.value.text


@pytest.mark.parametrize("what", ["ldmatrix", "mma"])
def test_matrix_instructions_need_whole_warps(what):
    text = {
        "ldmatrix": "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%m}, [tile];",
        "mma": "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%f,%f,%f,%f}, {%m,%m}, {%m}, "
        "{%f,%f,%f,%f};",
    }[what]
    body = f"""
        .shared .align 16 .b8 tile[128];
        .reg .b32 %t, %m; .reg .f32 %f; .reg .pred %q;
        mov.u32 %t, %tid.x; mov.u32 %m, 0; mov.f32 %f, 0f00000000;
        setp.eq.u32 %q, %t, 37;
        @%q bra past;
        {text}
        past: ret;
    """
    with pytest.raises(Fault) as caught:
        launch(body, {}, block=64)
    assert caught.value.kind == "divergence"
    assert caught.value.text == text.rstrip(";")
    with pytest.raises(Fault):
        launch(
            body.replace("past: ret;", "past:").replace("@%q bra past", "@%q exit"), {}, block=64
        )
