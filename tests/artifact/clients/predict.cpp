// predict STATE INPUTS: prints the bits of what is predicted for a file of records.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "net.h"

int main(int argc, char **argv) {
    if (argc != 3 || net_selftest() != NET_OK) return 2;
    std::ifstream file(argv[2], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const std::size_t batch = bytes.size() / (12 * sizeof(float));
    std::vector<float> inputs(12 * batch), scores(3 * batch);
    std::memcpy(inputs.data(), bytes.data(), bytes.size());
    const auto dim = static_cast<std::int64_t>(batch);
    std::vector<std::uint64_t> state(net_state_size() / 8 + 1), arena(net_predict_arena_size(dim) / 8 + 1);
    if (net_state_load(state.data(), argv[1]) != NET_OK) return 3;
    if (net_state_prepare(state.data()) != NET_OK) return 4;
    if (net_predict(state.data(), arena.data(), dim, inputs.data(), scores.data()) != NET_OK) return 5;
    for (const float score : scores) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &score, sizeof bits);
        std::printf("%08x\n", static_cast<unsigned>(bits));
    }
}
