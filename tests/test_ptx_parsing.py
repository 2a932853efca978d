"""What the interpreter makes of the text of PTX: names, scopes, variables, calls."""

import numpy as np
import pytest

from ptx import Device, Fault, Module
from ptx.flow import build, crossing
from ptx.harness import HEADER, launch, module_of
from ptx.inline import flatten
from ptx.names import shorten
from ptx.parser import Parser


@pytest.mark.parametrize(
    "demangled, short",
    [
        ("void cnnops::f<float>(int, float*)", "f<float>"),
        (
            "void cnnops::(anonymous namespace)::g<cnnops::T<(int)128, (int)-1> >(P)",
            "g<T<128, -1>>",
        ),
        ("plain(float*)", "plain"),
        ("already_short", "already_short"),
        ("void h<void (*)(int)>(void (*)(int))", "h<void (*)(int)>"),
    ],
)
def test_names(demangled, short):
    assert shorten(demangled) == short


def test_inner_scopes_have_registers_and_labels_of_their_own():
    body = """
        .reg .b32 %x, %y; .reg .b64 %p;
        mov.u32 %x, 1;
        { .reg .b32 %x; .reg .pred q; mov.u32 %x, 5; setp.eq.u32 q, %x, 5;
          @q bra over; trap; over: add.u32 %y, %x, 1; }
        { .reg .b32 %x; .reg .pred q; mov.u32 %x, 7; setp.eq.u32 q, %x, 7;
          @q bra over; trap; over: add.u32 %y, %y, %x; }
        add.u32 %y, %y, %x;
        st.global.u32 [%out], %y;
        ret;
    """
    made, _ = launch(body, {"out": (4, True)}, block=1)
    assert made["out"].array("u4")[0] == 1 + 6 + 7


FUNCTIONS = """
.func (.param .b32 result) twice (.param .b32 value)
{
    .reg .b32 %r<3>; .reg .pred %p;
    ld.param.u32 %r1, [value];
    setp.lt.u32 %p, %r1, 10;
    @%p bra small;
    st.param.b32 [result+0], %r1;
    ret;
small:
    add.u32 %r2, %r1, %r1;
    st.param.b32 [result+0], %r2;
    ret;
}
.func (.param .b32 result) four_times (.param .b32 value)
{
    .reg .b32 %r<3>;
    ld.param.u32 %r1, [value];
    { .param .b32 a; st.param.b32 [a+0], %r1; .param .b32 b;
      call.uni (b), twice, (a); ld.param.b32 %r2, [b+0]; }
    { .param .b32 a; st.param.b32 [a+0], %r2; .param .b32 b;
      call.uni (b), twice, (a); ld.param.b32 %r2, [b+0]; }
    st.param.b32 [result+0], %r2;
    ret;
}
"""


def test_calls():
    """Functions that call functions and return from several places, for threads that part."""
    body = """
        .reg .b32 %t, %v; .reg .b64 %p;
        mov.u32 %t, %tid.x;
        { .param .b32 a; st.param.b32 [a+0], %t; .param .b32 b;
          call.uni (b), four_times, (a); ld.param.b32 %v, [b+0]; }
        bar.sync 0;
        mad.wide.u32 %p, %t, 4, %out;
        st.global.u32 [%p], %v;
        ret;
    """
    made, _ = launch(body, {"out": (128, True)}, prologue=FUNCTIONS)
    wanted = [4 * t if t < 5 else 2 * t if t < 10 else t for t in range(32)]
    assert made["out"].array("u4").tolist() == wanted


def test_recursion_and_unknown_callees_are_refused():
    recursive = ".func f2 () { call.uni f2; ret; }"
    for body, prologue in (("call.uni f2;\nret;", recursive), ("call.uni nowhere;\nret;", "")):
        with pytest.raises(Fault) as caught:
            launch(body, {}, prologue=prologue)
        assert caught.value.kind == "unsupported" and "call" in caught.value.text


def test_initialised_variables():
    prologue = """
        .const .align 4 .b8 bytes[8] = {1, 2, 3, 4, 255, 255};
        .const .align 8 .f64 half = 0d3FE0000000000000;
        .global .align 4 .u32 numbers[3] = {7, 0x10, 4294967295};
        .global .align 8 .u64 pointer[1] = {generic(numbers)+4};
    """
    body = """
        .reg .b32 %v<4>; .reg .b64 %p; .reg .f64 %d;
        ld.const.u32 %v0, [bytes]; ld.const.s32 %v1, [bytes+4]; ld.const.f64 %d, [half];
        ld.global.u64 %p, [pointer]; ld.u32 %v2, [%p]; ld.global.u32 %v3, [numbers+8];
        st.global.v4.b32 [%out], {%v0, %v1, %v2, %v3}; st.global.f64 [%out+16], %d;
        ret;
    """
    made, _ = launch(body, {"out": (24, True)}, block=1, prologue=prologue)
    assert made["out"].array("u4")[:4].tolist() == [0x04030201, 0x0000FFFF, 0x10, 0xFFFFFFFF]
    assert made["out"].array("f8")[2] == 0.5


def test_module_variables_keep_their_values_between_launches():
    module = Module(
        HEADER + ".global .u32 n;\n.visible .entry f()\n{ red.global.add.u32 [n], 1;\nret; }\n"
        ".visible .entry g(.param .u64 out)\n{ .reg .b32 %v; .reg .b64 %p;\n"
        "ld.param.u64 %p, [out]; ld.global.u32 %v, [n]; st.global.u32 [%p], %v;\nret; }"
    )
    device = Device()
    device.launch(module.kernel("f"), 2, 32)
    device.launch(module.kernel("f"), 1, 32)
    out = device.buffer("out", 4, writable=True)
    device.launch(module.kernel("g"), 1, 1, arguments=out.address.to_bytes(8, "little"))
    assert out.array("u4")[0] == 96


def test_launch_bounds():
    text = HEADER + ".visible .entry f()\n.maxntid 64, 1, 1\n.minnctapersm 2\n{ ret; }"
    kernel = Module(text).kernel("f")
    assert kernel.max_threads == 64
    Device().launch(kernel, 1, 64)
    with pytest.raises(Fault, match="launch bounds"):
        Device().launch(kernel, 1, 96)


def test_static_and_dynamic_shared_memory_share_the_allocation():
    prologue = ".extern .shared .align 16 .b8 dynamic[];"
    body = """
        .shared .align 4 .b8 small[20]; .shared .align 8 .b8 large[24];
        .reg .b32 %a<3>;
        mov.u32 %a0, small; mov.u32 %a1, large; mov.u32 %a2, dynamic;
        st.global.u32 [%out], %a0; st.global.u32 [%out+4], %a1; st.global.u32 [%out+8], %a2;
        ret;
    """
    made, _ = launch(body, {"out": (12, True)}, block=1, prologue=prologue, shared_bytes=64)
    assert made["out"].array("u4").tolist() == [0, 24, 48]


def test_indexed_branch():
    body = """
        .reg .b32 %t, %v; .reg .b64 %p; .reg .pred %k;
        mov.u32 %t, %tid.x; rem.u32 %v, %t, 3;
        table: .branchtargets one, two, three;
        brx.idx %v, table;
        one: mov.u32 %v, 100; bra end;
        two: mov.u32 %v, 200; bra end;
        three: mov.u32 %v, 300;
        end: mad.wide.u32 %p, %t, 4, %out; st.global.u32 [%p], %v; bar.sync 0; ret;
    """
    made, _ = launch(body, {"out": (256, True)}, block=64)
    assert made["out"].array("u4").tolist() == [100 * (t % 3 + 1) for t in range(64)]


def test_threads_meet_behind_branches_in_any_layout():
    """The join stands before the branches in the text, as nvcc likes to write it."""
    body = """
        .reg .b32 %t, %v; .reg .b64 %p; .reg .pred %k, %m;
        mov.u32 %t, %tid.x; setp.lt.u32 %k, %t, 7; setp.lt.u32 %m, %t, 20;
        @%k bra low;
        bra high;
        join: bar.sync 0; shfl.sync.idx.b32 %v, %v, 0, 31, -1;
        mad.wide.u32 %p, %t, 4, %out; st.global.u32 [%p], %v; ret;
        low: mov.u32 %v, 1; bra join;
        high: @%m bra middle; mov.u32 %v, 2; bra join;
        middle: mov.u32 %v, 3; bra join;
    """
    made, _ = launch(body, {"out": (128, True)})
    assert (made["out"].array("u4") == 1).all()


def test_registers_that_cross_blocks():
    """Only what another block or iteration needs outlives its block."""
    text = (
        HEADER
        + """.visible .entry f()
    {
        .reg .b32 %n, %s, %x; .reg .pred %k;
        mov.u32 %n, 0; mov.u32 %s, 0;
        again:
        add.u32 %x, %n, 1; add.u32 %s, %s, %x; mov.u32 %n, %x;
        setp.lt.u32 %k, %n, 5;
        @%k bra again;
        ret;
    }"""
    )
    flat = flatten(Parser(text), "f")
    shared = crossing(build(flat.body, flat.branch_targets))
    assert set(shared.slots) == {"%n", "%s"} and not shared.unproven
    pieces = crossing(build(flat.body, flat.branch_targets, limit=1))
    assert set(pieces.slots) == {"%n", "%s", "%x", "%k"}


@pytest.mark.parametrize("text", [".reg .b24 %x;", ".weird .b32 x;", "add.u32 %x, [[, 1;"])
def test_text_that_is_not_understood(text):
    with pytest.raises(Fault) as caught:
        module_of(f"{text}\nret;").kernel("f").check()
    assert caught.value.kind == "unsupported" and caught.value.line == 7


def test_immediates():
    body = """
        .reg .f32 %f<3>; .reg .f64 %d; .reg .b32 %v;
        mov.f32 %f0, 0f3FC00000; add.f32 %f1, %f0, 0fBF000000; mov.f64 %d, 0d4000000000000000;
        mov.b32 %v, 0x3F800000; mov.b32 %f2, %v;
        st.global.f32 [%out], %f1; st.global.f32 [%out+4], %f2; st.global.f64 [%out+8], %d;
        mov.u32 %v, -1; st.global.u32 [%out+16], %v; mov.u32 %v, 0b101; st.global.u32 [%out+20], %v;
        ret;
    """
    made, _ = launch(body, {"out": (24, True)}, block=1)
    assert made["out"].array("f4")[:2].tolist() == [1.0, 1.0]
    assert made["out"].array("f8")[1] == 2.0
    assert made["out"].array("u4")[4:].tolist() == [0xFFFFFFFF, 5]
    assert np.isfinite(made["out"].array("f4")[:2]).all()
