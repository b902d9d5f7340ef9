// Initialisation, the device, contexts with a stack in each thread, and the objects that belong to a context.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_cuda.h"

enum { DEEPEST = 64, DRIVER_VERSION = 13000 };

Context *contexts;

static _Thread_local Context *stack[DEEPEST];
static _Thread_local int depth;

Context *current_context(void) { return depth ? stack[depth - 1] : NULL; }

static Context *context_of(void *handle, const char *name, int *code) {
    for (Context *context = contexts; context; context = context->next) {
        if (context->handle != handle) continue;
        *code = context->alive ? SUCCESS : CONTEXT_IS_DESTROYED;
        if (!context->alive) misuse("%s: the context was destroyed", name);
        return context->alive ? context : NULL;
    }
    misuse("%s: %p is no context", name, handle);
    *code = INVALID_CONTEXT;
    return NULL;
}

// ------------------------------------------------------------------------------------------------ objects

const char *kind_name(int kind) {
    static const char *const names[] = {"stream", "event", "module", "graph", "graph exec"};
    return kind >= 0 && kind < OBJECT_KINDS ? names[kind] : "object";
}

// Makes an object of the current context, whose struct takes `bytes` and begins with an Object.
Object *new_object(ObjectKind kind, size_t bytes) {
    Object *object = calloc(1, bytes);
    object->handle = new_handle();
    object->kind = kind;
    object->alive = 1;
    object->context = current_context();
    object->next = object->context->objects;
    object->context->objects = object;
    return object;
}

// Returns the living object of the current context that a handle names, or sets `code` and notes why not.
void *find(ObjectKind kind, void *handle, const char *name, int *code) {
    for (Context *context = contexts; context; context = context->next)
        for (Object *object = context->objects; object; object = object->next) {
            if (object->handle != handle) continue;
            *code = INVALID_HANDLE;
            if (object->kind != kind)
                misuse("%s: a %s was given for a %s", name, kind_name(object->kind), kind_name(kind));
            else if (!object->alive)
                misuse("%s: the %s was destroyed", name, kind_name(kind));
            else if (context != current_context())
                misuse("%s: the %s belongs to another context than the current one", name, kind_name(kind));
            else
                *code = SUCCESS;
            return *code ? NULL : object;
        }
    if (was_a_handle(handle))
        misuse("%s: the %s was destroyed with its context", name, kind_name(kind));
    else
        misuse("%s: %p is no %s", name, handle, kind_name(kind));
    *code = INVALID_HANDLE;
    return NULL;
}

// Makes an object dead; its memory stays with the context, since queued work may name it.
void drop_object(Object *object) { object->alive = 0; }

static void free_object(Object *object) {
    if (object->kind == MODULE) free_functions((Module *)object);
    if (object->kind == GRAPH || object->kind == GRAPH_EXEC) free_graph((Graph *)object);
    free(object);
}

// ------------------------------------------------------------------------------------------------ contexts

static Context *new_context(unsigned flags, int primary) {
    Context *context = calloc(1, sizeof(Context));
    context->handle = new_handle();
    context->alive = context->users = 1;
    context->primary = primary;
    context->flags = flags;
    context->legacy = calloc(1, sizeof(Stream));
    context->legacy->object.context = context;
    context->legacy->object.alive = 1;
    context->next = contexts;
    contexts = context;
    return context;
}

static void destroy(Context *context, const char *name) {
    const uint64_t queued = pending(context);
    if (queued) misuse("%s: %llu pieces of work were not done", name, (unsigned long long)queued);
    int living[OBJECT_KINDS] = {0}, memories[2] = {0};
    for (const Object *object = context->objects; object; object = object->next) living[object->kind] += object->alive;
    for (const Memory *memory = context->memories; memory; memory = memory->next) ++memories[memory->pinned];
    for (int kind = 0; kind < OBJECT_KINDS; ++kind)
        if (living[kind]) misuse("%s: %d of kind %s still lived", name, living[kind], kind_name(kind));
    if (memories[0]) misuse("%s: %d of kind memory still lived", name, memories[0]);
    if (memories[1]) misuse("%s: %d of kind pinned still lived", name, memories[1]);
    context->alive = 0;
    // Work that another thread is running now names objects: then they stay for good.
    int busy = context->legacy->running;
    for (const Object *object = context->objects; object; object = object->next)
        if (object->kind == STREAM) busy |= ((const Stream *)object)->running;
    if (busy) {
        misuse("%s: another thread was running work of the context", name);
        return;
    }
    drop_captures(context);
    drop_work(context);
    while (context->objects) {
        Object *object = context->objects;
        context->objects = object->next;
        free_object(object);
    }
    free_memories(context);
    free(context->legacy);
    context->legacy = NULL;
}

static int create(void **made, unsigned flags, int device) {
    if (device < 0 || device >= device_count()) return INVALID_DEVICE;
    if (depth == DEEPEST) return INVALID_VALUE;
    Context *context = new_context(flags, 0);
    stack[depth++] = context;
    *made = context->handle;
    return SUCCESS;
}

int cuCtxCreate_v2(void **made, unsigned flags, int device) {
    const int code = begin("cuCtxCreate", 0);
    return code ? code : end(create(made, flags, device));
}

int cuCtxCreate_v3(void **made, void *affinity, int count, unsigned flags, int device) {
    (void)affinity, (void)count;
    return cuCtxCreate_v2(made, flags, device);
}

int cuCtxCreate_v4(void **made, void *parameters, unsigned flags, int device) {
    (void)parameters;
    return cuCtxCreate_v2(made, flags, device);
}

int cuCtxDestroy_v2(void *handle) {
    int code = begin("cuCtxDestroy", RELEASES);
    if (code) return code;
    Context *context = context_of(handle, "cuCtxDestroy", &code);
    if (!context) return end(code);
    if (context->primary) {
        misuse("cuCtxDestroy: the primary context is released, not destroyed");
        return end(INVALID_CONTEXT);
    }
    destroy(context, "cuCtxDestroy");
    if (current_context() == context) --depth;
    return end(SUCCESS);
}

int cuCtxAttach(void **made, unsigned flags) {
    const int code = begin("cuCtxAttach", IN_CONTEXT);
    if (code) return code;
    if (flags) return end(INVALID_VALUE);
    ++current_context()->users;
    *made = current_context()->handle;
    return end(SUCCESS);
}

int cuCtxDetach(void *handle) {
    int code = begin("cuCtxDetach", RELEASES);
    if (code) return code;
    Context *context = context_of(handle, "cuCtxDetach", &code);
    if (!context) return end(code);
    if (context != current_context()) {
        misuse("cuCtxDetach: the context is not current in this thread");
        return end(INVALID_CONTEXT);
    }
    if (!--context->users) {
        destroy(context, "cuCtxDetach");
        --depth;
    }
    return end(SUCCESS);
}

int cuCtxPushCurrent_v2(void *handle) {
    int code = begin("cuCtxPushCurrent", 0);
    if (code) return code;
    Context *context = context_of(handle, "cuCtxPushCurrent", &code);
    if (!context) return end(code);
    if (depth == DEEPEST) return end(INVALID_VALUE);
    stack[depth++] = context;
    return end(SUCCESS);
}

int cuCtxPopCurrent_v2(void **popped) {
    const int code = begin("cuCtxPopCurrent", 0);
    if (code) return code;
    if (!depth) {
        misuse("cuCtxPopCurrent: no context is current in this thread");
        return end(INVALID_CONTEXT);
    }
    --depth;
    if (popped) *popped = stack[depth]->handle;
    return end(SUCCESS);
}

int cuCtxSetCurrent(void *handle) {
    int code = begin("cuCtxSetCurrent", 0);
    if (code) return code;
    Context *context = handle ? context_of(handle, "cuCtxSetCurrent", &code) : NULL;
    if (code) return end(code);
    if (depth) --depth;
    if (context) stack[depth++] = context;
    return end(SUCCESS);
}

int cuCtxGetCurrent(void **handle) {
    const int code = begin("cuCtxGetCurrent", 0);
    if (code) return code;
    *handle = depth ? stack[depth - 1]->handle : NULL;
    return end(SUCCESS);
}

int cuCtxGetDevice(int *device) {
    const int code = begin("cuCtxGetDevice", IN_CONTEXT);
    if (code) return code;
    *device = 0;
    return end(SUCCESS);
}

int cuCtxGetFlags(unsigned *flags) {
    const int code = begin("cuCtxGetFlags", IN_CONTEXT);
    if (code) return code;
    *flags = current_context()->flags;
    return end(SUCCESS);
}

int cuCtxGetApiVersion(void *handle, unsigned *version) {
    int code = begin("cuCtxGetApiVersion", 0);
    if (code) return code;
    if (handle) context_of(handle, "cuCtxGetApiVersion", &code);
    *version = DRIVER_VERSION;
    return end(code);
}

int cuCtxSynchronize(void) {
    int code = begin("cuCtxSynchronize", IN_CONTEXT);
    if (code) return code;
    Context *context = current_context();
    for (Capture *one = captures; one; one = one->next)
        if (one->context == context) code = invalidate(one, CAPTURE_UNSUPPORTED);
    return end(code ? code : reach_all(context));
}

static Context *primary;

int cuDevicePrimaryCtxRetain(void **handle, int device) {
    const int code = begin("cuDevicePrimaryCtxRetain", 0);
    if (code) return code;
    if (device < 0 || device >= device_count()) return end(INVALID_DEVICE);
    if (primary)
        ++primary->users;
    else
        primary = new_context(0, 1);
    *handle = primary->handle;
    return end(SUCCESS);
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    const int code = begin("cuDevicePrimaryCtxRelease", RELEASES);
    if (code) return code;
    if (device < 0 || device >= device_count()) return end(INVALID_DEVICE);
    if (!primary) {
        misuse("cuDevicePrimaryCtxRelease: the primary context is not retained");
        return end(INVALID_CONTEXT);
    }
    if (!--primary->users) {
        destroy(primary, "cuDevicePrimaryCtxRelease");
        primary = NULL;
    }
    return end(SUCCESS);
}

// ------------------------------------------------------------------------------------------------ the device

int cuInit(unsigned flags) {
    const int code = begin("cuInit", BEFORE_INIT);
    if (code) return code;
    if (flags) return end(INVALID_VALUE);
    if (!device_count()) return end(NO_DEVICE);
    note_init();
    return end(SUCCESS);
}

int cuDriverGetVersion(int *version) {
    const int code = begin("cuDriverGetVersion", BEFORE_INIT);
    if (code) return code;
    *version = DRIVER_VERSION;
    return end(SUCCESS);
}

int cuDeviceGetCount(int *count) {
    const int code = begin("cuDeviceGetCount", 0);
    if (code) return code;
    *count = device_count();
    return end(SUCCESS);
}

int cuDeviceGet(int *device, int ordinal) {
    const int code = begin("cuDeviceGet", 0);
    if (code) return code;
    *device = ordinal;
    return end(ordinal < 0 || ordinal >= device_count() ? INVALID_DEVICE : SUCCESS);
}

int cuDeviceGetName(char *name, int bytes, int device) {
    const int code = begin("cuDeviceGetName", 0);
    if (code) return code;
    if (device < 0 || device >= device_count()) return end(INVALID_DEVICE);
    snprintf(name, (size_t)bytes, "%s", device_name());
    return end(SUCCESS);
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    const int code = begin("cuDeviceTotalMem", 0);
    if (code) return code;
    *bytes = (size_t)8 << 30;
    return end(device < 0 || device >= device_count() ? INVALID_DEVICE : SUCCESS);
}

int cuDeviceGetAttribute(int *value, int which, int device) {
    const int code = begin("cuDeviceGetAttribute", 0);
    if (code) return code;
    if (device < 0 || device >= device_count()) return end(INVALID_DEVICE);
    *value = attribute(which);
    return end(*value < 0 ? INVALID_VALUE : SUCCESS);
}

int cuDeviceComputeCapability(int *major, int *minor, int device) {
    const int code = begin("cuDeviceComputeCapability", 0);
    if (code) return code;
    *major = attribute(75);
    *minor = attribute(76);
    return end(device < 0 || device >= device_count() ? INVALID_DEVICE : SUCCESS);
}

int cuDeviceGetPCIBusId(char *name, int bytes, int device) {
    const int code = begin("cuDeviceGetPCIBusId", 0);
    if (code) return code;
    snprintf(name, (size_t)bytes, "0000:01:00.0");
    return end(device < 0 || device >= device_count() ? INVALID_DEVICE : SUCCESS);
}
