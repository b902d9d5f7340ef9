// Modules and kernels. Whatever image is loaded, its kernels are those of edge/runtime/cuda/kernels.cu, compiled for
// the host together with tests/edge/runtime/cuda/host_grid.cpp; $HOST_CUDA_KERNELS is that library.

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_cuda.h"

static int (*host_signature)(const char *, char *);
static int (*host_launch)(const char *, const unsigned *, const unsigned *, void **);
static pthread_mutex_t grid_gate = PTHREAD_MUTEX_INITIALIZER;  // the grid's threads are global variables

// dlsym gives a pointer to data; C has no other way to make a function of it.
static void load_symbol(void *library, const char *name, void *into) {
    void *symbol = library ? dlsym(library, name) : NULL;
    memcpy(into, &symbol, sizeof(symbol));
}

static int load_library(void) {
    if (host_launch) return SUCCESS;
    const char *path = getenv("HOST_CUDA_KERNELS");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    load_symbol(library, "host_signature", &host_signature);
    load_symbol(library, "host_launch", &host_launch);
    if (host_signature && host_launch) return SUCCESS;
    misuse("cuModuleLoadData: HOST_CUDA_KERNELS is no library of kernels: %s", path ? path : "not set");
    return FILE_NOT_FOUND;
}

static int load(void **handle, const void *image, const char *name) {
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    if (!image) return end(INVALID_VALUE);
    code = load_library();
    if (code) return end(code);
    *handle = new_object(MODULE, sizeof(Module))->handle;
    return end(SUCCESS);
}

int cuModuleLoadData(void **handle, const void *image) { return load(handle, image, "cuModuleLoadData"); }

int cuModuleLoadDataEx(void **handle, const void *image, unsigned count, int *options, void **values) {
    (void)count, (void)options, (void)values;
    return load(handle, image, "cuModuleLoadDataEx");
}

int cuModuleUnload(void *handle) {
    int code = begin("cuModuleUnload", IN_CONTEXT | RELEASES);
    if (code) return code;
    Module *module = find(MODULE, handle, "cuModuleUnload", &code);
    if (module) drop_object(&module->object);
    return end(code);
}

void free_functions(Module *module) {
    while (module->functions) {
        Function *function = module->functions;
        module->functions = function->next;
        free(function);
    }
}

int cuModuleGetFunction(void **handle, void *of, const char *name) {
    int code = begin("cuModuleGetFunction", IN_CONTEXT);
    if (code) return code;
    Module *module = find(MODULE, of, "cuModuleGetFunction", &code);
    if (!module) return end(code);
    Function made = {.module = module};
    if (strlen(name) >= sizeof(made.name) || !host_signature(name, made.letters)) return end(NOT_FOUND);
    Function *function = module->functions;
    while (function && strcmp(function->name, name)) function = function->next;
    if (!function) {
        snprintf(made.name, sizeof(made.name), "%s", name);
        made.next = module->functions;
        function = malloc(sizeof(Function));
        *function = made;
        module->functions = function;
    }
    *handle = function;
    return end(SUCCESS);
}

static Function *find_function(void *handle, const char *name, int *code) {
    *code = INVALID_HANDLE;
    for (Context *context = contexts; context; context = context->next)
        for (Object *object = context->objects; object; object = object->next) {
            if (object->kind != MODULE) continue;
            for (Function *function = ((Module *)object)->functions; function; function = function->next) {
                if (function != handle) continue;
                if (!object->alive)
                    misuse("%s: the module of %s was unloaded", name, function->name);
                else if (context != current_context())
                    misuse("%s: %s belongs to another context than the current one", name, function->name);
                else
                    *code = SUCCESS;
                return *code ? NULL : function;
            }
        }
    misuse("%s: %p is no function", name, handle);
    return NULL;
}

// pycuda still says the block twice; what counts is what cuLaunchKernel is given.
int cuFuncSetBlockShape(void *handle, int x, int y, int z) {
    int code = begin("cuFuncSetBlockShape", IN_CONTEXT);
    if (code) return code;
    find_function(handle, "cuFuncSetBlockShape", &code);
    return end(!code && (x < 1 || y < 1 || z < 1) ? INVALID_VALUE : code);
}

int cuFuncSetSharedSize(void *handle, unsigned bytes) {
    int code = begin("cuFuncSetSharedSize", IN_CONTEXT);
    if (code) return code;
    find_function(handle, "cuFuncSetSharedSize", &code);
    return end(!code && bytes > (unsigned)attribute(8) ? INVALID_VALUE : code);
}

static size_t size_of(char letter) { return letter == 'P' || letter == 'q' ? 8 : 4; }

// Reads the arguments from `parameters`, an address each, or from one packed buffer in `extra`.
static int read_arguments(Work *work, void **parameters, void **extra) {
    const char *letters = work->function->letters;
    const unsigned char *packed = NULL;
    size_t packed_bytes = 0, at = 0;
    if (strlen(letters) > MOST_ARGUMENTS || (parameters != NULL) == (extra != NULL)) return INVALID_VALUE;
    for (; extra && *extra; extra += 2) {
        if (*extra == (void *)1) packed = extra[1];
        if (*extra == (void *)2) packed_bytes = *(size_t *)extra[1];
    }
    if (!parameters && !packed) return INVALID_VALUE;
    for (int i = 0; letters[i]; ++i) {
        const size_t size = size_of(letters[i]);
        at = (at + size - 1) / size * size;
        if (!packed || at + size <= packed_bytes)
            memcpy(&work->arguments[i], packed ? packed + at : parameters[i], size);
        at += size;
    }
    if (packed && at != packed_bytes) {
        misuse("cuLaunchKernel: %s has arguments %s, %zu bytes were given", work->function->name, letters, packed_bytes);
        return INVALID_VALUE;
    }
    return SUCCESS;
}

static int check_pointers(const Work *work) {
    char role[96];
    for (int i = 0; work->function->letters[i]; ++i) {
        if (work->function->letters[i] != 'P') continue;
        snprintf(role, sizeof(role), "argument %d of %s", i, work->function->name);
        const int code = check_device(work->name, role, (uintptr_t)work->arguments[i], 1);
        if (code) return code;
    }
    return SUCCESS;
}

int cuLaunchKernel(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, void *on, void **parameters,
                   void **extra) {
    int code = begin("cuLaunchKernel", IN_CONTEXT);
    if (code) return code;
    Function *function = find_function(handle, "cuLaunchKernel", &code);
    Stream *stream = function ? stream_of(on, "cuLaunchKernel", &code) : NULL;
    if (!stream) return end(code);
    Work work = {.kind = KERNEL, .name = "cuLaunchKernel", .function = function};
    const unsigned grid[] = {grid_x, grid_y, grid_z}, block[] = {block_x, block_y, block_z};
    memcpy(work.grid, grid, sizeof(grid));
    memcpy(work.block, block, sizeof(block));
    const unsigned long long threads = (unsigned long long)block_x * block_y * block_z;
    const int fits = grid_x && grid_y && grid_z == 1 && threads && threads <= (unsigned)attribute(1) && block_z == 1 &&
                     grid_y <= (unsigned)attribute(6) && shared_bytes <= (unsigned)attribute(8);
    if (!fits) {
        misuse("cuLaunchKernel: %s on a grid that this GPU cannot run", function->name);
        return end(INVALID_VALUE);
    }
    code = read_arguments(&work, parameters, extra);
    if (!code) code = check_pointers(&work);
    return end(code ? code : enqueue(stream, &work, NULL));
}

// Runs a grid with the gate open. What it wrote beyond its memory is seen by the guards.
int run_kernel(const Work *work) {
    void *addresses[MOST_ARGUMENTS];
    uint64_t arguments[MOST_ARGUMENTS];
    if (!work->function->module->object.alive) {
        misuse("%s: the module of %s was unloaded before it ran", work->name, work->function->name);
        return ILLEGAL_ADDRESS;
    }
    if (check_pointers(work)) return ILLEGAL_ADDRESS;
    memcpy(arguments, work->arguments, sizeof(arguments));
    for (int i = 0; i < MOST_ARGUMENTS; ++i) addresses[i] = &arguments[i];
    pthread_mutex_unlock(&gate);
    pthread_mutex_lock(&grid_gate);
    const int known = host_launch(work->function->name, work->grid, work->block, addresses);
    pthread_mutex_unlock(&grid_gate);
    pthread_mutex_lock(&gate);
    for (int i = 0; work->function->letters[i]; ++i) {
        if (work->function->letters[i] != 'P') continue;
        const Memory *memory = memory_at(work->function->module->object.context, (uintptr_t)work->arguments[i]);
        if (!memory || guards_hold(memory)) continue;
        misuse("%s: %s wrote beyond an end of argument %d", work->name, work->function->name, i);
        return ILLEGAL_ADDRESS;
    }
    return known ? SUCCESS : LAUNCH_FAILED;
}
