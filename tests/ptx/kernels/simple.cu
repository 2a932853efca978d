// Ordinary kernels with a known answer.

#include <cstdint>

__global__ void sum_by_shuffle(const float* input, float* output, int count) {
    __shared__ float partial[32];
    float sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) sum += input[i];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0.0f;
        for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
        if (threadIdx.x == 0) output[blockIdx.x] = sum;
    }
}

template <int kPitch>
__global__ void transpose(const float* input, float* output, int rows, int columns) {
    __shared__ float tile[32 * kPitch];
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int i = 0; i < 32; i += 8) {
        if (x < columns && y + i < rows) tile[(threadIdx.y + i) * kPitch + threadIdx.x] = input[(y + i) * columns + x];
    }
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x, y = blockIdx.x * 32 + threadIdx.y;
    for (int i = 0; i < 32; i += 8) {
        if (x < rows && y + i < columns) output[(y + i) * rows + x] = tile[threadIdx.x * kPitch + threadIdx.y + i];
    }
}
template __global__ void transpose<32>(const float*, float*, int, int);
template __global__ void transpose<33>(const float*, float*, int, int);

__global__ void histogram(const uint8_t* input, uint32_t* output, int count) {
    __shared__ uint32_t bins[256];
    bins[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) atomicAdd(&bins[input[i]], 1u);
    __syncthreads();
    atomicAdd(&output[threadIdx.x], bins[threadIdx.x]);
}

__global__ void powers(const double* base, const double* exponent, double* output) {
    output[threadIdx.x] = pow(base[threadIdx.x], exponent[threadIdx.x]);
}

__global__ void collatz(const uint32_t* input, uint32_t* steps) {
    uint32_t value = input[threadIdx.x], count = 0;
    while (value != 1) {
        if (value % 2 == 0) {
            value /= 2;
        } else {
            value = 3 * value + 1;
        }
        ++count;
    }
    steps[threadIdx.x] = count + __popc(__ballot_sync(0xffffffffu, count > 20)) * 1000;
}

struct Table {
    int extents[6];
    const float* rows[3];
    long stride;
};

__global__ void pick(const __grid_constant__ Table table, float* output) {
    int which = threadIdx.x % 3;
    output[threadIdx.x] = table.rows[which][table.extents[threadIdx.x % 6] * table.stride];
}

__global__ void far(const float* input, float* output, long offset) {
    long i = offset + blockIdx.x * long(blockDim.x) + threadIdx.x;
    output[i] = 2 * input[i];
}

__device__ uint32_t counters[4] = {1, 2, 3, 4};
__constant__ int16_t weights[3] = {-1, 5, 7};

__global__ void module_variables(uint32_t* output) {
    atomicAdd(&counters[threadIdx.x % 4], uint32_t(weights[threadIdx.x % 3]));
    __syncthreads();
    if (threadIdx.x < 4) output[threadIdx.x] = counters[threadIdx.x];
}

__global__ void choose(const int* which, int* output) {
    int value = threadIdx.x;
    switch (which[threadIdx.x]) {
        case 0: value = value * 7 + 1; break;
        case 1: value = value ^ 0x55; break;
        case 2: value = value - 100; break;
        case 3: value = value * value; break;
        case 4: value = ~value; break;
        case 5: value = value % 5; break;
        case 6: value = value << 3; break;
        default: value = -1;
    }
    output[threadIdx.x] = value;
}

__global__ void local_array(const int* input, int* output, int count) {
    int stack[16];
    for (int i = 0; i < 16; ++i) stack[i] = input[i] + threadIdx.x;
#pragma unroll 1
    for (int i = 0; i < count; ++i) stack[(i * threadIdx.x) % 16] += stack[(i + 5) % 16];
    int sum = 0;
    for (int i = 0; i < 16; ++i) sum = sum * 3 + stack[i];
    output[threadIdx.x] = sum;
}

__global__ void vote_barrier(const int* input, int* output) {
    output[threadIdx.x] = __syncthreads_count(input[threadIdx.x] > 0) * 4 + __syncthreads_and(input[threadIdx.x] > -9) * 2 +
                          __syncthreads_or(input[threadIdx.x] > 99);
}

// Two pairs of warps, each with a barrier of its own.
__global__ void named_barriers(int* output) {
    __shared__ int values[128];
    int pair = threadIdx.x / 64;
    values[threadIdx.x] = threadIdx.x;
    asm volatile("bar.sync %0, 64;" ::"r"(pair + 1) : "memory");
    output[threadIdx.x] = values[threadIdx.x ^ 32];
}
