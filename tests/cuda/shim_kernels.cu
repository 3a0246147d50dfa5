// Kernels that test_shim.py runs as they are, and with a defect in each. A copy of one of them is made by its name.

typedef int sg_index;

static inline float larger(float a, float b) { return a != a || a > b ? a : b; }

extern "C" __global__ void __launch_bounds__(128) scale(const float* x, float* y, int n) {
  const sg_index i = blockIdx.x * 128 + threadIdx.x;
  if (i < n) {
    y[i] = 2.0f * x[i];
  }
}

extern "C" __global__ void __launch_bounds__(64) add4(const float* x, const float* z, float* y, int n) {
  const sg_index i = 4 * (blockIdx.x * 64 + threadIdx.x);
  if (i + 3 < n) {
    const float4 a = *(const float4*)(x + i), b = *(const float4*)(z + i);
    *(float4*)(y + i) = make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
  } else {
    for (sg_index k = i; k < n; ++k) y[k] = x[k] + z[k];
  }
}

extern "C" __global__ void __launch_bounds__(128) turn(const float* x, float* y) {
  SG_SHARED(sg_shared);
  float* s = (float*)(sg_shared + 0);
  float own[2];
  const int t = threadIdx.x;
  own[t & 1] = x[blockIdx.x * 128 + t];
  s[t] = own[t & 1];
  __syncthreads();
  y[blockIdx.x * 128 + t] = s[127 - t];
}

extern "C" __global__ void __launch_bounds__(128) softmax(const float* x, float* y, int rows, int columns) {
  SG_SHARED(sg_shared);
  float* parts = (float*)(sg_shared + 0);
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  for (sg_index row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* from = x + row * columns;
    float m = from[t % columns];
    for (sg_index c = t; c < columns; c += 128) m = larger(m, from[c]);
    for (int o = 16; o > 0; o >>= 1) m = larger(m, __shfl_xor_sync(0xffffffffu, m, o));
    if (lane == 0) parts[warp] = m;
    __syncthreads();
    m = larger(larger(parts[0], parts[1]), larger(parts[2], parts[3]));
    __syncthreads();
    float sum = 0.0f;
    for (sg_index c = t; c < columns; c += 128) sum += expf(from[c] - m);
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, o);
    if (lane == 0) parts[warp] = sum;
    __syncthreads();
    sum = parts[0] + parts[1] + parts[2] + parts[3];
    __syncthreads();
    for (sg_index c = t; c < columns; c += 128) y[row * columns + c] = expf(from[c] - m) / sum;
  }
}

// Tiles of 32 x 32 x 8; a thread has 4 x 4 of the product, and loads what comes next while it multiplies.
extern "C" __global__ void __launch_bounds__(64) matmul(const float* a, const float* b, float* c, int m, int n, int k) {
  SG_SHARED(sg_shared);
  float* as = (float*)(sg_shared + 0);     // [2][8][32]
  float* bs = (float*)(sg_shared + 2048);  // [2][8][32]
  const int t = threadIdx.x, tx = t & 7, ty = t >> 3;
  const sg_index row = blockIdx.x / (n / 32) * 32, column = blockIdx.x % (n / 32) * 32;
  float acc[16];
  for (int i = 0; i < 16; ++i) acc[i] = 0.0f;
  float4 ra, rb;
  const float* pa = a + (row + (t >> 1)) * k + (t & 1) * 4;
  const float* pb = b + (t >> 3) * n + column + (t & 7) * 4;
  ra = *(const float4*)pa;
  rb = *(const float4*)pb;
  for (int step = 0; step <= k / 8; ++step) {
    const int next = (step & 1) * 256, now = 256 - next;
    if (step < k / 8) {
      float* to = as + next + (t & 1) * 128 + (t >> 1);
      to[0] = ra.x, to[32] = ra.y, to[64] = ra.z, to[96] = ra.w;
      *(float4*)(bs + next + (t >> 3) * 32 + (t & 7) * 4) = rb;
    }
    if (step + 1 < k / 8) {
      ra = *(const float4*)(pa + (step + 1) * 8);
      rb = *(const float4*)(pb + (step + 1) * 8 * n);
    }
    if (step > 0) {
      for (int q = 0; q < 8; ++q)
        for (int i = 0; i < 4; ++i)
          for (int j = 0; j < 4; ++j)
            acc[i * 4 + j] = fmaf(as[now + q * 32 + ty * 4 + i], bs[now + q * 32 + tx * 4 + j], acc[i * 4 + j]);
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) c[(row + ty * 4 + i) * n + column + tx * 4 + j] = acc[i * 4 + j];
}

// Tiles of 32 x 32 x 16 in three stages; each of four warps has 16 x 16 of the product.
extern "C" __global__ void __launch_bounds__(128)
    matmul_bf16(const unsigned short* a, const unsigned short* b, float* c, int m, int n, int k) {
  SG_SHARED(sg_shared);
  unsigned short* as = (unsigned short*)(sg_shared + 0);     // [3][32][24]
  unsigned short* bs = (unsigned short*)(sg_shared + 4608);  // [3][16][40]
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, g = lane >> 2, q = lane & 3;
  const int wm = (warp >> 1) * 16, wn = (warp & 1) * 16;
  const sg_index row = blockIdx.x / ((n + 31) / 32) * 32, column = blockIdx.x % ((n + 31) / 32) * 32;
  const int steps = (k + 15) / 16;
  float acc[2][4];
  for (int j = 0; j < 2; ++j)
    for (int i = 0; i < 4; ++i) acc[j][i] = 0.0f;
  for (int step = -2; step < steps; ++step) {
    if (step >= 0) {
      sg_cp_async_wait<1>();
      __syncthreads();
    }
    const int coming = step + 2, stage = coming % 3;
    if (coming < steps) {
      if (t < 64) {
        const int r = t >> 1, e = (t & 1) * 8;
        const bool there = row + r < m && coming * 16 + e < k;
        sg_cp_async16(as + (stage * 32 + r) * 24 + e, there ? a + (row + r) * k + coming * 16 + e : a, there);
      } else {
        const int r = (t - 64) >> 2, e = (t & 3) * 8;
        const bool there = coming * 16 + r < k && column + e < n;
        sg_cp_async16(bs + (stage * 16 + r) * 40 + e, there ? b + (coming * 16 + r) * n + column + e : b, there);
      }
    }
    sg_cp_async_commit();
    if (step >= 0) {
      unsigned af[4], bf[4];
      sg_ldmatrix_x4(af, as + (step % 3 * 32 + wm + (lane & 15)) * 24 + (lane >> 4) * 8);
      sg_ldmatrix_x4_trans(bf, bs + (step % 3 * 16 + (lane & 15)) * 40 + wn + (lane >> 4) * 8);
      for (int j = 0; j < 2; ++j) {
        const unsigned pair[2] = {bf[2 * j], bf[2 * j + 1]};
        sg_mma_bf16_16816(acc[j], af, pair);
      }
    }
  }
  for (int j = 0; j < 2; ++j)
    for (int i = 0; i < 4; ++i) {
      const int r = row + wm + g + i / 2 * 8, e = column + wn + j * 8 + 2 * q + i % 2;
      if (r < m && e < n) c[r * n + e] = acc[j][i];
    }
}

// Tiles of 32 x 32 x 8 in three stages; each of four warps has 16 x 16 of the product.
extern "C" __global__ void __launch_bounds__(128)
    matmul_tf32(const float* a, const float* b, float* c, int m, int n, int k) {
  SG_SHARED(sg_shared);
  float* as = (float*)(sg_shared + 0);     // [3][32][12]
  float* bs = (float*)(sg_shared + 4608);  // [3][8][40]
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, g = lane >> 2, q = lane & 3;
  const int wm = (warp >> 1) * 16, wn = (warp & 1) * 16;
  const sg_index row = blockIdx.x / ((n + 31) / 32) * 32, column = blockIdx.x % ((n + 31) / 32) * 32;
  const int steps = (k + 7) / 8;
  float acc[2][4];
  for (int j = 0; j < 2; ++j)
    for (int i = 0; i < 4; ++i) acc[j][i] = 0.0f;
  for (int step = -2; step < steps; ++step) {
    if (step >= 0) {
      sg_cp_async_wait<1>();
      __syncthreads();
    }
    const int coming = step + 2, stage = coming % 3;
    if (coming < steps) {
      if (t < 64) {
        const int r = t >> 1, e = (t & 1) * 4;
        const bool there = row + r < m && coming * 8 + e < k;
        sg_cp_async16(as + (stage * 32 + r) * 12 + e, there ? a + (row + r) * k + coming * 8 + e : a, there);
      } else {
        const int r = (t - 64) >> 3, e = (t & 7) * 4;
        const bool there = coming * 8 + r < k && column + e < n;
        sg_cp_async16(bs + (stage * 8 + r) * 40 + e, there ? b + (coming * 8 + r) * n + column + e : b, there);
      }
    }
    sg_cp_async_commit();
    if (step >= 0) {
      const float* pa = as + (step % 3 * 32 + wm + g) * 12 + q;
      const float* pb = bs + (step % 3 * 8 + q) * 40 + wn + g;
      const unsigned af[4] = {sg_f32_to_tf32(pa[0]), sg_f32_to_tf32(pa[96]), sg_f32_to_tf32(pa[4]),
                              sg_f32_to_tf32(pa[100])};
      for (int j = 0; j < 2; ++j) {
        const unsigned pair[2] = {sg_f32_to_tf32(pb[8 * j]), sg_f32_to_tf32(pb[8 * j + 160])};
        sg_mma_tf32_1688(acc[j], af, pair);
      }
    }
  }
  for (int j = 0; j < 2; ++j)
    for (int i = 0; i < 4; ++i) {
      const int r = row + wm + g + i / 2 * 8, e = column + wn + j * 8 + 2 * q + i % 2;
      if (r < m && e < n) c[r * n + e] = acc[j][i];
    }
}

extern "C" __global__ void __launch_bounds__(64) votes(const int* x, int* y, int* total, int* order) {
  const int t = threadIdx.x, lane = t & 31;
  order[t] = atomicAdd(total + 1, 1);
  const unsigned odd = __ballot_sync(0xffffffffu, x[t] & 1);
  y[t] = int(odd);
  y[64 + t] = __any_sync(0xffffffffu, x[t] > 7) + 2 * __all_sync(0xffffffffu, x[t] > 7);
  y[128 + t] = __shfl_sync(0xffffffffu, x[t], lane + 1);
  y[192 + t] = __shfl_up_sync(0xffffffffu, x[t], 2);
  y[256 + t] = lane < 8 ? __shfl_xor_sync(0x000000ffu, x[t], 3, 8) : -1;
  __syncwarp();
  const double wide = __shfl_xor_sync(0xffffffffu, 1.0 / (1 + t), 1);
  y[320 + t] = wide == 1.0 / (1 + (t ^ 1));
  if (lane == 0) atomicAdd(total, __shfl_sync(1u, x[t], 0));
}

extern "C" __global__ void __launch_bounds__(256)
    halves(const unsigned short* x, float* wide, unsigned short* back, int n) {
  const sg_index i = blockIdx.x * 256 + threadIdx.x;
  if (i < n) {
    wide[i] = sg_f16_to_f32(x[i]);
    back[i] = sg_f32_to_f16(wide[i]);
  }
}

extern "C" __global__ void __launch_bounds__(256) powers(const float* x, float* y, int n) {
  const sg_index i = blockIdx.x * 256 + threadIdx.x;
  if (i < n) y[i] = sg_exp2_approx(x[i]);
}

extern "C" __global__ void __launch_bounds__(256) rounded(const float* x, float* y, int n) {
  const sg_index i = blockIdx.x * 256 + threadIdx.x;
  if (i < n) y[i] = sg_round_tf32_even(x[i]);
}

extern "C" __global__ void __launch_bounds__(256)
    narrow(const float* x, unsigned short* f16, unsigned short* bf16, int n) {
  const sg_index i = blockIdx.x * 256 + threadIdx.x;
  if (i < n) {
    f16[i] = sg_f32_to_f16(x[i]);
    bf16[i] = sg_f32_to_bf16(x[i]);
  }
}
