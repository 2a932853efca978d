"""Goals for the machine code of every CUDA kernel, and tests of the tools that read it.

Nothing here needs a GPU, only nvcc, nvdisasm and cuobjdump.
"""

import functools
import itertools
import subprocess
from pathlib import Path

import pytest

from benchmarks import (
    cuda_goals,
    cuda_problems,
    cuda_report,
    cuda_roofline,
    machine_code,
    sass,
)
from benchmarks.cuda_problems import Launch, launches_by_kernel
from benchmarks.cuda_tile import tile_of
from benchmarks.markdown import squeeze, table
from benchmarks.occupancy import ARCHITECTURES, Occupancy, occupancy

# Reading a disassembly.

LISTING = """
	.target	sm_80
//--------------------- .text._Z3twoPf --------------------------
	.section	.text._Z3twoPf,"ax",@progbits
.text._Z3twoPf:
        .type           _Z3twoPf,@function
_Z3twoPf:
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;
        /*0010*/              @!P0 BRA `(.L_x_0) ;
.L_x_2:
        /*0020*/                   LDG.E.128 R4, [R8.64] ;
        /*0030*/                   BSSY B0, `(.L_x_3) ;
.L_x_1:
        /*0040*/                   FFMA R4, R5.reuse, R6, R4 ;
        /*0050*/                   FFMA R5, R5, R7, R5 ;
        /*0060*/                   LDS R6, [R2+0x4] ;
        /*0070*/               @P1 BRA `(.L_x_1) ;
.L_x_3:
        /*0080*/                   HADD2.F32 R9, -RZ, R9.H0_H0 ;
        /*0090*/               @P2 BRA `(.L_x_2) ;
.L_x_4:
        /*00a0*/                   EXIT ;
.L_x_0:
        /*00b0*/                   QUUX.WIDE R1, R2 ;
        /*00c0*/                   BRA `(.L_x_4) ;
.L_x_9:
        /*00d0*/                   BRA `(.L_x_9);
        /*00e0*/                   NOP;
//--------------------- .text._Z5plainv --------------------------
.text._Z5plainv:
        /*0000*/               @P0 CALL.REL.NOINC `(.L_x_5) ;
        /*0010*/                   EXIT ;
.L_x_5:
        /*0020*/                   EXIT ;
"""


@pytest.fixture(scope="module")
def code():
    return sass.parse(LISTING)["_Z3twoPf"]


def test_instructions_have_address_predicate_opcode_operands_and_targets(code):
    assert len(code) == 15
    assert code[1] == (0x10, "@!P0", "BRA", "`(.L_x_0)", (0xB0,))
    assert code[2].stem == "LDG"
    assert str(code[2]) == "/*0020*/ LDG.E.128 R4, [R8.64]"


def test_functions_are_told_apart():
    functions = sass.parse(LISTING)
    assert list(functions) == ["_Z3twoPf", "_Z5plainv"]
    assert functions["_Z5plainv"][0].targets == (0x20,)


def test_loops_come_back_to_their_head(code):
    """Neither the way back from 0xc0 is a loop, nor the trap at the end, which nothing reaches."""
    outer, inner = sass.loops(code)
    assert (outer.head, outer.depth, outer.inner) == (0x20, 1, 1)
    assert [f"{instruction.address:x}" for instruction in outer.own] == ["20", "30", "80", "90"]
    assert (inner.head, inner.depth, inner.inner) == (0x40, 2, 0)
    assert inner.body == inner.own == tuple(code[4:8])


def test_main_loop_has_the_most_multiply_adds_of_its_own(code):
    assert sass.main_loop(code).head == 0x40
    in_the_outer = LISTING.replace("HADD2.F32 R9, -RZ, R9.H0_H0", "HMMA.16816.F32 R4, R8, R6, R4")
    assert sass.main_loop(sass.parse(in_the_outer)["_Z3twoPf"]).head == 0x20


def test_main_loop_without_multiply_adds_is_the_largest_innermost():
    text = LISTING.replace("FFMA", "FADD")
    assert sass.main_loop(sass.parse(text)["_Z3twoPf"]).head == 0x40


def test_a_kernel_may_have_no_loop():
    functions = sass.parse(LISTING)
    assert sass.main_loop(functions["_Z5plainv"]) is None


def test_mix_counts_classes_and_opcodes_and_names_the_unknown(code):
    mix = sass.mix(code)
    expected = dict(ffma=2, integer=1, shared=1, conversion=1, branch=7, other=1)
    assert mix.classes == {"global": 1, **expected}
    assert mix.total == 14
    assert mix.share("ffma") == 2 / 14
    assert mix.unknown == ["QUUX"]
    assert (mix.count("LDG"), mix.count("LDG", "128"), mix.count("LDG", "64")) == (1, 1, 0)


def test_no_instruction_is_in_two_classes():
    stems = [stem for text in sass.CLASSES.values() for stem in text.split()]
    assert len(stems) == len(set(stems))


@pytest.mark.parametrize(
    "line, expected",
    [
        ("HFMA2.MMA R5, -RZ, RZ, 0, 0", "integer"),
        ("HFMA2 R5, R4, R3, R5", "float"),
        ("@!PT LDS RZ, [RZ]", "nop"),
        ("HMMA.1688.F32.TF32 R4, R8, R6, R4", "tensor"),
        ("UIADD3 UR4, UR4, 0x1, URZ", "uniform"),
        ("LDGSTS.E.BYPASS.128 [R9], [R2.64], P0", "global"),
        ("LDL.LU R3, [R1+0x4]", "local"),
        ("F2FP.BF16.F32.PACK_AB R0, R1, R0", "conversion"),
    ],
)
def test_classes_of_instructions(line, expected):
    listing = f".text.f:\n        /*0000*/              {line} ;\n"
    (instruction,) = sass.parse(listing)["f"]
    assert sass.class_of(instruction) == expected


# Tables.


def test_tables_align_and_squeeze():
    text = table(["name", "count"], [["a", "1000000"], ["long name", "2"]])
    assert text.splitlines()[1:3] == ["| --------- | ------: |", "| a         | 1000000 |"]
    assert squeeze(text).splitlines()[1:3] == ["| --- | ---: |", "| a | 1000000 |"]


# Names.


@pytest.mark.parametrize(
    "demangled, expected",
    [
        ("void cnnops::cuda::f<float, 4>(cnnops::cuda::P)", "f<float, 4>"),
        ("cnnops::cuda::f(cnnops::cuda::P)", "f"),
        ("void cnnops::cuda::f<cnnops::cuda::G<int> >(cnnops::cuda::P)", "f<G<int>>"),
        (
            "void cnnops::cuda::f<(cnnops::Pass)1, (int (*)(int))0>(P)",
            "f<(Pass)1, (int (*)(int))0>",
        ),
    ],
)
def test_kernels_are_named_as_in_plans(demangled, expected):
    assert machine_code.plain_name(demangled) == expected


# Tiles.


def test_tiles_tell_what_their_main_loop_needs():
    """128 x 64 in eight warps of 32 x 32: 2 x 4 products, 2 + 2 fragments, each twice a step."""
    tile = tile_of("correlation_gemm<TensorCore<__half, 128, 64>, __half, Chunks>")
    assert tile == (128, 64, 2, True)
    assert (tile.depth, tile.copies) == (32, 3)
    assert (tile.products(80), tile.products(75), tile.fragment_loads) == (16, 32, 8)
    wide = tile_of("weight_grad_gemm<TensorCore<Tf32, 128, 128>, float, PixelLanes>")
    assert (wide.depth, wide.products(80), wide.fragment_loads) == (16, 32, 12)
    assert tile_of("pool2d_rows<MaxForward<float>>") is None


def test_superfluous_loads_are_reported():
    name = "correlation_gemm<TensorCore<__half, 128, 64>, __half, Chunks>"
    step = ["HMMA.16816.F32 R4, R8, R6, R4"] * 16 + ["LDGSTS.E.BYPASS.128 [R9], [R2.64], P0"] * 3
    assert _load_shortcomings(name, [*step, *["LDSM.16.M88.4 R4, [R2]"] * 8]) == []
    assert _load_shortcomings(name, [*step, *["LDSM.16.M88.4 R4, [R2]"] * 9]) == [
        "9 LDSM in the main loop, the tile needs 8"
    ]


def _load_shortcomings(name, lines):
    """Of a kernel whose one loop has these instructions."""
    listing = ".text.f:\n.L_x_0:\n"
    for i, line in enumerate([*lines, "@P0 BRA `(.L_x_0)", "STG.E [R2.64], R4", "EXIT"]):
        listing += f"        /*{16 * i:04x}*/ {line} ;\n"
    kernel = machine_code.Kernel(
        name, "f", 80, 64, 0, 0, 0, 0, 256, tuple(sass.parse(listing)["f"])
    )
    (row,) = cuda_goals.rows([kernel], {name: [Launch(name, 1, 256, 0)]})
    return cuda_goals.shortcomings(row)


# Occupancy.


@pytest.mark.parametrize(
    "arch, threads, registers, shared, expected",
    [
        (80, 256, 128, 48 * 1024, Occupancy(2, 16, 64, "registers")),
        (80, 256, 128, 96 * 1024, Occupancy(1, 8, 64, "shared memory")),
        (80, 1024, 32, 0, Occupancy(2, 64, 64, "warps")),
        (80, 32, 16, 0, Occupancy(32, 32, 64, "blocks")),
        (75, 256, 64, 0, Occupancy(4, 32, 32, "warps")),
        (86, 128, 40, 0, Occupancy(12, 48, 48, "warps")),
        (90, 128, 168, 227 * 1024, Occupancy(1, 4, 64, "shared memory")),
        (120, 128, 64, 100 * 1024, Occupancy(0, 0, 48, "shared memory")),
        (80, 512, 255, 0, Occupancy(0, 0, 64, "registers")),
    ],
)
def test_occupancy(arch, threads, registers, shared, expected):
    assert occupancy(arch, threads, registers, shared) == expected


CALCULATOR = """
#include <cstdio>
#include <cuda_occupancy.h>
int main() {
  int arch, threads, registers, warps, reserved;
  long shared, per_multiprocessor, per_block;
  while (std::scanf("%d %d %d %ld %d %ld %ld %d", &arch, &threads, &registers, &shared, &warps,
                    &per_multiprocessor, &per_block, &reserved) == 8) {
    cudaOccDeviceProp device;
    device.computeMajor = arch / 10;
    device.computeMinor = arch % 10;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = 32 * warps;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.numSms = 1;
    device.sharedMemPerBlock = 49152;
    device.sharedMemPerMultiprocessor = per_multiprocessor;
    device.sharedMemPerBlockOptin = per_block;
    device.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes function;
    function.maxThreadsPerBlock = 1024;
    function.numRegs = registers;
    function.numBlockBarriers = 1;
    function.sharedSizeBytes = 0;
    function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    function.maxDynamicSharedSizeBytes = shared;
    cudaOccDeviceState state;
    cudaOccResult result;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &function, &state, threads,
                                                shared) != CUDA_OCC_SUCCESS)
      return 1;
    std::printf("%d\\n", result.activeBlocksPerMultiprocessor);
  }
}
"""


def test_occupancy_is_that_of_nvidias_calculator(tmp_path):
    headers = [*Path("/usr/local").glob("cuda*/include"), *machine_code.package_folders("include")]
    folders = [folder for folder in headers if (folder / "cuda_occupancy.h").exists()]
    if not folders:
        pytest.skip("no cuda_occupancy.h: pip install nvidia-cuda-runtime")
    source, program = tmp_path / "calculator.cpp", tmp_path / "calculator"
    source.write_text(CALCULATOR)
    subprocess.run(["c++", f"-I{folders[0]}", "-o", program, source], check=True)
    cases = list(
        itertools.product(
            ARCHITECTURES,
            (32, 96, 128, 160, 256, 512, 1024),
            (1, 16, 32, 33, 40, 64, 72, 128, 168, 255),
            (0, 1, 4096, 16000, 33000, 49152, 65536, 101376, 166912, 232448),
        )
    )
    # The calculator refuses what is more than a block may have.
    cases = [case for case in cases if case[3] <= ARCHITECTURES[case[0]].shared_of_block]
    lines = []
    for arch, threads, registers, shared in cases:
        limits = ARCHITECTURES[arch]
        facts = (limits.warps, limits.shared, limits.shared_of_block, limits.reserved)
        lines.append(" ".join(map(str, (arch, threads, registers, shared, *facts))))
    answers = subprocess.run(
        [program], input="\n".join(lines), text=True, check=True, stdout=subprocess.PIPE
    ).stdout.split()
    assert len(answers) == len(cases)
    for case, answer in zip(cases, answers):
        assert occupancy(*case).blocks == int(answer), case


# The toolchain.


@functools.cache
def missing_tools():
    try:
        machine_code.find_tools()
    except machine_code.MissingTools as missing:
        return str(missing)
    return None


@pytest.fixture
def tools():
    if missing_tools():
        pytest.skip(missing_tools())


def test_missing_tools_are_named_with_the_packages_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(machine_code, "_folders", lambda: [tmp_path])
    with pytest.raises(machine_code.MissingTools) as missing:
        machine_code.find_tools.__wrapped__()
    assert "nvcc, cuobjdump, nvdisasm, c++filt" in str(missing.value)
    assert "pip install nvidia-cuda-nvcc" in str(missing.value)
    assert "nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm" in str(missing.value)


PLANTED = """
namespace cnnops::cuda {
struct P { const float* from; float* to; int n; };
template <class T, int count>
__global__ void __launch_bounds__(1024, 2) spill(P p) {  // 32 registers for 64 sums
  T sum[count] = {};
  for (int k = 0; k < p.n; ++k)
#pragma unroll
    for (int i = 0; i < count; ++i) sum[i] += p.from[k * count + i] * p.from[k + i];
  for (int i = 0; i < count; ++i) p.to[i * 1024 + threadIdx.x] = sum[i];
}
template __global__ void spill<float, 64>(P);
__global__ void __launch_bounds__(96) array(P p) {  // indexed at run time
  float values[32];
  for (int k = 0; k < p.n; ++k) values[k % 32] = p.from[k];
  p.to[threadIdx.x] = values[threadIdx.x % 32];
}
__global__ void unbounded(P p) {
  __shared__ float values[256];
  int unused;
  values[threadIdx.x % 256] = p.from[threadIdx.x];
  __syncthreads();
  p.to[threadIdx.x] = values[255 - threadIdx.x % 256];
}
}
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Build of a source with faults, and its rows by kernel name."""
    if missing_tools():
        pytest.skip(missing_tools())
    folder = tmp_path_factory.mktemp("planted")
    (folder / "planted.cu").write_text(PLANTED)
    build = machine_code.build(folder / "planted.cu", 80, folder / "cache")
    small = [Launch("array", 1, 96, 0)]
    launches = {"array": [Launch("array", 1, 64, 120 * 1024), *small], "spill<float, 64>": small}
    return build, {row.kernel.name: row for row in cuda_goals.rows(build.kernels, launches)}


def test_planted_spill_is_reported(planted):
    row = planted[1]["spill<float, 64>"]
    assert (row.kernel.registers, row.kernel.max_threads) == (32, 1024)
    assert row.kernel.spill_stores > 0 and row.kernel.spill_loads > 0
    assert row.mix.classes["ffma"] >= 64
    assert any("spills" in text for text in cuda_goals.shortcomings(row))


def test_planted_local_array_is_reported(planted):
    kernel = planted[1]["array"].kernel
    assert (kernel.spill_stores, kernel.stack, kernel.max_threads) == (0, 128, 96)
    assert kernel.local_accesses > 0
    assert any("local memory" in text for text in cuda_goals.shortcomings(planted[1]["array"]))


def test_planted_low_occupancy_is_reported_for_the_worst_launch(planted):
    row = planted[1]["array"]
    assert row.launch.shared_bytes == 120 * 1024
    assert row.occupancy == Occupancy(1, 2, 64, "shared memory")
    assert any("1 blocks of 2 warps" in text for text in cuda_goals.shortcomings(row))


def test_planted_lack_of_launch_bounds_is_reported(planted):
    row = planted[1]["unbounded"]
    assert (row.kernel.max_threads, row.kernel.shared, row.loop) == (0, 1024, None)
    assert cuda_goals.shortcomings(row) == ["no launch bounds"]


def test_planted_warning_is_reported(planted):
    (warning,) = planted[0].warnings
    assert '"unused" was declared but never referenced' in warning


def test_report_of_planted_kernels(planted):
    build, found = planted
    text = "\n".join(cuda_report.sections(80, list(found.values()), build.warnings))
    assert "- `array`: 1 blocks of 2 warps resident" in text
    assert text.count("| `spill<float, 64>`") == 2
    assert text.count("`unbounded`") == 1, "among the kernels that nothing launches"
    assert '"unused" was declared' in text


def test_a_build_is_kept_until_a_header_changes(tools, tmp_path):
    header, source = tmp_path / "value.h", tmp_path / "value.cu"
    header.write_text("#define VALUE 1\n")
    source.write_text('#include "value.h"\n__global__ void f(int* to) { *to = VALUE; }\n')
    cache = tmp_path / "cache"

    def folders():
        machine_code.build(source, 80, cache)
        return {path: path.stat().st_mtime_ns for path in cache.glob("*") if path.is_dir()}

    first = folders()
    assert folders() == first
    header.write_text("#define VALUE 2\n")
    assert len(folders()) == 1 and folders().keys() != first.keys()


def test_what_the_compiler_says_of_an_error_is_shown(tools, tmp_path):
    (tmp_path / "wrong.cu").write_text("__global__ void f() { nothing(); }\n")
    with pytest.raises(machine_code.CompilationFailed, match='"nothing" is undefined'):
        machine_code.build(tmp_path / "wrong.cu", 80, tmp_path)


# Goals for the kernels of cnnops.

ARCHITECTURES_TESTED = [
    80,
    *(pytest.param(arch, marks=pytest.mark.sweep) for arch in ARCHITECTURES if arch != 80),
]


@pytest.fixture(params=machine_code.sources(), ids=lambda source: source.stem)
def source(request):
    return request.param


@pytest.mark.parametrize("arch", ARCHITECTURES_TESTED)
def test_kernels_reach_their_goals(tools, source, arch):
    """Of those that a plan for the architecture launches; some are there for others only."""
    build = machine_code.build(source, arch)
    found = cuda_goals.rows(build.kernels, launches_by_kernel(arch))
    missed = [
        f"{row.kernel.name}: {text}"
        for row in found
        if row.launch
        for text in cuda_goals.shortcomings(row)
    ]
    assert missed == []
    assert build.warnings == []


def test_every_kernel_is_launched(tools, source):
    """By a plan for sm_80, or for sm_75, whose tensor cores know fewer types."""
    launched = launches_by_kernel(80).keys() | launches_by_kernel(75).keys()
    kernels = {kernel.name for kernel in machine_code.build(source, 80).kernels}
    assert kernels - launched == set()


def test_every_launch_names_a_kernel(tools):
    launched = launches_by_kernel(80).keys() | launches_by_kernel(75).keys()
    builds = [machine_code.build(source, 80) for source in machine_code.sources()]
    assert launched - {kernel.name for build in builds for kernel in build.kernels} == set()


@pytest.mark.parametrize("which", cuda_problems.PASSES)
def test_roofline_requests_at_least_what_is_compulsory(which):
    """Blocks read every operand at least once."""
    for shape in cuda_problems.LAYERS:
        work = cuda_roofline.conv_work(
            cuda_problems.ConvProblem(shape, which, "float32", "contiguous")
        )
        assert work.requested >= work.compulsory, shape.name


def test_roofline_of_a_known_layer():
    """vgg.512, forward: 13 x 4 tiles of 128 x 128, 288 steps of 16 channels at a tap."""
    (shape,) = (shape for shape in cuda_problems.LAYERS if shape.name == "vgg.512")
    work = cuda_roofline.conv_work(
        cuda_problems.ConvProblem(shape, "forward", "float32", "channels_last")
    )
    assert work.kernel == "correlation_gemm<Simt<float, 128, 128>, float, Chunks>"
    pixels, channels = 8 * 14 * 14, 512
    assert work.flops == 2 * pixels * channels * channels * 9
    assert work.compulsory == 4 * (2 * pixels * channels + channels * channels * 9)
    tiles = 13 * 4 * 288 * (128 + 128) * 64
    assert work.requested == tiles + 4 * (pixels * channels + 2 * channels * channels * 9)
    a100, h100 = cuda_roofline.GPUS
    assert cuda_roofline.attainable(a100, work, work.compulsory) == 19.5
    assert cuda_roofline.attainable(h100, work, work.flops) == 3.35
