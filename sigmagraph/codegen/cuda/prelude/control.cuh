// Kernels of every program: copies, and the flow of control of programs that have some.
//
// flow[0] is the number of the first check that failed, or 0; flow[level] says whether a branch is taken.

extern "C" __global__ void __launch_bounds__(256)
    sg_copy(const unsigned char* source, unsigned char* target, long long bytes, int* flow, int level) {
  if (flow[0] != 0 || flow[level] == 0) return;
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const long long step = (long long)gridDim.x * blockDim.x;
  const bool aligned = (((unsigned long long)source | (unsigned long long)target) & 15) == 0;
  const long long whole = aligned ? bytes / 16 : 0;
  for (long long i = first; i < whole; i += step) {
    ((sg_lanes<unsigned char, 16>*)target)[i] = ((const sg_lanes<unsigned char, 16>*)source)[i];
  }
  for (long long i = 16 * whole + first; i < bytes; i += step) target[i] = source[i];
}

extern "C" __global__ void __launch_bounds__(1)
    sg_check(const unsigned char* condition, int number, int* flow, int level) {
  if (flow[0] == 0 && flow[level] != 0 && condition[0] == 0) flow[0] = number;
}

extern "C" __global__ void __launch_bounds__(1)
    sg_branch(const unsigned char* condition, int then, int orelse, int* flow, int level) {
  const bool taken = flow[level] != 0, holds = condition[0] != 0;
  flow[then] = taken && holds;
  flow[orelse] = taken && !holds;
}
