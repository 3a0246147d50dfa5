// ((n+255)//256) blocks of 256 threads
extern "C" __global__ void __launch_bounds__(256) relu(
    const float* __restrict__ x,
    const unsigned char* m,
    const float* b,
    float* y,
    int n,
    int* flow,
    int level) {
  if (flow[0] != 0 || flow[level] == 0) return;
  const sg_index i = blockIdx.x;
  const sg_index t = threadIdx.x;
  if (256 * i + t < n) {
    {
      float x_lanes[4];
      sg_load<4>(x_lanes, x + 1024 * i + 4 * t);
      const float s = b[256 * i + t];
      unsigned char m_lanes[4];
      sg_load<4>(m_lanes, m + 1024 * i + 4 * t);
      float y_lanes[4];
      #pragma unroll
      for (sg_index l = 0; l < 4; ++l) {
        const float r = sg_max(x_lanes[l] + s, 0.0f);
        y_lanes[l] = m_lanes[l] != 0 ? r : r * 0x1.99999ap-4f;
      }
      sg_store<4>(y + 1024 * i + 4 * t, y_lanes);
    }
  }
}
