// rows blocks of 256 threads
extern "C" __global__ void __launch_bounds__(256) row_sums(const float* __restrict__ x, float* out, int n) {
  const sg_index row = blockIdx.x;
  SG_SHARED(sg_shared);
  float* warps = (float*)(sg_shared + 0);
  const sg_index t = threadIdx.x;
  float acc;
  acc = 0.0f;
  for (sg_index j = 0, j_end = sg_floordiv(n + 255 - t, 256); j < j_end; ++j) {
    acc = acc + x[row * n + 256 * j + t];
  }
  const float a0 = acc;
  const float x16 = __shfl_xor_sync(0xffffffffu, a0, 16);
  const float a1 = a0 + x16;
  const float x8 = __shfl_xor_sync(0xffffffffu, a1, 8);
  const float a2 = a1 + x8;
  const float x4 = __shfl_xor_sync(0xffffffffu, a2, 4);
  const float a3 = a2 + x4;
  const float x2 = __shfl_xor_sync(0xffffffffu, a3, 2);
  const float a4 = a3 + x2;
  const float x1 = __shfl_xor_sync(0xffffffffu, a4, 1);
  const float a5 = a4 + x1;
  if (t <= 32 * sg_quotient(t, 32)) {
    warps[sg_quotient(t, 32)] = a5;
  }
  __syncthreads();
  const sg_index lane = t - 32 * sg_quotient(t, 32);
  const float b0 = lane <= 7 ? warps[lane] : 0.0f;
  const float y4 = __shfl_down_sync(0xffffffffu, b0, 4);
  const float b1 = b0 + y4;
  const float y2 = __shfl_down_sync(0xffffffffu, b1, 2);
  const float b2 = b1 + y2;
  const float y1 = __shfl_down_sync(0xffffffffu, b2, 1);
  const float b3 = b2 + y1;
  if (t <= 0) {
    out[row] = b3;
  }
}
