// Streams, events, and the calls that put copies, fills and foreign work on a stream.

#include <stdlib.h>
#include <string.h>

#include "host_cuda.h"

enum { NON_BLOCKING = 1, BLOCKING_SYNC = 1, DISABLE_TIMING = 2, EXTERNAL = 1 };

// Returns the stream that a handle names; null and 1 are the default stream of the current context.
Stream *stream_of(void *handle, const char *name, int *code) {
    if (!handle || handle == (void *)1) return current_context()->legacy;
    return find(STREAM, handle, name, code);
}

// ------------------------------------------------------------------------------------------------ streams

int cuStreamCreate(void **handle, unsigned flags) {
    const int code = begin("cuStreamCreate", IN_CONTEXT);
    if (code) return code;
    if (flags > NON_BLOCKING) return end(INVALID_VALUE);
    Stream *stream = (Stream *)new_object(STREAM, sizeof(Stream));
    stream->blocking = flags != NON_BLOCKING;
    *handle = stream->object.handle;
    return end(SUCCESS);
}

int cuStreamCreateWithPriority(void **handle, unsigned flags, int priority) {
    (void)priority;
    return cuStreamCreate(handle, flags);
}

// Work that is queued goes on, as on a GPU.
int cuStreamDestroy_v2(void *handle) {
    int code = begin("cuStreamDestroy", IN_CONTEXT | RELEASES);
    if (code) return code;
    Stream *stream = find(STREAM, handle, "cuStreamDestroy", &code);
    if (!stream) return end(code);
    if (stream->capture) {
        misuse("cuStreamDestroy: the stream is captured");
        invalidate(stream->capture, CAPTURE_INVALIDATED);
    }
    drop_object(&stream->object);
    return end(SUCCESS);
}

// What a wait for a stream, or a question to it, begins with.
static Stream *awaited(void *handle, const char *name, int *code) {
    *code = begin(name, IN_CONTEXT);
    if (*code) return NULL;
    Stream *stream = stream_of(handle, name, code);
    if (stream && stream->capture) {
        misuse("%s: the stream is captured", name);
        *code = invalidate(stream->capture, CAPTURE_UNSUPPORTED);
    }
    if (!*code) *code = capture_forbids(1);
    if (!*code) return stream;
    end(*code);
    return NULL;
}

int cuStreamSynchronize(void *handle) {
    int code;
    Stream *stream = awaited(handle, "cuStreamSynchronize", &code);
    return stream ? end(reach(stream, stream->queued)) : code;
}

int cuStreamQuery(void *handle) {
    int code;
    Stream *stream = awaited(handle, "cuStreamQuery", &code);
    if (!stream) return code;
    if (stream->done == stream->queued) return end(SUCCESS);
    move_once(stream, stream->queued);
    return end(NOT_READY);
}

// ------------------------------------------------------------------------------------------------ events

int cuEventCreate(void **handle, unsigned flags) {
    const int code = begin("cuEventCreate", IN_CONTEXT);
    if (code) return code;
    if (flags & ~(unsigned)(BLOCKING_SYNC | DISABLE_TIMING)) return end(INVALID_VALUE);
    Event *event = (Event *)new_object(EVENT, sizeof(Event));
    event->timed = !(flags & DISABLE_TIMING);
    *handle = event->object.handle;
    return end(SUCCESS);
}

int cuEventDestroy_v2(void *handle) {
    int code = begin("cuEventDestroy", IN_CONTEXT | RELEASES);
    if (code) return code;
    Event *event = find(EVENT, handle, "cuEventDestroy", &code);
    if (event) drop_object(&event->object);
    return end(code);
}

static int record(void *handle, void *on, unsigned flags, const char *name) {
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    Event *event = find(EVENT, handle, name, &code);
    Stream *stream = event ? stream_of(on, name, &code) : NULL;
    if (!stream) return end(code);
    if (flags & ~(unsigned)EXTERNAL) return end(INVALID_VALUE);
    Work work = {.kind = RECORD, .name = name, .event = event};
    if (flags & EXTERNAL) {
        if (stream->capture) return end(capture(stream, &work, 1));
        misuse("%s: CU_EVENT_RECORD_EXTERNAL outside of a capture", name);
        return end(INVALID_VALUE);
    }
    if (stream->capture) {
        if (stream->capture->invalid) return end(CAPTURE_INVALIDATED);
        event->capture = stream->capture->identity;
        event->tail = stream->tail;
        return end(SUCCESS);
    }
    event->capture = 0;
    work.version = ++event->version;
    event->recorded = (Need){stream, stream->queued};
    return end(enqueue(stream, &work, NULL));
}

int cuEventRecord(void *event, void *stream) { return record(event, stream, 0, "cuEventRecord"); }

int cuEventRecordWithFlags(void *event, void *stream, unsigned flags) {
    return record(event, stream, flags, "cuEventRecordWithFlags");
}

static Capture *capture_named(uint64_t identity) {
    Capture *one = captures;
    while (one && one->identity != identity) one = one->next;
    return one;
}

int cuStreamWaitEvent(void *handle, void *for_event, unsigned flags) {
    const char *name = "cuStreamWaitEvent";
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    Event *event = find(EVENT, for_event, name, &code);
    Stream *stream = event ? stream_of(handle, name, &code) : NULL;
    if (!stream) return end(code);
    if (flags & ~(unsigned)EXTERNAL) return end(INVALID_VALUE);
    Work work = {.kind = WAIT, .name = name, .event = event};
    if (flags & EXTERNAL) {
        if (stream->capture) return end(capture(stream, &work, 1));
        misuse("%s: CU_EVENT_WAIT_EXTERNAL outside of a capture", name);
        return end(INVALID_VALUE);
    }
    if (event->capture) {
        Capture *forked = capture_named(event->capture);
        if (!forked || stream == stream->object.context->legacy) {
            misuse("%s: the event was recorded in a capture that is over, or goes to the default stream", name);
            return end(CAPTURED_EVENT);
        }
        if (forked->invalid) return end(CAPTURE_INVALIDATED);
        if (stream->capture && stream->capture != forked) return end(invalidate(forked, CAPTURE_MERGE));
        if (!stream->capture) stream->tail = (NodeSet){{0}};
        stream->capture = forked;
        for (size_t i = 0; i < sizeof(NodeSet) / 8; ++i) stream->tail.words[i] |= event->tail.words[i];
        return end(SUCCESS);
    }
    if (stream->capture) {
        if (!event->recorded.stream) return end(SUCCESS);
        misuse("%s: a captured stream waits for an event from outside", name);
        return end(invalidate(stream->capture, CAPTURE_ISOLATION));
    }
    return end(event->recorded.stream ? enqueue(stream, &work, &event->recorded) : SUCCESS);
}

// Returns the event of a question or a wait, with the gate locked, else sets `code`.
static Event *asked(void *handle, const char *name, int *code) {
    *code = begin(name, IN_CONTEXT | UNSAFE);
    if (*code) return NULL;
    Event *event = find(EVENT, handle, name, code);
    if (event && event->capture) {
        misuse("%s: the event was last recorded in a capture", name);
        Capture *one = capture_named(event->capture);
        if (one) invalidate(one, CAPTURED_EVENT);
        *code = CAPTURED_EVENT;
    }
    if (!*code) return event;
    end(*code);
    return NULL;
}

int cuEventSynchronize(void *handle) {
    int code;
    Event *event = asked(handle, "cuEventSynchronize", &code);
    if (!event) return code;
    return end(event->recorded.stream ? reach(event->recorded.stream, event->recorded.index + 1) : SUCCESS);
}

int cuEventQuery(void *handle) {
    int code;
    Event *event = asked(handle, "cuEventQuery", &code);
    if (!event) return code;
    if (is_done(&event->recorded)) return end(SUCCESS);
    move_once(event->recorded.stream, event->recorded.index + 1);
    return end(NOT_READY);
}

int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
    const char *name = "cuEventElapsedTime";
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    Event *first = find(EVENT, from, name, &code);
    Event *second = first ? find(EVENT, to, name, &code) : NULL;
    if (!second) return end(code);
    if (first->capture || second->capture) {
        misuse("%s: an event was last recorded in a capture", name);
        return end(CAPTURED_EVENT);
    }
    if (!first->timed || !second->timed || !first->recorded.stream || !second->recorded.stream) {
        misuse("%s: an event %s", name, first->timed && second->timed ? "was never recorded" : "takes no time");
        return end(INVALID_HANDLE);
    }
    if (!is_done(&first->recorded) || !is_done(&second->recorded)) return end(NOT_READY);
    *milliseconds = (float)((double)(second->time_ns - first->time_ns) * 1e-6);
    return end(SUCCESS);
}

int cuEventElapsedTime_v2(float *milliseconds, void *from, void *to) {
    return cuEventElapsedTime(milliseconds, from, to);
}

// ------------------------------------------------------------------------------------------------ copies and fills

typedef enum { TO_DEVICE = 1, FROM_DEVICE = 2, BLOCKS = 4 } CopyHow;

static int check_copy(Work *work, int *pageable) {
    int one = 0, other = 0;
    int code = work->to_device ? check_device(work->name, "the target", (uintptr_t)work->to, work->bytes)
                               : check_host(work->name, "the target", work->to, work->bytes, &one);
    if (!code)
        code = work->from_device ? check_device(work->name, "the source", (uintptr_t)work->from, work->bytes)
                                 : check_host(work->name, "the source", work->from, work->bytes, &other);
    *pageable = one || other;
    return code;
}

// A copy from pageable memory reads it at once; one to pageable memory is done when the call returns.
// Source: CUDA Driver API, "API synchronization behavior".
static int copy(void *on, uintptr_t to, uintptr_t from, size_t bytes, int manner, const char *name) {
    int code = begin(name, IN_CONTEXT | (manner & BLOCKS ? UNSAFE : 0));
    if (code) return code;
    Stream *stream = stream_of(on, name, &code);
    if (!stream) return end(code);
    if (!bytes) return end(SUCCESS);
    Work work = {.kind = COPY, .name = name, .to = (void *)to, .from = (const void *)from, .bytes = bytes,
                 .to_device = manner & TO_DEVICE, .from_device = manner & FROM_DEVICE};
    int pageable;
    code = check_copy(&work, &pageable);
    if (code) return end(code);
    const int waits = manner & BLOCKS || (pageable && !work.to_device && !stream->capture);
    if (pageable && work.to_device && !stream->capture) {
        work.staged = malloc(bytes);
        memcpy(work.staged, work.from, bytes);
    }
    code = enqueue(stream, &work, NULL);
    if (code) free(work.staged);
    return end(code || !waits ? code : reach(stream, stream->queued));
}

int cuMemcpyHtoD_v2(uintptr_t to, const void *from, size_t bytes) {
    return copy(NULL, to, (uintptr_t)from, bytes, TO_DEVICE | BLOCKS, "cuMemcpyHtoD");
}

int cuMemcpyDtoH_v2(void *to, uintptr_t from, size_t bytes) {
    return copy(NULL, (uintptr_t)to, from, bytes, FROM_DEVICE | BLOCKS, "cuMemcpyDtoH");
}

int cuMemcpyDtoD_v2(uintptr_t to, uintptr_t from, size_t bytes) {
    return copy(NULL, to, from, bytes, TO_DEVICE | FROM_DEVICE, "cuMemcpyDtoD");
}

int cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, void *stream) {
    return copy(stream, to, (uintptr_t)from, bytes, TO_DEVICE, "cuMemcpyHtoDAsync");
}

int cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, void *stream) {
    return copy(stream, (uintptr_t)to, from, bytes, FROM_DEVICE, "cuMemcpyDtoHAsync");
}

int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void *stream) {
    return copy(stream, to, from, bytes, TO_DEVICE | FROM_DEVICE, "cuMemcpyDtoDAsync");
}

static int fill(void *on, uintptr_t to, unsigned value, unsigned width, size_t count, const char *name) {
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    Stream *stream = stream_of(on, name, &code);
    if (!stream) return end(code);
    if (to % width) return end(INVALID_VALUE);
    Work work = {.kind = FILL, .name = name, .to = (void *)to, .bytes = count * width, .to_device = 1,
                 .value = value, .width = width};
    code = check_device(name, "the target", to, work.bytes);
    return end(code ? code : enqueue(stream, &work, NULL));
}

int cuMemsetD8_v2(uintptr_t to, unsigned char value, size_t count) {
    return fill(NULL, to, value, 1, count, "cuMemsetD8");
}

int cuMemsetD32_v2(uintptr_t to, unsigned value, size_t count) { return fill(NULL, to, value, 4, count, "cuMemsetD32"); }

int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t count, void *stream) {
    return fill(stream, to, value, 1, count, "cuMemsetD8Async");
}

int cuMemsetD32Async(uintptr_t to, unsigned value, size_t count, void *stream) {
    return fill(stream, to, value, 4, count, "cuMemsetD32Async");
}

// ------------------------------------------------------------------------------------------------ foreign work

static int call_later(void *on, void (*function)(void *), void *argument, const char *name) {
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    Stream *stream = stream_of(on, name, &code);
    if (!stream) return end(code);
    Work work = {.kind = FOREIGN, .name = name, .foreign = function, .argument = argument};
    return end(function ? enqueue(stream, &work, NULL) : INVALID_VALUE);
}

int cuLaunchHostFunc(void *stream, void (*function)(void *), void *argument) {
    return call_later(stream, function, argument, "cuLaunchHostFunc");
}

// Queues work that another library does on the device, such as TensorRT's; it may be captured, and then runs at
// every launch. The function is called without any lock held.
int host_cuda_enqueue(void *stream, void (*function)(void *), void *argument) {
    return call_later(stream, function, argument, "host_cuda_enqueue");
}
