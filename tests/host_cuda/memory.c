// Device memory, page-locked memory, and the checks of every address that a call is given.
//
// Both are the host's. A new allocation is filled with a pattern, so that nobody rests on zeros, and lies between
// two guards, so that writing beyond its ends is seen. A freed one is filled with another pattern and kept for a
// while, so that late users read nonsense instead of crashing.

#include <stdlib.h>
#include <string.h>

#include "host_cuda.h"

enum { MOST_KEPT_BYTES = 32 << 20, MOST_KEPT = 256, ALIGNMENT = 256 };

static struct {
    unsigned char *block, *address;
    size_t bytes;
} kept[MOST_KEPT];  // freed allocations, a ring

static int kept_next;
static size_t kept_bytes;

Memory *memory_at(Context *context, uintptr_t address) {
    for (Memory *memory = context->memories; memory; memory = memory->next)
        if (address - (uintptr_t)memory->address < memory->bytes) return memory;
    return NULL;
}

static Memory *memory_anywhere(uintptr_t address) {
    for (Context *context = contexts; context; context = context->next) {
        Memory *memory = memory_at(context, address);
        if (memory) return memory;
    }
    return NULL;
}

static int was_freed(uintptr_t address) {
    for (int i = 0; i < MOST_KEPT; ++i)
        if (kept[i].block && address - (uintptr_t)kept[i].address < kept[i].bytes) return 1;
    return 0;
}

static void say_unknown(const char *name, const char *role, uintptr_t address) {
    const Memory *memory = memory_anywhere(address);
    if (memory && memory->context != current_context())
        misuse("%s: %s belongs to another context than the current one", name, role);
    else if (was_freed(address))
        misuse("%s: %s was freed", name, role);
    else
        misuse("%s: %s 0x%llx is no memory of the device", name, role, (unsigned long long)address);
}

// Checks an address that the device is to use. Host memory is the device's too where it is mapped.
int check_device(const char *name, const char *role, uintptr_t address, size_t bytes) {
    const Memory *memory = memory_at(current_context(), address);
    if (!memory) {
        say_unknown(name, role, address);
        return INVALID_VALUE;
    }
    if (memory->pinned && !memory->mapped) {
        misuse("%s: %s is host memory that is not mapped", name, role);
        return INVALID_VALUE;
    }
    const size_t offset = address - (uintptr_t)memory->address;
    if (bytes > memory->bytes - offset) {
        misuse("%s: %s has %zu bytes, %zu were asked for", name, role, memory->bytes - offset, bytes);
        return INVALID_VALUE;
    }
    return SUCCESS;
}

// Checks an address of the host, and tells whether the memory there is pageable.
int check_host(const char *name, const char *role, const void *address, size_t bytes, int *pageable) {
    const Memory *memory = memory_anywhere((uintptr_t)address);
    *pageable = !memory;
    if (!address && bytes) {
        misuse("%s: %s is null", name, role);
        return INVALID_VALUE;
    }
    if (was_freed((uintptr_t)address)) {
        misuse("%s: %s was freed", name, role);
        return INVALID_VALUE;
    }
    if (!memory) return SUCCESS;
    if (!memory->pinned) {
        misuse("%s: %s is memory of the device", name, role);
        return INVALID_VALUE;
    }
    if (memory->context != current_context()) {
        misuse("%s: %s belongs to another context than the current one", name, role);
        return INVALID_VALUE;
    }
    if (bytes > memory->bytes - ((uintptr_t)address - (uintptr_t)memory->address)) {
        misuse("%s: %s has fewer than %zu bytes", name, role, bytes);
        return INVALID_VALUE;
    }
    return SUCCESS;
}

int guards_hold(const Memory *memory) {
    for (int i = 1; i <= GUARD_BYTES; ++i)
        if (memory->address[-i] != GUARD || memory->address[memory->bytes + (size_t)i - 1] != GUARD) return 0;
    return 1;
}

int64_t memory_count(int pinned) {
    int64_t count = 0;
    for (const Context *context = contexts; context; context = context->next)
        for (const Memory *memory = context->memories; memory; memory = memory->next) count += memory->pinned == pinned;
    return count;
}

static Memory *allocate(size_t bytes, int pinned, int mapped) {
    const size_t whole = (bytes + 2 * GUARD_BYTES + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char *block = aligned_alloc(ALIGNMENT, whole);
    if (!block) return NULL;
    Memory *memory = calloc(1, sizeof(Memory));
    memory->block = block;
    memory->address = block + GUARD_BYTES;
    memory->bytes = bytes;
    memory->pinned = pinned;
    memory->mapped = mapped;
    memory->context = current_context();
    memset(block, GUARD, GUARD_BYTES);
    memset(memory->address, FRESH, bytes);
    memset(memory->address + bytes, GUARD, whole - GUARD_BYTES - bytes);
    memory->next = memory->context->memories;
    memory->context->memories = memory;
    return memory;
}

static void keep(Memory *memory) {
    memset(memory->block, FREED, memory->bytes + 2 * GUARD_BYTES);
    if (memory->bytes > MOST_KEPT_BYTES / 4) {
        free(memory->block);
        free(memory);
        return;
    }
    do {
        free(kept[kept_next].block);
        kept_bytes -= kept[kept_next].bytes;
        kept[kept_next].block = NULL;
        kept[kept_next].bytes = 0;
        if (kept_bytes + memory->bytes <= MOST_KEPT_BYTES) break;
        kept_next = (kept_next + 1) % MOST_KEPT;
    } while (1);
    kept[kept_next].block = memory->block;
    kept[kept_next].address = memory->address;
    kept[kept_next].bytes = memory->bytes;
    kept_bytes += memory->bytes;
    kept_next = (kept_next + 1) % MOST_KEPT;
    free(memory);
}

static int release(uintptr_t address, int pinned, const char *name) {
    Context *context = current_context();
    Memory **link = &context->memories;
    while (*link && (uintptr_t)(*link)->address != address) link = &(*link)->next;
    Memory *memory = *link;
    if (!memory || memory->pinned != pinned) {
        if (memory)
            misuse("%s: that is %s memory", name, memory->pinned ? "page-locked" : "device");
        else
            say_unknown(name, "the memory", address);
        return INVALID_VALUE;
    }
    if (!guards_hold(memory)) misuse("%s: something was written beyond an end of the memory", name);
    if (uses(context, memory)) misuse("%s: queued work may still use the memory", name);
    *link = memory->next;
    keep(memory);
    return SUCCESS;
}

void free_memories(Context *context) {
    while (context->memories) {
        Memory *memory = context->memories;
        context->memories = memory->next;
        keep(memory);
    }
}

// ------------------------------------------------------------------------------------------------ calls

int cuMemAlloc_v2(uintptr_t *address, size_t bytes) {
    const int code = begin("cuMemAlloc", IN_CONTEXT | UNSAFE);
    if (code) return code;
    if (!address || !bytes) return end(INVALID_VALUE);
    Memory *memory = allocate(bytes, 0, 0);
    if (!memory) return end(OUT_OF_MEMORY);
    *address = (uintptr_t)memory->address;
    return end(SUCCESS);
}

int cuMemFree_v2(uintptr_t address) {
    const int code = begin("cuMemFree", IN_CONTEXT | RELEASES | UNSAFE);
    if (code) return code;
    return end(address ? release(address, 0, "cuMemFree") : SUCCESS);
}

// Flags: 1 portable, 2 mapped for the device, 4 write-combined.
int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
    const int code = begin("cuMemHostAlloc", IN_CONTEXT | UNSAFE);
    if (code) return code;
    if (!address || !bytes || flags > 7) return end(INVALID_VALUE);
    Memory *memory = allocate(bytes, 1, (flags & 2) != 0);
    if (!memory) return end(OUT_OF_MEMORY);
    *address = memory->address;
    return end(SUCCESS);
}

int cuMemAllocHost_v2(void **address, size_t bytes) { return cuMemHostAlloc(address, bytes, 0); }

int cuMemFreeHost(void *address) {
    const int code = begin("cuMemFreeHost", IN_CONTEXT | RELEASES | UNSAFE);
    return code ? code : end(release((uintptr_t)address, 1, "cuMemFreeHost"));
}

int cuMemHostGetFlags(unsigned *flags, void *address) {
    const int code = begin("cuMemHostGetFlags", IN_CONTEXT);
    if (code) return code;
    const Memory *memory = memory_at(current_context(), (uintptr_t)address);
    if (!memory || !memory->pinned) return end(INVALID_VALUE);
    *flags = memory->mapped ? 2 : 0;
    return end(SUCCESS);
}

int cuMemHostGetDevicePointer_v2(uintptr_t *device, void *host, unsigned flags) {
    const int code = begin("cuMemHostGetDevicePointer", IN_CONTEXT);
    if (code) return code;
    const Memory *memory = memory_at(current_context(), (uintptr_t)host);
    const int possible = attribute(19);  // CAN_MAP_HOST_MEMORY
    if (flags || !memory || !memory->pinned || !memory->mapped || possible != 1) {
        misuse("cuMemHostGetDevicePointer: %s", possible == 1 ? "that is no mapped host memory"
                                                               : "this GPU cannot map host memory");
        return end(INVALID_VALUE);
    }
    *device = (uintptr_t)host;
    return end(SUCCESS);
}

int cuMemGetInfo_v2(size_t *available, size_t *total) {
    const int code = begin("cuMemGetInfo", IN_CONTEXT);
    if (code) return code;
    size_t taken = 0;
    for (const Context *context = contexts; context; context = context->next)
        for (const Memory *memory = context->memories; memory; memory = memory->next)
            taken += memory->pinned ? 0 : memory->bytes;
    *total = (size_t)8 << 30;
    *available = *total - taken;
    return end(SUCCESS);
}

int cuMemGetAddressRange_v2(uintptr_t *base, size_t *bytes, uintptr_t address) {
    const int code = begin("cuMemGetAddressRange", IN_CONTEXT);
    if (code) return code;
    const Memory *memory = memory_at(current_context(), address);
    if (!memory) return end(NOT_FOUND);
    if (base) *base = (uintptr_t)memory->address;
    if (bytes) *bytes = memory->bytes;
    return end(SUCCESS);
}
