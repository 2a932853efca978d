"""Every mistake the interpreter knows, planted: it is found where it stands, and the corrected twin
passes."""

import re

import numpy as np
import pytest

from ptx import Device, Fault
from ptx.harness import launch, module_of

FLOATS = np.arange(64, dtype="f4")

DECLARE = """
    .reg .b32 %t, %w, %x, %y, %z, %s, %l<4>; .reg .b64 %p, %q, %r; .reg .f32 %f<4>;
    .reg .pred %k, %m;
    mov.u32 %t, %tid.x; shr.u32 %w, %t, 5; shl.b32 %x, %t, 2;
    mov.u32 %y, 0; cvt.u64.u32 %p, %x;
"""


def run(body, buffers=None, **options):
    """Launch a body after the declarations; a line that ends in // fault is where it must stop."""
    options.setdefault("block", 64)
    return launch(DECLARE + body, buffers or {}, **options)


def fault_of(body, buffers=None, **options):
    """The fault that a body raises, its line being the marked one."""
    marked = [" ".join(line.split()) for line in body.split("\n") if "// fault" in line]
    with pytest.raises(Fault) as caught:
        run(body, buffers, **options)
    fault = caught.value
    if marked:
        assert fault.text in marked[0], str(fault)
        assert fault.line is not None and fault.kernel == "f" and str(fault.line) in str(fault)
    return fault


def both(
    body, wrong, right, kind, buffers=None, orders=("lockstep", "forward", "shuffled"), **options
):
    """The text $ stands for `wrong` or `right`."""
    for order in orders:
        fault = fault_of(body.replace("$", wrong), buffers, order=order, **options)
        assert fault.kind == kind, str(fault)
        assert fault.block is not None
        run(body.replace("$", right), buffers, order=order, **options)
    return fault


OUT = {"out": (256, True)}
IN = {"in": (FLOATS,)}


def test_global_out_of_bounds():
    body = "add.u64 %q, %in, %p;\nld.global.f32 %f0, [%q+$]; // fault\nret;"
    assert both(body, "4", "0", "out-of-bounds", IN, ("lockstep",)).thread == 63
    assert both(body, "-4", "0", "out-of-bounds", IN, ("lockstep",)).thread == 0
    body = "add.u64 %q, %out, %p;\nst.global.b32 [%q+$], %t; // fault\nret;"
    assert both(body, "4", "0", "out-of-bounds", OUT).thread == 63


def test_bounds_are_exact_bytes():
    """The last byte of a buffer of 255 bytes is there, the one after it is not."""
    body = "st.global.b8 [%out+$], %t; // fault\nret;"
    both(body, "255", "254", "out-of-bounds", {"out": (255, True)}, block=1)
    body = "st.global.b16 [%out+$], %t; // fault\nret;"
    both(body, "254", "252", "out-of-bounds", {"out": (255, True)}, block=1)


def test_nowhere():
    fault = fault_of("mov.u64 %q, 4096;\nld.global.f32 %f0, [%q]; // fault\nret;")
    assert fault.kind == "out-of-bounds" and "0x1000" in fault.message
    fault = fault_of("mov.u64 %q, 0;\nld.f32 %f0, [%q]; // fault\nret;")
    assert fault.kind == "out-of-bounds"


def test_shared_out_of_bounds():
    body = """
        .shared .align 4 .b8 tile[256];
        mov.u32 %s, tile; add.u32 %s, %s, %x;
        st.shared.b32 [%s+$], %t; // fault
        ret;
    """
    both(body, "4", "0", "out-of-bounds")
    dynamic = body.replace(".shared .align 4 .b8 tile[256];", "").replace("$", "0")
    prologue = ".extern .shared .align 16 .b8 tile[];"
    run(dynamic, prologue=prologue, shared_bytes=256)
    fault = fault_of(dynamic, prologue=prologue, shared_bytes=252)
    assert fault.kind == "out-of-bounds" and fault.thread == 63


@pytest.mark.parametrize("space", ["global", "shared", "local"])
def test_misaligned(space):
    prepare = {
        "global": "mov.u64 %q, %out;",
        "shared": ".shared .align 16 .b8 tile[64];\nmov.u64 %q, tile;",
        "local": ".local .align 16 .b8 depot[64];\nmov.u64 %q, depot;",
    }[space]
    body = prepare + f"\nst.{space}.v4.b32 [%q+$], {{%t, %t, %t, %t}}; // fault\nret;"
    assert both(body, "8", "16", "misaligned", {"out": (64, True)}, block=1).thread == 0
    body = prepare + f"\nst.{space}.b64 [%q+$], %p; // fault\nret;"
    both(body, "12", "8", "misaligned", {"out": (64, True)}, block=1)


def test_alignment_counts_from_the_address_not_the_buffer():
    body = "ld.global.v2.f32 {%f0, %f1}, [%in+$]; // fault\nret;"
    both(body, "0", "4", "misaligned", {"in": (FLOATS, False, 4)}, block=1)


def test_uninitialised_shared():
    body = """
        .shared .align 4 .b8 tile[256];
        mov.u32 %s, tile; add.u32 %s, %s, %x;
        $ st.shared.b32 [%s], %t;
        ld.shared.b32 %y, [%s]; // fault
        ret;
    """
    fault = both(body, "setp.ne.u32 %k, %t, 41; @%k", "", "uninitialised")
    assert fault.thread == 41 and fault.warp == 1


def test_uninitialised_bytes_within_a_word():
    body = """
        .shared .align 4 .b8 tile[4];
        st.shared.b8 [tile], %t; st.shared.b8 [tile+1], %t; st.shared.b8 [tile+2], %t;
        $
        ld.shared.b32 %y, [tile]; // fault
        ret;
    """
    both(body, "", "st.shared.b8 [tile+3], %t;", "uninitialised", block=1)


def test_uninitialised_local_and_global():
    body = """
        .local .align 4 .b8 depot[16];
        mov.u64 %q, depot; st.local.b32 [%q+4], %t;
        ld.local.b32 %y, [%q+$]; // fault
        ret;
    """
    both(body, "8", "4", "uninitialised")
    body = """
        add.u64 %q, %out, %p;
        $ st.global.b32 [%q], %t;
        ld.global.b32 %y, [%q]; // fault
        ret;
    """
    both(body, "setp.ne.u32 %k, %t, 7; @%k", "", "uninitialised", OUT)


def test_undefined_register():
    body = """
        setp.ne.u32 %k, %t, 9;
        $ mov.u32 %z, 5;
        add.u32 %y, %z, 1; // fault
        ret;
    """
    assert both(body, "@%k", "", "undefined-register").thread == 9
    body = """
        setp.ne.u32 %k, %t, 33;
        @%k bra some;
        $
        bra all;
        some: mov.u32 %z, 5;
        all: add.u32 %y, %z, 1; // fault
        ret;
    """
    assert both(body, "", "mov.u32 %z, 6;", "undefined-register").thread == 33
    run("setp.ne.u32 %k, %t, 9; @%k mov.u32 %z, 5; @%k add.u32 %y, %z, 1; ret;")


def test_undefined_on_purpose():
    """nvcc marks a value that does not matter by a comment."""
    run("// implicit-def: %z\nadd.u32 %y, %z, 1;\nret;")


def test_outputs_not_written():
    body = "setp.ne.u32 %k, %t, 13; add.u64 %q, %out, %p; $ st.global.b32 [%q], %t; ret;"
    made, _ = run(body.replace("$", "@%k"), OUT)
    assert made["out"].unwritten() == 4
    made, _ = run(body.replace("$", ""), OUT)
    assert made["out"].unwritten() == 0


def test_read_only():
    body = "add.u64 %q, %$, %p;\nst.global.b32 [%q], %t; // fault\nret;"
    both(body, "in", "out", "read-only", {**IN, **OUT})
    fault = fault_of("red.global.add.u32 [%in], 1; // fault\nret;", IN)
    assert fault.kind == "read-only"


SHARED = """
    .shared .align 16 .b8 tile[1024];
    mov.u32 %s, tile; add.u32 %s, %s, %x; xor.b32 %z, %x, 128; add.u32 %z, %z, tile;
    st.shared.b32 [%s], %t;
"""


@pytest.mark.parametrize("order", ["lockstep", "forward", "backward", "shuffled"])
def test_race_between_a_write_and_a_read(order):
    """The other warp's word, with and without a barrier."""
    body = SHARED.replace("add.u32 %z, %z, tile", "mov.u32 %y, tile; add.u32 %z, %z, %y")
    body += "$\nld.shared.b32 %y, [%z]; ret;"
    run(body.replace("$", "bar.sync 0;"), order=order)
    fault = fault_of(body.replace("$", ""), order=order)
    assert fault.kind in ("race", "uninitialised")
    if order == "lockstep":
        assert fault.kind == "race"
        assert re.search(
            r"reads shared byte \d+; another warp writes it at line \d+", fault.message
        )


@pytest.mark.parametrize("order", ["lockstep", "forward", "backward", "shuffled"])
def test_race_of_a_read_before_a_write(order):
    """A tile is overwritten while another warp may still read it."""
    body = SHARED.replace("add.u32 %z, %z, tile", "mov.u32 %y, tile; add.u32 %z, %z, %y")
    body += "bar.sync 0;\nld.shared.b32 %y, [%z];\n$\nst.shared.b32 [%s], %y; ret;"
    run(body.replace("$", "bar.sync 0;"), order=order)
    assert fault_of(body.replace("$", ""), order=order).kind == "race"


@pytest.mark.parametrize("order", ["lockstep", "forward", "shuffled"])
def test_race_of_equal_writes(order):
    """Two warps write the same value to one word."""
    body = """
        .shared .align 16 .b8 tile[256];
        mov.u32 %s, tile; and.b32 %x, %x, $; add.u32 %s, %s, %x;
        st.shared.b32 [%s], 5; // fault
        ret;
    """
    both(body, "127", "255", "race", orders=[order])


def test_no_race_within_a_warp():
    run(
        SHARED.replace("add.u32 %z, %z, tile", "mov.u32 %y, tile; add.u32 %z, %s, 4")
        + "setp.ne.u32 %k, %t, 31; @%k ld.shared.b32 %y, [%z]; ret;",
        block=32,
    )


def test_conflicting_writes_of_one_instruction():
    body = ".shared .align 4 .b8 tile[4];\nst.shared.b32 [tile], %$; // fault\nret;"
    both(body, "t", "w", "conflicting-write", block=32)
    body = "st.global.b32 [%out], %$; // fault\nret;"
    both(body, "t", "w", "conflicting-write", OUT, block=32)


def test_atomics_do_not_race_with_each_other():
    body = """
        .shared .align 4 .b8 count[4];
        setp.eq.u32 %k, %t, 0;
        @%k st.shared.b32 [count], %t;
        bar.sync 0;
        atom.shared.add.u32 %y, [count], 1;
        $
        ld.shared.b32 %y, [count]; // fault
        ret;
    """
    both(body, "", "bar.sync 0;", "race")
    made = body.replace("$", "bar.sync 0;").replace("ret;", "st.global.b32 [%out], %y; ret;")
    assert run(made, OUT)[0]["out"].array("u4")[0] == 64


def test_race_of_a_subset_barrier():
    """A barrier of two warps orders those two and not the others."""
    body = """
        .shared .align 16 .b8 tile[512];
        mov.u32 %s, tile; add.u32 %s, %s, %x; st.shared.b32 [%s], %t;
        shr.u32 %w, %t, 6; add.u32 %w, %w, 1;
        bar.sync %w, 64;
        mov.u32 %y, tile; xor.b32 %z, %x, $; add.u32 %z, %z, %y;
        ld.shared.b32 %y, [%z]; // fault
        ret;
    """
    both(body, "256", "128", "race", orders=("lockstep",), block=128)
    for order in ("forward", "backward", "shuffled"):
        run(body.replace("$", "128"), block=128, order=order)
        fault = fault_of(body.replace("$", "256"), block=128, order=order)
        assert fault.kind in ("race", "uninitialised")


def test_two_blocks_write_one_byte():
    body = """
        mov.u32 %l0, %ctaid.x; mul.lo.u32 %l1, %l0, $; cvt.u64.u32 %r, %l1;
        add.u64 %q, %out, %p; add.u64 %q, %q, %r;
        st.global.b32 [%q], %t; // fault
        ret;
    """
    fault = both(body, "252", "256", "block-race", {"out": (512, True)}, grid=2)
    assert fault.block in (0, 1)


def test_a_block_reads_what_another_writes():
    body = """
        mov.u32 %l0, %ctaid.x; setp.eq.u32 %k, %l0, 1;
        add.u64 %q, %both, %p;
        $ bra other;
        @!%k st.global.b32 [%q], %t;
        ret;
        other: ld.global.b32 %y, [%q];
        ret;
    """
    for order in ("lockstep", "backward"):
        for text, fails in (("@%k", True), ("setp.ne.u32 %k, 0, 0; @%k", False)):
            buffers = {"both": (FLOATS, True)}
            if not fails:
                run(body.replace("$", text), buffers, order=order)
                continue
            assert (
                fault_of(body.replace("$", text), buffers, grid=2, order=order).kind == "block-race"
            )


def test_atomics_of_blocks_may_meet_but_not_with_writes():
    zero = {"out": (np.zeros(4, "u4"), True)}
    body = "red.global.add.u32 [%out], 1;\nret;"
    made, _ = run(body, zero, grid=3)
    assert made["out"].array("u4")[0] == 192
    body = """
        mov.u32 %l0, %ctaid.x; setp.eq.u32 %k, %l0, 0;
        @%k red.global.add.u32 [%out], 1;
        @!%k st.global.b32 [%out], 5;
        ret;
    """
    for order in ("lockstep", "backward"):
        assert fault_of(body, zero, grid=2, order=order).kind == "block-race"


def test_constant_path_after_a_write():
    body = """
        add.u64 %q, %both, %p; st.global.b32 [%q], %t;
        ld.global.$b32 %y, [%q]; // fault
        ret;
    """
    both(body, "nc.", "", "block-race", {"both": (FLOATS, True)})


ASYNC = """
    .shared .align 16 .b8 tile[1024];
    mov.u32 %s, tile; shl.b32 %l0, %t, 4; add.u32 %s, %s, %l0; cvt.u64.u32 %p, %l0;
    add.u64 %q, %in, %p;
"""
BIG = {"in": (np.arange(256, dtype="f4"),)}


def test_async_copy_read_before_its_wait():
    body = (
        ASYNC
        + """
        cp.async.cg.shared.global [%s], [%q], 16;
        cp.async.commit_group;
        $
        ld.shared.f32 %f0, [%s]; // fault
        ret;
    """
    )
    both(body, "", "cp.async.wait_group 0;", "pending-copy", BIG)
    both(body, "cp.async.wait_group 1;", "cp.async.wait_all;", "pending-copy", BIG)


def test_async_copy_needs_a_barrier_for_other_warps():
    body = (
        ASYNC
        + """
        cp.async.cg.shared.global [%s], [%q], 16;
        cp.async.wait_all;
        $
        mov.u32 %y, tile; xor.b32 %z, %l0, 512; add.u32 %z, %z, %y;
        ld.shared.f32 %f0, [%z]; // fault
        ret;
    """
    )
    for order in ("lockstep", "forward", "backward"):
        run(body.replace("$", "bar.sync 0;"), BIG, order=order)
        assert fault_of(body.replace("$", ""), BIG, order=order).kind in ("race", "uninitialised")
    assert fault_of(body.replace("$", ""), BIG).kind == "race"


def test_async_copy_over_data_that_others_read():
    """The next copy into a stage may start only after everybody has read it."""
    body = (
        ASYNC
        + """
        cp.async.cg.shared.global [%s], [%q], 16;
        cp.async.wait_all;
        bar.sync 0;
        mov.u32 %y, tile; xor.b32 %z, %l0, 512; add.u32 %z, %z, %y;
        ld.shared.f32 %f0, [%z];
        $
        cp.async.cg.shared.global [%s], [%q], 16;
        cp.async.wait_all;
        ret;
    """
    )
    for order in ("lockstep", "forward", "backward"):
        run(body.replace("$", "bar.sync 0;"), BIG, order=order)
        assert fault_of(body.replace("$", ""), BIG, order=order).kind in ("race", "pending-copy")


def test_async_copy_destination_overwritten():
    body = (
        ASYNC
        + """
        cp.async.cg.shared.global [%s], [%q], 16;
        cp.async.commit_group;
        $
        st.shared.b32 [%s], %t; // fault
        ret;
    """
    )
    both(body, "", "cp.async.wait_group 0;", "pending-copy", BIG)


def test_async_copy_source_overwritten():
    body = (
        ASYNC
        + """
        cp.async.cg.shared.global [%s], [%q], 16;
        cp.async.commit_group;
        $
        st.global.b32 [%q], 7;
        cp.async.wait_all;
        ret;
    """
    )
    both(body, "", "cp.async.wait_group 0;", "pending-copy", {"in": (BIG["in"][0], True)})


def test_async_copy_never_waited_for_is_harmless():
    run(ASYNC + "cp.async.ca.shared.global [%s], [%q], 8; ret;", BIG)


def test_async_copy_misaligned_and_out_of_bounds():
    body = ASYNC + "cp.async.cg.shared.global [%s], [%q$], 16; // fault\nret;"
    both(body, "+8", "", "misaligned", BIG)
    both(body, "+16", "", "out-of-bounds", BIG)
    body = ASYNC + "mov.u32 %y, $; cp.async.cg.shared.global [%s], [%q+16], 16, %y;\nret;"
    fault = fault_of(body.replace("$", "4"), BIG)
    assert fault.kind == "out-of-bounds"
    run(body.replace("$", "0"), BIG)


def test_divergent_barrier():
    body = """
        setp.eq.u32 %k, %t, 35;
        @%k bra past;
        $bar.sync 0; // fault
        past: ret;
    """
    fault = fault_of(body.replace("$", "").replace("past: ret", "bar.sync 0;\npast: ret"))
    assert fault.kind == "divergence" and fault.warp == 1
    run(body.replace("@%k bra past;", "").replace("$", ""))


def test_warps_that_ended_do_not_hold_a_barrier():
    body = "setp.ge.u32 %k, %t, $; @%k exit; bar.sync 0; ret;"
    for order in ("lockstep", "forward", "backward", "shuffled"):
        run(body.replace("$", "32"), order=order)
        run(body.replace("$", "20"), order=order)


def test_deadlock():
    body = """
        setp.ge.u32 %k, %t, 32;
        @%k bra other;
        bar.sync 1; // fault
        ret;
        other: bar.sync 2;
        ret;
    """
    for order in ("lockstep", "forward", "backward", "shuffled"):
        assert fault_of(body.replace("// fault", ""), order=order).kind == "deadlock"
    assert fault_of("bar.sync 1, 96; // fault\nret;").kind == "deadlock"


def test_runaway():
    body = "again: add.u32 %y, %y, 1; setp.ne.u32 %k, %y, $; @%k bra again; ret;"
    fault = fault_of(body.replace("$", "0"), instruction_limit=1000)
    assert fault.kind == "runaway"
    run(body.replace("$", "100"), instruction_limit=1000)


def test_division_by_zero():
    body = "div.u32 %y, 100, %$; // fault\nret;"
    fault = fault_of(body.replace("$", "t"))
    assert fault.kind == "division-by-zero" and fault.thread == 0
    run(
        "add.u32 %z, %t, 1; div.u32 %y, 100, %z; setp.ne.u32 %k, %t, 0; @%k rem.s32 %y, 9, %t; ret;"
    )


def test_shuffle_members():
    body = """
        setp.eq.u32 %k, %t, 3;
        @%k bra past;
        shfl.sync.idx.b32 %y, %t, 0, 31, $; // fault
        past: ret;
    """
    assert both(body, "0xffffffff", "0xfffffff7", "divergence", block=32).thread == 3
    body = """
        setp.eq.u32 %k, %t, 3;
        @%k bra past;
        shfl.sync.idx.b32 %y, %t, $, 31, 0xfffffff7; // fault
        past: ret;
    """
    both(body, "3", "4", "divergence", block=32)
    body = "shfl.sync.idx.b32 %y, %t, 0, 31, $; // fault\nret;"
    both(body, "0x0000ffff", "-1", "divergence", block=32)


def test_trap():
    body = "setp.eq.u32 %k, %t, $; @%k trap; // fault\nret;"
    for order in ("lockstep", "shuffled"):
        with pytest.raises(Fault) as caught:
            run(body.replace("$", "50"), order=order)
        assert caught.value.kind == "trap" and caught.value.thread == 50
        run(body.replace("$", "64"), order=order)


@pytest.mark.parametrize(
    "text",
    [
        "frobnicate.b32 %y, %t;",
        "add.wide.u32 %y, %t, %t;",
        "ld.global.L3::x.f32 %f0, [%p];",
        "mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32 {%f0,%f0,%f0,%f0}, {%t,%t,%t,%t}, "
        "{%t,%t}, {%f0,%f0,%f0,%f0};",
        "cvt.rn.e4m3x2.f32 %t, %f0, %f1;",
        "add.u32 %y, %t, %unknown;",
        "wgmma.fence.sync.aligned;",
    ],
)
def test_unknown_instructions(text):
    fault = fault_of(f"mov.f32 %f0, 0f00000000;\n{text} // fault\nret;")
    assert fault.kind == "unsupported"


def test_launches_that_a_device_refuses():
    kernel = module_of("ret;", ["x"]).kernel("f")
    for options in (
        {"block": 1025, "arguments": bytes(8)},
        {"block": 32, "arguments": bytes(4)},
        {"block": 0, "arguments": bytes(8)},
        {"block": 32, "arguments": bytes(8), "shared_bytes": 300 << 10},
        {"block": (1, 1, 65), "arguments": bytes(8)},
    ):
        with pytest.raises(Fault) as caught:
            Device().launch(kernel, 1, **options)
        assert caught.value.kind == "launch"
    with pytest.raises(Fault):
        Device().launch(kernel, (1, 70000), 32, 0, bytes(8))
