// A small matrix product on tensor cores: the shape of instruction streams that real kernels have.
// C[M, N] = A[M, K] B[K, N], bfloat16 in, float32 out; 64 x 64 tiles of C, K in steps of 32 through a
// ring of cp.async stages, fragments by ldmatrix.

#include <cuda_bf16.h>

#include <cstdint>

namespace {

constexpr int kTile = 64;
constexpr int kStep = 32;
constexpr int kPitchA = kStep + 8;
constexpr int kPitchB = kTile + 8;
constexpr int kStageA = kTile * kPitchA;
constexpr int kStageB = kStep * kPitchB;

struct Problem {
    const __nv_bfloat16* a;
    const __nv_bfloat16* b;
    float* c;
    int m, n, k;
};

__device__ uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ void copy_16(uint32_t target, const void* source, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(target), "l"(source), "r"(bytes));
}

__device__ void stage(const Problem& p, __nv_bfloat16* tile, int row, int column, int step) {
    for (int i = threadIdx.x; i < kTile * kStep / 8; i += 128) {
        int y = i / (kStep / 8), x = i % (kStep / 8) * 8;
        bool inside = row + y < p.m;
        const auto* source = p.a + (inside ? size_t(row + y) * p.k + step + x : 0);
        copy_16(shared_address(tile + y * kPitchA + x), source, inside ? 16 : 0);
    }
    for (int i = threadIdx.x; i < kTile * kStep / 8; i += 128) {
        int y = i / (kTile / 8), x = i % (kTile / 8) * 8;
        copy_16(shared_address(tile + kStageA + y * kPitchB + x), p.b + size_t(step + y) * p.n + column + x, 16);
    }
}

__device__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace

template <int kStages, bool kWait>
__global__ void __launch_bounds__(128) gemm(const __grid_constant__ Problem p) {
    extern __shared__ __align__(16) __nv_bfloat16 tiles[];
    const int row = blockIdx.y * kTile, column = blockIdx.x * kTile;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;
    float c[2][4][4] = {};
    const int steps = p.k / kStep;
    for (int s = 0; s < kStages - 1; ++s) {
        if (s < steps) stage(p, tiles + s * (kStageA + kStageB), row, column, s * kStep);
        asm volatile("cp.async.commit_group;\n");
    }
    for (int s = 0; s < steps; ++s) {
        if (kWait) asm volatile("cp.async.wait_group %0;\n" ::"n"(kStages - 2));
        __syncthreads();
        const int next = s + kStages - 1;
        if (next < steps) {
            stage(p, tiles + next % kStages * (kStageA + kStageB), row, column, next * kStep);
        }
        asm volatile("cp.async.commit_group;\n");
        const __nv_bfloat16* tile = tiles + s % kStages * (kStageA + kStageB);
#pragma unroll
        for (int k = 0; k < kStep; k += 16) {
            uint32_t a[2][4], b[2][4];
            for (int i = 0; i < 2; ++i) {
                uint32_t at = shared_address(tile + (warp_row + i * 16 + lane % 16) * kPitchA + k + lane / 16 * 8);
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                             : "=r"(a[i][0]), "=r"(a[i][1]), "=r"(a[i][2]), "=r"(a[i][3])
                             : "r"(at));
            }
            for (int j = 0; j < 2; ++j) {
                uint32_t at = shared_address(tile + kStageA + (k + lane % 16) * kPitchB + warp_column + j * 16 +
                                             lane / 16 * 8);
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                             : "=r"(b[j][0]), "=r"(b[j][1]), "=r"(b[j][2]), "=r"(b[j][3])
                             : "r"(at));
            }
            for (int i = 0; i < 2; ++i) {
                for (int j = 0; j < 4; ++j) multiply(c[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
            }
        }
    }
    for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 4; ++j) {
            for (int half = 0; half < 2; ++half) {
                int y = row + warp_row + i * 16 + half * 8 + lane / 4;
                int x = column + warp_column + j * 8 + lane % 4 * 2;
                if (y < p.m) *reinterpret_cast<float2*>(p.c + size_t(y) * p.n + x) = {c[i][j][half * 2], c[i][j][half * 2 + 1]};
            }
        }
    }
}

template __global__ void gemm<2, true>(const __grid_constant__ Problem);
template __global__ void gemm<3, true>(const __grid_constant__ Problem);
template __global__ void gemm<3, false>(const __grid_constant__ Problem);
