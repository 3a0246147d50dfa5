// A stand-in for the CUDA driver's library: as much of it as PyCUDA links to, on the processor. Images are libraries that
// tests/cuda_shim.py builds of the text of a program; its runtime, which the process has loaded, carries launches out.
//
// It refuses what a real driver refuses: calls without a context of the thread, launches that a function cannot have,
// allocations and waits while the stream is captured, anything after a kernel failed. A kernel's failure is told by a later
// call, as it is on a device. Memory that is allocated, and what is given back, is the runtime's business.
#include <dlfcn.h>
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#define API(name) extern "C" int name
#define IN_PARENT \
  if (getpid() != loaded) return NOT_INITIALIZED
#define WITH_CONTEXT           \
  IN_PARENT;                   \
  if (contexts.empty()) return INVALID_CONTEXT; \
  if (failed) return failed

namespace {

enum Status {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  NOT_FOUND = 500,
  NO_BINARY = 209,
  LAUNCH_FAILED = 719,
  NOT_SUPPORTED = 801,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALID = 901,
};

constexpr int MAX_THREADS = 1024, DEFAULT_SHARED = 49152, MAX_SHARED = 232448, MAX_ARGUMENTS = 4096;

struct Function {
  std::string name, letters;
  void* entry;
  int threads, shared;
  bool watched;  // whether writes to shared memory are
};

struct Module {
  void* library;
  std::map<std::string, Function> functions;
};

using Action = std::function<int()>;

struct Graph {
  std::vector<Action> actions;
};

thread_local std::vector<void*> contexts;
int primary;
std::mutex guard;
const pid_t loaded = getpid();  // nothing works in the child of a fork
std::map<uint64_t, size_t> allocations;
std::map<void*, Graph*> capturing;
int failed = 0;  // what a failed kernel left behind
size_t used = 0;

size_t number(const char* name, size_t otherwise) {
  const char* text = getenv(name);
  return text ? strtoull(text, nullptr, 10) : otherwise;
}

size_t total() { return number("STAND_IN_MEMORY", size_t(1) << 30); }

size_t arch() { return number("STAND_IN_ARCH", 80); }

// Whether a variable has a part of a kernel's name.
bool is_named(const char* variable, const std::string& name) {
  const char* part = getenv(variable);
  return part && name.find(part) != std::string::npos;
}

template <typename F>
F runtime(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (!found) {
    fprintf(stderr, "stand-in: the process has not loaded the shim's runtime (%s)\n", name);
    abort();
  }
  return reinterpret_cast<F>(found);
}

bool is_captured() { return !capturing.empty(); }

// Puts something into a stream: it is done at once, or noted while the stream is captured.
int enqueue(void* stream, Action action) {
  const auto found = capturing.find(stream);
  if (found == capturing.end()) return action();
  found->second->actions.push_back(std::move(action));
  return SUCCESS;
}

int memory_copy(void* stream, uint64_t target, uint64_t source, size_t size) {
  WITH_CONTEXT;
  return enqueue(stream, [=] {
    memcpy(reinterpret_cast<void*>(target), reinterpret_cast<const void*>(source), size);
    return int(SUCCESS);
  });
}

// The table of functions that stands in a library: NAME:THREADS:LETTERS;...
void read_table(Module* module, const char* table) {
  const auto* watched = static_cast<const char*>(dlsym(module->library, "shim_watched"));
  for (const char* at = table; *at;) {
    const char *colon = strchr(at, ':'), *second = strchr(colon + 1, ':'), *end = strchr(second, ';');
    if (!end) end = second + strlen(second);
    const std::string name(at, colon);
    Function function = {name, std::string(second + 1, end), dlsym(module->library, name.c_str()), atoi(colon + 1), 0,
                         *watched != 0};
    module->functions[name] = function;
    at = *end ? end + 1 : end;
  }
}

int run(const Function& function, unsigned blocks, unsigned threads, unsigned shared, const std::string& buffer) {
  std::vector<unsigned long long> words;
  size_t at = 0;
  for (const char letter : function.letters) {
    const size_t size = letter == 'i' ? 4 : 8;
    at = (at + size - 1) / size * size;
    long long value = 0;
    if (size == 4) {
      int narrow;
      memcpy(&narrow, buffer.data() + at, 4);
      value = narrow;
    } else {
      memcpy(&value, buffer.data() + at, 8);
    }
    words.push_back(value);
    at += size;
  }
  words.resize(words.size() + 1);
  if (is_named("STAND_IN_FAILS", function.name)) return failed = LAUNCH_FAILED, SUCCESS;
  runtime<void (*)(int)>("shim_watch")(function.watched);
  using Launch = int (*)(void*, unsigned, unsigned, size_t, const unsigned long long*, int, unsigned);
  if (runtime<Launch>("shim_launch")(function.entry, blocks, threads, shared, words.data(), words.size() - 1, 0)) {
    fprintf(stderr, "stand-in: %s: %s\n", function.name.c_str(), runtime<const char* (*)()>("shim_message")());
    failed = LAUNCH_FAILED;  // a later call says so
  }
  return SUCCESS;
}

size_t packed_size(const std::string& letters) {
  size_t at = 0;
  for (const char letter : letters) {
    const size_t size = letter == 'i' ? 4 : 8;
    at = (at + size - 1) / size * size + size;
  }
  return at;
}

}  // namespace

API(cuInit)(unsigned) { return number("STAND_IN_DEVICES", 1) ? SUCCESS : NO_DEVICE; }
API(cuDriverGetVersion)(int* version) { return *version = 13000, SUCCESS; }
API(cuDeviceGetCount)(int* count) { return *count = int(number("STAND_IN_DEVICES", 1)), SUCCESS; }
API(cuDeviceGet)(int* device, int n) {
  *device = n;
  return n < int(number("STAND_IN_DEVICES", 1)) ? SUCCESS : INVALID_DEVICE;
}
API(cuDeviceGetName)(char* name, int size, int) { return snprintf(name, size, "stand-in"), SUCCESS; }
API(cuDeviceTotalMem_v2)(size_t* bytes, int) { return *bytes = total(), SUCCESS; }
API(cuDeviceComputeCapability)(int* major, int* minor, int) {
  return *major = int(arch() / 10), *minor = int(arch() % 10), SUCCESS;
}
API(cuDeviceGetAttribute)(int* value, int attribute, int) {
  static const std::map<int, int> known = {{1, MAX_THREADS}, {8, DEFAULT_SHARED}, {10, 32}, {16, 108}, {97, MAX_SHARED}};
  if (attribute == 75 || attribute == 76) return *value = int(attribute == 75 ? arch() / 10 : arch() % 10), SUCCESS;
  const auto found = known.find(attribute);
  return *value = found == known.end() ? 0 : found->second, SUCCESS;
}

API(cuDevicePrimaryCtxRetain)(void** context, int) { return *context = &primary, SUCCESS; }
API(cuDevicePrimaryCtxRelease_v2)(int) { return SUCCESS; }
API(cuCtxPushCurrent_v2)(void* context) {
  IN_PARENT;
  return contexts.push_back(context), SUCCESS;
}
API(cuCtxPopCurrent_v2)(void** context) {
  IN_PARENT;
  if (contexts.empty()) return INVALID_CONTEXT;
  if (context) *context = contexts.back();
  contexts.pop_back();
  return SUCCESS;
}
API(cuCtxDetach)(void*) { return SUCCESS; }
API(cuCtxGetDevice)(int* device) { return *device = 0, contexts.empty() ? INVALID_CONTEXT : SUCCESS; }
API(cuCtxGetApiVersion)(void*, unsigned* version) { return *version = 13000, SUCCESS; }
API(cuCtxSynchronize)() {
  WITH_CONTEXT;
  return is_captured() ? CAPTURE_UNSUPPORTED : SUCCESS;
}

API(cuMemAlloc_v2)(uint64_t* address, size_t size) {
  WITH_CONTEXT;
  if (is_captured()) return CAPTURE_UNSUPPORTED;
  const std::lock_guard<std::mutex> lock(guard);
  if (!size) return INVALID_VALUE;
  if (size > total() - used) return OUT_OF_MEMORY;
  void* data = runtime<void* (*)(size_t, const char*)>("shim_allocate")(size, "a buffer");
  if (!data) return OUT_OF_MEMORY;
  *address = reinterpret_cast<uint64_t>(data);
  allocations[*address] = size;
  used += size;
  return SUCCESS;
}
API(cuMemFree_v2)(uint64_t address) {
  WITH_CONTEXT;
  if (is_captured()) return CAPTURE_UNSUPPORTED;
  const std::lock_guard<std::mutex> lock(guard);
  const auto found = allocations.find(address);
  if (found == allocations.end()) return INVALID_VALUE;
  used -= found->second;
  allocations.erase(found);
  return runtime<int (*)(const void*)>("shim_release")(reinterpret_cast<void*>(address)) ? INVALID_VALUE : SUCCESS;
}
API(cuMemGetInfo_v2)(size_t* free_bytes, size_t* all) {
  WITH_CONTEXT;
  return *all = total(), *free_bytes = total() - used, SUCCESS;
}
API(cuMemHostAlloc)(void** data, size_t size, unsigned) {
  WITH_CONTEXT;
  if (is_captured()) return CAPTURE_UNSUPPORTED;
  return posix_memalign(data, 4096, size ? size : 1) ? OUT_OF_MEMORY : SUCCESS;
}
API(cuMemFreeHost)(void* data) {
  IN_PARENT;
  return free(data), SUCCESS;
}
API(cuMemcpyHtoDAsync_v2)(uint64_t target, const void* source, size_t size, void* stream) {
  return memory_copy(stream, target, reinterpret_cast<uint64_t>(source), size);
}
API(cuMemcpyDtoHAsync_v2)(void* target, uint64_t source, size_t size, void* stream) {
  return memory_copy(stream, reinterpret_cast<uint64_t>(target), source, size);
}
API(cuMemcpyDtoDAsync_v2)(uint64_t target, uint64_t source, size_t size, void* stream) {
  return memory_copy(stream, target, source, size);
}
API(cuMemsetD8Async)(uint64_t target, unsigned char byte, size_t size, void* stream) {
  WITH_CONTEXT;
  return enqueue(stream, [=] { return memset(reinterpret_cast<void*>(target), byte, size), int(SUCCESS); });
}

API(cuStreamCreate)(void** stream, unsigned) {
  WITH_CONTEXT;
  return *stream = malloc(1), SUCCESS;
}
API(cuStreamDestroy_v2)(void* stream) {
  IN_PARENT;
  return free(stream), SUCCESS;
}
API(cuStreamSynchronize)(void* stream) {
  WITH_CONTEXT;
  return capturing.count(stream) ? CAPTURE_UNSUPPORTED : SUCCESS;
}
API(cuEventCreate)(void** event, unsigned) {
  WITH_CONTEXT;
  return *event = calloc(1, 1), SUCCESS;
}
API(cuEventDestroy_v2)(void* event) {
  IN_PARENT;
  return free(event), SUCCESS;
}
API(cuEventRecord)(void* event, void*) {
  WITH_CONTEXT;
  if (is_captured()) return CAPTURE_UNSUPPORTED;
  return *static_cast<char*>(event) = 1, SUCCESS;
}
API(cuStreamWaitEvent)(void*, void* event, unsigned) {
  WITH_CONTEXT;
  if (is_captured()) return CAPTURE_UNSUPPORTED;
  return *static_cast<char*>(event) ? SUCCESS : INVALID_VALUE;  // a wait for what was not recorded waits for nothing
}
API(cuEventSynchronize)(void*) {
  WITH_CONTEXT;
  return is_captured() ? CAPTURE_UNSUPPORTED : SUCCESS;
}

API(cuModuleLoadDataEx)(void** out, const void* image, unsigned, int*, void**) {
  WITH_CONTEXT;
  const auto* head = static_cast<const Elf64_Ehdr*>(image);
  if (memcmp(head->e_ident, ELFMAG, SELFMAG)) return INVALID_IMAGE;
  if (head->e_machine != EM_X86_64) return NO_BINARY;  // a real cubin, say
  const size_t size = head->e_shoff + size_t(head->e_shnum) * head->e_shentsize;
  char path[] = "/tmp/stand-in-XXXXXX";  // a name of its own: libraries of one name are loaded once
  const int file = mkstemp(path);
  if (file < 0) return INVALID_IMAGE;
  const bool whole = write(file, image, size) == ssize_t(size);
  close(file);
  void* library = whole ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(path);
  if (!library) return fprintf(stderr, "stand-in: %s\n", dlerror()), INVALID_IMAGE;
  auto* module = new Module{library, {}};
  read_table(module, static_cast<const char*>(dlsym(library, "shim_functions")));
  return *out = module, SUCCESS;
}
API(cuModuleLoadData)(void** module, const void* image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }
API(cuModuleUnload)(void* module) {
  IN_PARENT;
  return delete static_cast<Module*>(module), SUCCESS;
}
API(cuModuleGetFunction)(void** function, void* module, const char* name) {
  WITH_CONTEXT;
  auto& functions = static_cast<Module*>(module)->functions;
  const auto found = functions.find(name);
  if (found == functions.end() || is_named("STAND_IN_LACKS", name)) return NOT_FOUND;
  return *function = &found->second, SUCCESS;
}
API(cuFuncGetAttribute)(int* value, int, void*) { return *value = 0, SUCCESS; }
API(cuFuncSetAttribute)(void* function, int attribute, int value) {
  if (attribute == 8) {  // MAX_DYNAMIC_SHARED_SIZE_BYTES
    if (value > MAX_SHARED) return INVALID_VALUE;
    static_cast<Function*>(function)->shared = value;
  }
  return SUCCESS;
}
API(cuFuncSetBlockShape)(void*, int, int, int) { return SUCCESS; }
API(cuFuncSetSharedSize)(void*, unsigned) { return SUCCESS; }
API(cuParamSetSize)(void*, unsigned) { return SUCCESS; }

API(cuLaunchKernel)(void* which, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y, unsigned threads_z,
                    unsigned shared, void* stream, void**, void** extra) {
  WITH_CONTEXT;
  const Function function = *static_cast<Function*>(which);
  if (!x || x > 0x7fffffffu || y != 1 || z != 1 || threads_y != 1 || threads_z != 1) return INVALID_VALUE;
  if (!threads || int(threads) > function.threads || threads > MAX_THREADS) return INVALID_VALUE;
  if (is_named("STAND_IN_REFUSES", function.name)) return INVALID_VALUE;
  if (shared > DEFAULT_SHARED && int(shared) > function.shared) return INVALID_VALUE;
  const char* data = nullptr;
  size_t size = 0;
  for (int n = 0; extra && extra[n]; n += 2) {
    if (extra[n] == reinterpret_cast<void*>(1)) data = static_cast<const char*>(extra[n + 1]);
    if (extra[n] == reinterpret_cast<void*>(2)) size = *static_cast<size_t*>(extra[n + 1]);
  }
  if (size > MAX_ARGUMENTS || size != packed_size(function.letters)) return INVALID_VALUE;
  const std::string buffer(data ? data : "", size);
  return enqueue(stream, [=] { return run(function, x, threads, shared, buffer); });
}

API(cuStreamBeginCapture_v2)(void* stream, int) {
  WITH_CONTEXT;
  if (!stream) return CAPTURE_UNSUPPORTED;  // the default stream cannot be captured
  if (capturing.count(stream)) return CAPTURE_INVALID;
  return capturing[stream] = new Graph, SUCCESS;
}
API(cuStreamEndCapture)(void* stream, void** graph) {
  const auto found = capturing.find(stream);
  if (found == capturing.end()) return CAPTURE_INVALID;
  *graph = found->second;
  capturing.erase(found);
  return SUCCESS;
}
API(cuGraphInstantiateWithFlags)(void** ready, void* graph, unsigned long long) {
  WITH_CONTEXT;
  return *ready = new Graph(*static_cast<Graph*>(graph)), SUCCESS;
}
API(cuGraphDestroy)(void* graph) { return delete static_cast<Graph*>(graph), SUCCESS; }
API(cuGraphExecDestroy)(void* graph) { return delete static_cast<Graph*>(graph), SUCCESS; }
API(cuGraphLaunch)(void* graph, void*) {
  WITH_CONTEXT;
  for (const Action& action : static_cast<Graph*>(graph)->actions) {
    if (failed) break;
    action();
  }
  return SUCCESS;
}

API(cuGetErrorString)(int status, const char** text) {
  static const std::map<int, const char*> known = {
      {INVALID_VALUE, "invalid argument"},         {OUT_OF_MEMORY, "out of memory"},
      {NOT_INITIALIZED, "initialization error"},
      {NO_DEVICE, "no CUDA-capable device"},       {INVALID_IMAGE, "invalid image"},
      {INVALID_CONTEXT, "invalid device context"}, {NO_BINARY, "no binary for this device"},
      {NOT_FOUND, "named symbol not found"},       {LAUNCH_FAILED, "unspecified launch failure"},
      {CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
  };
  const auto found = known.find(status);
  return *text = found == known.end() ? "unknown to the stand-in" : found->second, SUCCESS;
}

// What PyCUDA 2026.1 links to and programs do without.
#define LACKING(name) \
  API(name)() { return fprintf(stderr, "stand-in: %s is not there\n", #name), NOT_SUPPORTED; }
LACKING(cuArray3DCreate_v2)
LACKING(cuArray3DGetDescriptor_v2)
LACKING(cuArrayCreate_v2)
LACKING(cuArrayDestroy)
LACKING(cuArrayGetDescriptor_v2)
LACKING(cuCtxAttach)
LACKING(cuCtxCreate_v4)
LACKING(cuCtxDisablePeerAccess)
LACKING(cuCtxEnablePeerAccess)
LACKING(cuCtxGetCacheConfig)
LACKING(cuCtxGetLimit)
LACKING(cuCtxGetSharedMemConfig)
LACKING(cuCtxSetCacheConfig)
LACKING(cuCtxSetLimit)
LACKING(cuCtxSetSharedMemConfig)
LACKING(cuDeviceCanAccessPeer)
LACKING(cuDeviceGetByPCIBusId)
LACKING(cuDeviceGetPCIBusId)
LACKING(cuEventElapsedTime_v2)
LACKING(cuEventQuery)
LACKING(cuFuncSetCacheConfig)
LACKING(cuIpcCloseMemHandle)
LACKING(cuIpcGetEventHandle)
LACKING(cuIpcGetMemHandle)
LACKING(cuIpcOpenEventHandle)
LACKING(cuIpcOpenMemHandle_v2)
LACKING(cuLaunch)
LACKING(cuLaunchGrid)
LACKING(cuLaunchGridAsync)
LACKING(cuLinkAddData_v2)
LACKING(cuLinkAddFile_v2)
LACKING(cuLinkComplete)
LACKING(cuLinkCreate_v2)
LACKING(cuLinkDestroy)
LACKING(cuMemAllocManaged)
LACKING(cuMemAllocPitch_v2)
LACKING(cuMemGetAddressRange_v2)
LACKING(cuMemHostGetDevicePointer_v2)
LACKING(cuMemHostGetFlags)
LACKING(cuMemHostRegister_v2)
LACKING(cuMemHostUnregister)
LACKING(cuMemcpy2DAsync_v2)
LACKING(cuMemcpy2DUnaligned_v2)
LACKING(cuMemcpy2D_v2)
LACKING(cuMemcpy3DAsync_v2)
LACKING(cuMemcpy3DPeer)
LACKING(cuMemcpy3DPeerAsync)
LACKING(cuMemcpy3D_v2)
LACKING(cuMemcpyAtoA_v2)
LACKING(cuMemcpyAtoD_v2)
LACKING(cuMemcpyAtoH_v2)
LACKING(cuMemcpyDtoA_v2)
LACKING(cuMemcpyDtoD_v2)
LACKING(cuMemcpyDtoH_v2)
LACKING(cuMemcpyHtoA_v2)
LACKING(cuMemcpyHtoD_v2)
LACKING(cuMemcpyPeer)
LACKING(cuMemcpyPeerAsync)
LACKING(cuMemsetD16Async)
LACKING(cuMemsetD16_v2)
LACKING(cuMemsetD2D16Async)
LACKING(cuMemsetD2D16_v2)
LACKING(cuMemsetD2D32Async)
LACKING(cuMemsetD2D32_v2)
LACKING(cuMemsetD2D8Async)
LACKING(cuMemsetD2D8_v2)
LACKING(cuMemsetD32Async)
LACKING(cuMemsetD32_v2)
LACKING(cuMemsetD8_v2)
LACKING(cuModuleGetGlobal_v2)
LACKING(cuModuleGetSurfRef)
LACKING(cuModuleGetTexRef)
LACKING(cuModuleLoad)
LACKING(cuParamSetTexRef)
LACKING(cuParamSetf)
LACKING(cuParamSeti)
LACKING(cuParamSetv)
LACKING(cuProfilerInitialize)
LACKING(cuProfilerStart)
LACKING(cuProfilerStop)
LACKING(cuStreamAttachMemAsync)
LACKING(cuStreamQuery)
LACKING(cuSurfRefGetArray)
LACKING(cuSurfRefSetArray)
LACKING(cuTexRefCreate)
LACKING(cuTexRefDestroy)
LACKING(cuTexRefGetAddressMode)
LACKING(cuTexRefGetAddress_v2)
LACKING(cuTexRefGetArray)
LACKING(cuTexRefGetFilterMode)
LACKING(cuTexRefGetFlags)
LACKING(cuTexRefGetFormat)
LACKING(cuTexRefSetAddress2D_v3)
LACKING(cuTexRefSetAddressMode)
LACKING(cuTexRefSetAddress_v2)
LACKING(cuTexRefSetArray)
LACKING(cuTexRefSetFilterMode)
LACKING(cuTexRefSetFlags)
LACKING(cuTexRefSetFormat)
