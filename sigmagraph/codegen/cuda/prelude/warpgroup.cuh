// Products of matrices in shared memory by the 128 threads of a warpgroup, which sm_90a has (PTX ISA, wgmma.mma_async).
// A host compiler that defines SG_HOST has its own of:
//
//   sg_publish()                  what the thread has written to shared memory is there for wgmma behind the next barrier
//   sg_wgmma_open<n>(sums, own)   before the first product; own is the number of the thread in its group, from 1
//   sg_wgmma_begin<n>(sums)       behind the last one: from here on others may be done before it is waited for
//   sg_wgmma_wait<n>(sums)        the sums are there; nothing touches them before
//   sg_wgmma_wait_behind<n>(sums) the same behind the loop in which products are begun
//   sg_wgmma_wait_older(first, second, sizes)
//                                 products begun before the newest call read no more, the last of them these elements
//   sg_wgmma_bf16_slice<n, a, b>(first, second, sums), sg_wgmma_f16_slice, sg_wgmma_tf32_slice
//                                 sums[64, n] += first[64, depth] second[depth, n] of 32 bytes of summed indices, for
//                                 factors that descriptors say the places of; a and b: whether rows of the first and
//                                 columns of the second factor lie side by side, or summed indices

#ifndef SG_HOST

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

SG_INLINE void sg_publish() { asm volatile("fence.proxy.async.shared::cta;" : : : "memory"); }

// Nothing that touches sums is moved across this.
template <int columns>
SG_INLINE void sg_wgmma_hold(float* sums) {
#pragma unroll
  for (int i = 0; i < columns / 2; ++i) asm volatile("" : "+f"(sums[i]) : : "memory");
}

template <int columns>
SG_INLINE void sg_wgmma_open(float* sums, int) {
  sg_wgmma_hold<columns>(sums);
  asm volatile("wgmma.fence.sync.aligned;" : : : "memory");
}

template <int columns>
SG_INLINE void sg_wgmma_begin(float*) {
  asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory");
}

template <int columns>
SG_INLINE void sg_wgmma_wait(float* sums) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" : : : "memory");
  sg_wgmma_hold<columns>(sums);
}

// What is computed of sums must not be moved to before the wait, as ptxas does it: a product would then have to wait for
// the one before, in the loop as well. It does not move it past a branch, for which it has to take this one: there is no
// launch without blocks.
template <int columns>
SG_INLINE void sg_wgmma_wait_behind(float* sums) {
  sg_wgmma_wait<columns>(sums);
  unsigned blocks;
  asm volatile("mov.u32 %0, %%nctaid.x;" : "=r"(blocks) : : "memory");
  if (blocks == 0) asm volatile("trap;" : : : "memory");
}

template <class T>
SG_INLINE void sg_wgmma_wait_older(const T*, const T*, int, int) {
  asm volatile("wgmma.wait_group.sync.aligned 1;" : : : "memory");
}

// The first so many operands, as assembly names them, and as they are handed to it.
#define SG_PLACES_4 "%0, %1, %2, %3"
#define SG_PLACES_8 SG_PLACES_4 ", %4, %5, %6, %7"
#define SG_PLACES_16 SG_PLACES_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define SG_PLACES_32 SG_PLACES_16 ", %16, %17, %18, %19, " SG_PLACES_TEN(2) ", %30, %31"
#define SG_PLACES_64                                                                                        \
  SG_PLACES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, " SG_PLACES_TEN(4) ", " SG_PLACES_TEN(5) ", %60, " \
  "%61, %62, %63"
#define SG_PLACES_96                                                                                        \
  SG_PLACES_64 ", %64, %65, %66, %67, %68, %69, " SG_PLACES_TEN(7) ", " SG_PLACES_TEN(8) ", %90, %91, %92, " \
  "%93, %94, %95"
#define SG_PLACES_128 \
  SG_PLACES_96 ", %96, %97, %98, %99, " SG_PLACES_TEN(10) ", " SG_PLACES_TEN(11) ", %120, %121, %122, %123, " \
  "%124, %125, %126, %127"
#define SG_PLACES_TEN(n)                                                                                     \
  "%" #n "0, %" #n "1, %" #n "2, %" #n "3, %" #n "4, %" #n "5, %" #n "6, %" #n "7, %" #n "8, %" #n "9"
#define SG_SUMS_4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define SG_SUMS_8(i) SG_SUMS_4(i), SG_SUMS_4(i + 4)
#define SG_SUMS_16(i) SG_SUMS_8(i), SG_SUMS_8(i + 8)
#define SG_SUMS_32(i) SG_SUMS_16(i), SG_SUMS_16(i + 16)
#define SG_SUMS_64(i) SG_SUMS_32(i), SG_SUMS_32(i + 32)
#define SG_SUMS_96(i) SG_SUMS_64(i), SG_SUMS_32(i + 64)
#define SG_SUMS_128(i) SG_SUMS_64(i), SG_SUMS_64(i + 64)

// One instruction for n columns: count sums, behind which stand the descriptors p and q, then s and t: which way the
// factors lie. Factors are taken as they are, and the sums are added to.
#define SG_WGMMA_ONE(n, kind, ways, count, p, q, s, t)                                                        \
  if constexpr (columns == n)                                                                                 \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" #n kind " {" SG_PLACES_##count "}, %" #p ", %" #q ", 1, 1, 1" \
                 ways(s, t) ";"                                                                               \
                 : SG_SUMS_##count(0)                                                                         \
                 : "l"(first), "l"(second), "n"(int(rows)), "n"(int(beside)))
#define SG_WGMMA_WAYS(s, t) ", %" #s ", %" #t
#define SG_WGMMA_NO_WAYS(s, t) ""
#define SG_WGMMA_SLICE(name, kind, ways)                                                                       \
  template <int columns, bool rows, bool beside>                                                               \
  SG_INLINE void sg_wgmma_##name##_slice(unsigned long long first, unsigned long long second, float* sums) {   \
    SG_WGMMA_ONE(8, kind, ways, 4, 4, 5, 6, 7);                                                                \
    SG_WGMMA_ONE(16, kind, ways, 8, 8, 9, 10, 11);                                                             \
    SG_WGMMA_ONE(32, kind, ways, 16, 16, 17, 18, 19);                                                          \
    SG_WGMMA_ONE(64, kind, ways, 32, 32, 33, 34, 35);                                                          \
    SG_WGMMA_ONE(128, kind, ways, 64, 64, 65, 66, 67);                                                         \
    SG_WGMMA_ONE(192, kind, ways, 96, 96, 97, 98, 99);                                                         \
    SG_WGMMA_ONE(256, kind, ways, 128, 128, 129, 130, 131);                                                    \
  }
SG_WGMMA_SLICE(bf16, "k16.f32.bf16.bf16", SG_WGMMA_WAYS)
SG_WGMMA_SLICE(f16, "k16.f32.f16.f16", SG_WGMMA_WAYS)
SG_WGMMA_SLICE(tf32, "k8.f32.tf32.tf32", SG_WGMMA_NO_WAYS)

#else

// Other architectures say what is wrong if a text uses them: they are looked at then only.
#define SG_WGMMA_MISSING(threads) static_assert(threads == 0, "warpgroups multiply on sm_90a only (wgmma)")
template <int threads = 128>
SG_INLINE void sg_publish() {
  SG_WGMMA_MISSING(threads);
}
template <int columns>
SG_INLINE void sg_wgmma_open(float*, int) {
  SG_WGMMA_MISSING(columns);
}
template <int columns>
SG_INLINE void sg_wgmma_begin(float*) {}
template <int columns>
SG_INLINE void sg_wgmma_wait(float*) {}
template <int columns>
SG_INLINE void sg_wgmma_wait_behind(float*) {}
template <class T>
SG_INLINE void sg_wgmma_wait_older(const T*, const T*, int, int) {}
template <int columns, bool rows, bool beside>
SG_INLINE void sg_wgmma_bf16_slice(unsigned long long, unsigned long long, float*) {}
template <int columns, bool rows, bool beside>
SG_INLINE void sg_wgmma_f16_slice(unsigned long long, unsigned long long, float*) {}
template <int columns, bool rows, bool beside>
SG_INLINE void sg_wgmma_tf32_slice(unsigned long long, unsigned long long, float*) {}

#endif

#endif  // SG_HOST

// sums[64, columns] += first second, of so many slices (see warpgroup.py); distances are in elements.
#define SG_WGMMA(name, T)                                                                                     \
  template <int columns, int slices, bool rows, bool beside>                                                  \
  SG_INLINE void sg_wgmma_##name(const T* first, const T* second, float* sums, int own, int first_near,       \
                                 int first_far, int second_near, int second_far) {                            \
    constexpr unsigned size = sizeof(T);                                                                      \
    const unsigned a = sg_place(first), a_near = size * first_near, a_far = size * first_far;                 \
    const unsigned b = sg_place(second), b_near = size * second_near, b_far = size * second_far;              \
    sg_wgmma_open<columns>(sums, own);                                                                        \
    _Pragma("unroll") for (int i = 0; i < slices; ++i) {                                                      \
      sg_wgmma_##name##_slice<columns, rows, beside>(sg_descriptor(a + 2 * i * a_near, a_near, a_far),        \
                                                     sg_descriptor(b + 2 * i * b_near, b_near, b_far), sums); \
    }                                                                                                         \
    sg_wgmma_begin<columns>(sums);                                                                            \
  }
SG_WGMMA(bf16, unsigned short)
SG_WGMMA(f16, unsigned short)
SG_WGMMA(tf32, float)
