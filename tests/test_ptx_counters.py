"""What the interpreter counts: instructions, sectors, bank conflicts, bytes."""

import numpy as np
import pytest

from ptx.harness import launch

START = """
    .reg .b32 %t, %v, %s, %x; .reg .b64 %p, %q; .reg .f32 %f<4>; .reg .pred %k;
    .reg .b32 %w<4>;
    mov.u32 %t, %tid.x;
"""


def loads(stride, kind="f32", width=4, offset=0):
    """Stats of one warp that loads elements `stride` bytes apart."""
    body = START + f"mad.wide.u32 %p, %t, {stride}, %in; ld.global.{kind} %f0, [%p+{offset}]; ret;"
    _, stats = launch(body, {"in": (np.zeros(32 * max(stride, width) + offset + 64, "u1"),)})
    return stats


@pytest.mark.parametrize(
    "stride, offset, sectors, ideal",
    [(4, 0, 4, 4), (4, 4, 5, 4), (8, 0, 8, 4), (32, 0, 32, 4), (128, 0, 32, 4), (0, 0, 1, 1)],
)
def test_sectors(stride, offset, sectors, ideal):
    stats = loads(stride, offset=offset)
    assert (stats.sectors_loaded, stats.ideal_sectors_loaded) == (sectors, ideal)
    assert stats.bytes_loaded == 128
    assert stats.buffers["in"].bytes_loaded == 128
    assert stats.buffers["in"].touched_read == (128 if stride else 4)


def test_stores_and_two_warps():
    body = START + "mad.wide.u32 %p, %t, 16, %out;\nst.global.v4.b32 [%p], {%t, %t, %t, %t};\nret;"
    _, stats = launch(body, {"out": (1024, True)}, block=64)
    assert (stats.sectors_stored, stats.ideal_sectors_stored) == (32, 32)
    assert stats.buffers["out"] == (0, 1024, 0, 1024)
    line = next(line for line in stats.lines.values() if line.text.startswith("st.global"))
    assert (line.issued, line.sectors, line.ideal_sectors) == (2, 32, 32)


def conflicts(stride, access="b32", registers="%v"):
    """Extra passes of one warp's store to shared memory, `stride` bytes apart."""
    body = f"""{START}
        .shared .align 16 .b8 tile[16384];
        mov.u32 %s, tile; mad.lo.u32 %s, %t, {stride}, %s; mov.u32 %v, 3;
        mov.u32 %w0, 3; mov.b64 %p, 3;
        st.shared.{access} [%s], {registers};
        ret;
    """
    _, stats = launch(body, {})
    line = next(line for line in stats.lines.values() if line.text.startswith("st.shared"))
    assert line.conflicts == stats.bank_conflicts
    return stats.bank_conflicts


@pytest.mark.parametrize(
    "stride, extra", [(4, 0), (8, 1), (16, 3), (128, 31), (132, 0), (64, 15), (0, 0)]
)
def test_bank_conflicts(stride, extra):
    assert conflicts(stride) == extra


def test_bank_conflicts_of_wide_accesses():
    """Half warps for eight bytes a lane, quarter warps for sixteen."""
    four = "{%v, %v, %v, %v}"
    assert conflicts(8, "b64", "%p") == 0
    assert conflicts(16, "b64", "%p") == 2
    assert conflicts(16, "v4.b32", four) == 0
    assert conflicts(32, "v4.b32", four) == 4
    assert conflicts(128, "v4.b32", four) == 28
    assert conflicts(144, "v4.b32", four) == 0


def test_instruction_classes():
    body = (
        START
        + """
        .shared .align 4 .b8 tile[128];
        mov.f32 %f0, 0f3F800000; mov.u32 %v, 0;
        again:
        fma.rn.f32 %f0, %f0, %f0, %f0;
        add.u32 %v, %v, 1; setp.ne.u32 %k, %v, 5;
        @%k bra again;
        mov.u32 %x, tile; mad.lo.u32 %s, %t, 4, %x; st.shared.f32 [%s], %f0; bar.sync 0;
        ld.shared.f32 %f1, [%s];
        cvt.rni.s32.f32 %x, %f1; mad.wide.u32 %p, %t, 4, %out; st.global.b32 [%p], %x; ret;
    """
    )
    _, stats = launch(body, {"out": (128, True)})
    counts = stats.instructions
    assert counts["fp32 fma"] == 5 and counts["shared store"] == 1 and counts["shared load"] == 1
    assert counts["global store"] == 1 and counts["barrier"] == 1 and counts["conversion"] == 1
    assert counts["branch"] == 6
    assert stats.total_instructions == sum(counts.values())
    fma = next(line for line in stats.lines.values() if line.text.startswith("fma"))
    assert fma.issued == 5
    assert stats.blocks == 1


def test_divergent_paths_count_for_each_warp():
    """Both sides of a branch that splits a warp are issued, one side by a warp that agrees."""
    body = (
        START
        + """
        setp.lt.u32 %k, %t, 16;
        @%k bra low;
        add.u32 %v, %t, 1;
        bra end;
        low: sub.u32 %v, %t, 1;
        end: mov.u32 %x, %v;
        ret;
    """
    )
    _, stats = launch(body, {}, block=64)
    issued = {line.text: line.issued for line in stats.lines.values()}
    assert issued["add.u32 %v, %t, 1"] == 2
    assert issued["sub.u32 %v, %t, 1"] == 1
    assert issued["mov.u32 %x, %v"] == 2
