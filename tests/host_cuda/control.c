// What every call begins and ends with, and the calls by which tests watch and steer the driver.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_cuda.h"

pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t moved = PTHREAD_COND_INITIALIZER;

enum { MOST_CALLS = 256, MOST_PLANS = 64, MOST_ATTRIBUTES = 256, NOTES_BYTES = 1 << 16 };

static struct {
    char name[48];
    uint64_t count;
} calls[MOST_CALLS];

static struct {
    char name[48];
    uint64_t after;  // calls of this name until the one that fails
    int code;
} plans[MOST_PLANS];

static char notes[NOTES_BYTES];
static size_t notes_used;
static uint64_t handles = 0;
static int initialised, devices = 1;
static char gpu_name[128] = "Host GPU";
static int attributes[MOST_ATTRIBUTES];
static _Thread_local int late;  // what a releasing call returns although it has released

static const uintptr_t first_handle = (uintptr_t)0x5e6ed6e << 20;

// ------------------------------------------------------------------------------------------------ begin and end

static void count_call(const char *name) {
    for (int i = 0; i < MOST_CALLS; ++i) {
        if (!calls[i].name[0]) snprintf(calls[i].name, sizeof(calls[i].name), "%s", name);
        if (!strcmp(calls[i].name, name)) {
            ++calls[i].count;
            return;
        }
    }
}

// Returns the error that a test has planned for this very call, 0 without one.
int planned(const char *name) {
    int code = 0;
    for (int i = 0; i < MOST_PLANS; ++i)
        if (plans[i].after && !strcmp(plans[i].name, name) && !--plans[i].after) code = plans[i].code;
    return code;
}

// Locks the gate and checks what holds for every call. Where the result is not 0 the gate is open again, and the
// result is what the call returns. A call that releases does so even where it is to fail, as the real ones may
// return errors of earlier work.
int begin(const char *name, unsigned needs) {
    pthread_mutex_lock(&gate);
    count_call(name);
    int code = planned(name);
    late = 0;
    if (!code && !initialised && !(needs & BEFORE_INIT)) {
        misuse("%s: before cuInit", name);
        return end(NOT_INITIALIZED);
    }
    if (needs & IN_CONTEXT) {
        const Context *context = current_context();
        if (!context) {
            misuse("%s: no context is current in this thread", name);
            return end(INVALID_CONTEXT);
        }
        if (!context->alive) {
            misuse("%s: the current context was destroyed", name);
            return end(CONTEXT_IS_DESTROYED);
        }
        if (!code) code = context->fault;
    }
    if (!code && needs & UNSAFE) code = capture_forbids(1);
    if (code && !(needs & RELEASES)) return end(code);
    late = code;
    return 0;
}

int end(int code) {
    const int result = code ? code : late;
    late = 0;
    pthread_mutex_unlock(&gate);
    return result;
}

void misuse(const char *format, ...) {
    va_list values;
    va_start(values, format);
    if (notes_used + 400 < NOTES_BYTES) {
        notes_used += (size_t)vsnprintf(notes + notes_used, 399, format, values);
        notes[notes_used++] = '\n';
        notes[notes_used] = 0;
    }
    va_end(values);
}

void *new_handle(void) { return (void *)(first_handle + 64 * ++handles); }

int was_a_handle(const void *handle) {
    const uintptr_t value = (uintptr_t)handle;
    return value > first_handle && value <= first_handle + 64 * handles && value % 64 == 0;
}

// ------------------------------------------------------------------------------------------------ the GPU

static const int usual[][2] = {
    {1, 1024},   // threads of a block
    {2, 1024},   // block along x
    {3, 1024},   // block along y
    {4, 64},     // block along z
    {5, 0x7fffffff},
    {6, 65535},
    {7, 65535},
    {8, 49152},  // shared memory of a block
    {10, 32},    // warp
    {15, 1},     // overlap of copies and kernels
    {16, 16},    // multiprocessors
    {18, 0},     // INTEGRATED
    {19, 1},     // CAN_MAP_HOST_MEMORY
    {31, 1},     // concurrent kernels
    {40, 2},     // copy engines
    {41, 1},     // unified addressing
    {75, 8},     // compute capability
    {76, 7},
};

static void reset_attributes(void) {
    memset(attributes, 0, sizeof(attributes));
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); ++i) attributes[usual[i][0]] = usual[i][1];
    devices = 1;
    snprintf(gpu_name, sizeof(gpu_name), "%s", getenv("HOST_CUDA_NAME") ? getenv("HOST_CUDA_NAME") : "Host GPU");
}

__attribute__((constructor)) static void start(void) { reset_attributes(); }

int device_count(void) { return devices; }
const char *device_name(void) { return gpu_name; }
int attribute(int which) { return which > 0 && which < MOST_ATTRIBUTES ? attributes[which] : -1; }
void note_init(void) { initialised = 1; }
int was_initialised(void) { return initialised; }

// ------------------------------------------------------------------------------------------------ for tests

// Writes a name as it is documented: without the version that headers add to it.
static void documented(char *into, size_t bytes, const char *name) {
    snprintf(into, bytes, "%s", name);
    char *version = strrchr(into, '_');
    if (version && version[1] == 'v' && version[2] >= '2' && version[2] <= '9' && !version[3]) *version = 0;
}

// The n-th coming call of this name, 1 for the next, returns `code`. The running of queued work has the name of the
// call behind "run ". Returns 0 where there are too many plans.
int host_cuda_fail(const char *name, uint64_t n, int code) {
    int done = 0;
    pthread_mutex_lock(&gate);
    for (int i = 0; i < MOST_PLANS && !done; ++i) {
        if (plans[i].after) continue;
        documented(plans[i].name, sizeof(plans[i].name), name);
        plans[i].after = n;
        plans[i].code = code;
        done = 1;
    }
    pthread_mutex_unlock(&gate);
    return done;
}

// Returns how many planned failures have not happened.
int host_cuda_planned(void) {
    int count = 0;
    pthread_mutex_lock(&gate);
    for (int i = 0; i < MOST_PLANS; ++i) count += plans[i].after != 0;
    pthread_mutex_unlock(&gate);
    return count;
}

// Returns how often a call was made since the last reset.
uint64_t host_cuda_count(const char *name) {
    uint64_t count = 0;
    char wanted[sizeof(calls[0].name)];
    documented(wanted, sizeof(wanted), name);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < MOST_CALLS; ++i)
        if (!strcmp(calls[i].name, wanted)) count = calls[i].count;
    pthread_mutex_unlock(&gate);
    return count;
}

// Writes "name count" lines of all calls since the last reset; returns how many bytes that takes.
size_t host_cuda_calls(char *into, size_t bytes) {
    size_t used = 0;
    char line[96];
    pthread_mutex_lock(&gate);
    if (bytes) into[0] = 0;
    for (int i = 0; i < MOST_CALLS && calls[i].name[0]; ++i) {
        const size_t length =
            (size_t)snprintf(line, sizeof(line), "%s %llu\n", calls[i].name, (unsigned long long)calls[i].count);
        if (used + length < bytes) memcpy(into + used, line, length + 1);
        used += length;
    }
    pthread_mutex_unlock(&gate);
    return used;
}

// Writes the lines of misuse since the last reset; returns how many bytes that takes.
size_t host_cuda_misuses(char *into, size_t bytes) {
    pthread_mutex_lock(&gate);
    if (bytes) snprintf(into, bytes, "%s", notes_used ? notes : "");
    const size_t used = notes_used;
    pthread_mutex_unlock(&gate);
    return used;
}

// Returns how many objects of a kind live: "context", "memory", "pinned", "work" (pieces that are queued),
// "stream", "event", "module", "graph", "graph exec"; -1 for another word.
int64_t host_cuda_live(const char *kind) {
    int64_t count = 0;
    int known = 1;
    pthread_mutex_lock(&gate);
    if (!strcmp(kind, "memory") || !strcmp(kind, "pinned")) {
        count = memory_count(kind[0] == 'p');
    } else if (!strcmp(kind, "context")) {
        for (const Context *context = contexts; context; context = context->next) count += context->alive;
    } else if (!strcmp(kind, "work")) {
        for (Context *context = contexts; context; context = context->next) count += (int64_t)pending(context);
    } else {
        known = 0;
        for (int i = 0; i < OBJECT_KINDS; ++i) known |= !strcmp(kind, kind_name(i));
        for (const Context *context = contexts; context; context = context->next)
            for (const Object *object = context->objects; object; object = object->next)
                count += object->alive && !strcmp(kind, kind_name(object->kind));
    }
    pthread_mutex_unlock(&gate);
    return known ? count : -1;
}

// Sets a device attribute, by its number in CUdevice_attribute. Returns 0 where there is no such number.
int host_cuda_attribute(int which, int value) {
    if (which <= 0 || which >= MOST_ATTRIBUTES) return 0;
    pthread_mutex_lock(&gate);
    attributes[which] = value;
    pthread_mutex_unlock(&gate);
    return 1;
}

void host_cuda_name(const char *name) {
    pthread_mutex_lock(&gate);
    snprintf(gpu_name, sizeof(gpu_name), "%s", name);
    pthread_mutex_unlock(&gate);
}

// Sets the number of GPUs, 0 or 1.
void host_cuda_devices(int count) {
    pthread_mutex_lock(&gate);
    devices = count;
    pthread_mutex_unlock(&gate);
}

// 0 lazy, 1 others first, 2 immediate, 3 random; see work.c. Returns 0 for another number.
int host_cuda_schedule(int schedule, unsigned seed) {
    pthread_mutex_lock(&gate);
    const int done = set_schedule(schedule, seed);
    pthread_mutex_unlock(&gate);
    return done;
}

// Forgets notes, counts and plans, and makes schedule and GPU the usual ones. What lives goes on living.
void host_cuda_reset(void) {
    pthread_mutex_lock(&gate);
    memset(calls, 0, sizeof(calls));
    memset(plans, 0, sizeof(plans));
    notes_used = 0;
    notes[0] = 0;
    reset_attributes();
    set_schedule(0, 0);
    pthread_mutex_unlock(&gate);
}
