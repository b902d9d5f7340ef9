// A GPU of one thread: starts a kernel of kernels.cu on a grid, one thread after the other, from the very
// arguments that the driver's cuLaunchKernel would get, and counts how often each byte of an image is stored.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

namespace {

struct Place {
    unsigned x, y, z;
};

Place blockIdx, blockDim, threadIdx;

const unsigned char* counted = nullptr;
std::size_t counted_bytes = 0;
unsigned char* counts = nullptr;
std::size_t misaligned = 0;

// `bytes` that are a power of two go out as one word; a GPU faults where its address is no multiple of its size.
void count_store(const void* address, std::size_t bytes) {
    if ((bytes & (bytes - 1)) == 0) misaligned += reinterpret_cast<std::uintptr_t>(address) % bytes != 0;
    const std::size_t first =
        reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(counted);
    for (std::size_t i = 0; i < bytes; ++i)
        if (first + i < counted_bytes) ++counts[first + i];
}

}  // namespace

#define SEGEDGE_STORED(address, bytes) count_store(address, bytes)
#include "kernels.cu"

namespace {

// The letters that NumPy has for the types of arguments.
template <typename Argument>
constexpr char letter() {
    return std::is_pointer<Argument>::value            ? 'P'
           : std::is_same<Argument, int>::value        ? 'i'
           : std::is_same<Argument, long long>::value  ? 'q'
           : std::is_same<Argument, float>::value      ? 'f'
                                                       : '?';
}

template <typename Argument>
Argument read(const void* from) {
    Argument value;
    std::memcpy(&value, from, sizeof(value));
    return value;
}

template <typename... Arguments, std::size_t... index>
void start(void (*kernel)(Arguments...), void** parameters, std::index_sequence<index...>) {
    kernel(read<Arguments>(parameters[index])...);
}

struct Call {
    char* letters;  // where to write the types of the arguments, or null
    void** parameters;  // what to start the kernel with, or null
    const unsigned *grid, *block;

    template <typename... Arguments>
    void operator()(void (*kernel)(Arguments...)) const {
        const char types[] = {letter<Arguments>()..., 0};
        if (letters) std::memcpy(letters, types, sizeof(types));
        if (!parameters) return;
        blockDim = {block[0], block[1], block[2]};
        // The last thread first: none may rest on another.
        for (unsigned block_y = grid[1]; block_y-- > 0;)
            for (unsigned block_x = grid[0]; block_x-- > 0;)
                for (unsigned y = block[1]; y-- > 0;)
                    for (unsigned x = block[0]; x-- > 0;) {
                        blockIdx = {block_x, block_y, 0};
                        threadIdx = {x, y, 0};
                        start(kernel, parameters, std::index_sequence_for<Arguments...>());
                    }
    }
};

int find(const std::string& name, const Call& call) {
    if (name == "segedge_prepare_interleaved") return call(segedge_prepare_interleaved), 1;
    if (name == "segedge_prepare_nv12") return call(segedge_prepare_nv12), 1;
    if (name == "segedge_widen") return call(segedge_widen), 1;
    if (name == "segedge_label_nodes") return call(segedge_label_nodes), 1;
    if (name == "segedge_label_pixels") return call(segedge_label_pixels), 1;
    if (name == "segedge_paint") return call(segedge_paint), 1;
    return 0;
}

}  // namespace

// Counts the stores into `bytes` bytes from `image` on, in `into`, from now on; nothing where `bytes` is 0.
extern "C" void host_count_stores(const void* image, std::size_t bytes, unsigned char* into) {
    counted = static_cast<const unsigned char*>(image);
    counted_bytes = bytes;
    counts = into;
}

// Writes the types of a kernel's arguments, a letter each. Returns 0 where there is no such kernel.
extern "C" int host_signature(const char* name, char* letters) { return find(name, {letters, nullptr, nullptr, nullptr}); }

// Returns how many words were stored at an address that no GPU stores them at, since the last call.
extern "C" std::size_t host_take_misaligned() { return std::exchange(misaligned, 0); }

// Runs every thread of a grid. Returns 0 where there is no such kernel.
extern "C" int host_launch(const char* name, const unsigned* grid, const unsigned* block, void** parameters) {
    return find(name, {nullptr, parameters, grid, block});
}
