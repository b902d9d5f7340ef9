// Queues of work, and who runs them when.
//
// A piece of work runs in the thread that waits for it, with the gate open, since foreign work may need a lock
// (Python's) that others hold. Schedules:
//   0 lazy: only what the awaited piece needs. A wait that is missing shows: the data is not there yet.
//   1 others first: before each piece of the awaited stream, everything else that may run. Memory that is used
//     again too early shows.
//   2 immediate: at once, as on a GPU with nothing else to do.
//   3 random: at each call some pieces that may run, drawn from a seed.

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host_cuda.h"

enum { LAZY, OTHERS_FIRST, IMMEDIATE, RANDOM, SCHEDULES };

static int how = LAZY;
static uint64_t random_state = 1;

int set_schedule(int wanted, unsigned seed) {
    if (wanted < 0 || wanted >= SCHEDULES) return 0;
    how = wanted;
    random_state = seed + 1;
    for (int i = 0; i < 3; ++i) random_state = (random_state ^ random_state >> 30) * 0xbf58476d1ce4e5b9u + 0x9e3779b9u;
    return 1;
}

int schedule(void) { return how; }

// A number below `below`. Source: Marsaglia, "Xorshift RNGs".
unsigned drawn(unsigned below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % below;
}

int is_done(const Need *need) { return !need->stream || need->stream->done > need->index; }

static int runs_next(const Stream *stream) {
    if (!stream->first || stream->running) return 0;
    for (int i = 0; i < stream->first->need_count; ++i)
        if (!is_done(&stream->first->needs[i])) return 0;
    return 1;
}

// ------------------------------------------------------------------------------------------------ running

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// What was alive when the work was queued may be gone.
static int copy_or_fill(const Work *work) {
    int pageable;
    const char *name = work->name;
    int code = work->to_device ? check_device(name, "the target", (uintptr_t)work->to, work->bytes)
                               : check_host(name, "the target", work->to, work->bytes, &pageable);
    if (!code && work->kind == COPY && !work->staged)
        code = work->from_device ? check_device(name, "the source", (uintptr_t)work->from, work->bytes)
                                 : check_host(name, "the source", work->from, work->bytes, &pageable);
    if (code) return ILLEGAL_ADDRESS;
    if (work->kind == COPY) {
        memmove(work->to, work->staged ? work->staged : work->from, work->bytes);
        return SUCCESS;
    }
    for (size_t at = 0; at < work->bytes; at += work->width) memcpy(work->to + at, &work->value, work->width);
    return SUCCESS;
}

static int perform(const Work *work) {
    char name[64] = "run ";
    int code = planned(strncat(name, work->name, sizeof(name) - 5));
    if (code) return code;
    switch (work->kind) {
        case COPY:
        case FILL:
            return copy_or_fill(work);
        case KERNEL:
            return run_kernel(work);
        case FOREIGN:
            pthread_mutex_unlock(&gate);
            work->foreign(work->argument);
            pthread_mutex_lock(&gate);
            return SUCCESS;
        case RECORD:
            if (work->event->object.alive && work->version > work->event->ran) {
                work->event->ran = work->version;
                work->event->time_ns = now_ns();
            }
            return SUCCESS;
        default:
            return SUCCESS;
    }
}

static void free_item(Item *item) {
    free(item->work.staged);
    free(item->needs);
    free(item);
}

// Runs the first piece of a stream, whose needs are met. Work is checked as if its context were current.
static void run_first(Stream *stream) {
    Context *context = stream->object.context;
    Item *item = stream->first;
    stream->running = 1;
    stream->runner = pthread_self();
    if (!context->fault) {
        const int code = perform(&item->work);
        if (code && !context->fault) context->fault = code;
    }
    stream->first = item->next;
    if (!stream->first) stream->last = NULL;
    ++stream->done;
    stream->running = 0;
    free_item(item);
    pthread_cond_broadcast(&moved);
}

// Calls `each` for the default stream and all others, newest first, until one says 1; returns that one.
static Stream *first_stream(Context *context, int (*each)(const Stream *), const Stream *except) {
    for (Object *object = context->objects; object; object = object->next)
        if (object->kind == STREAM && (Stream *)object != except && each((Stream *)object)) return (Stream *)object;
    return context->legacy != except && each(context->legacy) ? context->legacy : NULL;
}

static int is_busy(const Stream *stream) { return stream->first != NULL; }

static void run_others(Context *context, const Stream *except) {
    Stream *stream;
    while ((stream = first_stream(context, runs_next, except))) run_first(stream);
}

static Stream *drawn_stream(Context *context) {
    Stream *chosen = NULL;
    unsigned seen = 0;
    for (Object *object = context->objects; object; object = object->next)
        if (object->kind == STREAM && runs_next((Stream *)object) && drawn(++seen) == 0) chosen = (Stream *)object;
    if (runs_next(context->legacy) && drawn(++seen) == 0) chosen = context->legacy;
    return chosen;
}

// Each piece is run with a chance of one in `odds`.
static void run_some(Context *context, unsigned odds) {
    Stream *stream;
    while (drawn(odds) == 0 && (stream = drawn_stream(context))) run_first(stream);
}

// Runs what `count` pieces of the stream need to be done; other streams as the schedule says. Must not be called
// for a stream whose work this thread is running.
int reach(Stream *stream, uint64_t count) {
    Context *context = stream->object.context;
    while (stream->done < count) {
        if (how == OTHERS_FIRST) run_others(context, stream);
        if (how == RANDOM) run_some(context, 2);
        if (stream->done >= count) break;
        if (stream->running) {
            if (pthread_equal(stream->runner, pthread_self())) {
                misuse("work waits for the stream that it runs on");
                return ILLEGAL_STATE;
            }
            pthread_cond_wait(&moved, &gate);
            continue;
        }
        Need *unmet = NULL;
        for (int i = 0; i < stream->first->need_count && !unmet; ++i)
            if (!is_done(&stream->first->needs[i])) unmet = &stream->first->needs[i];
        if (!unmet) {
            run_first(stream);
            continue;
        }
        const Need need = *unmet;
        const int code = reach(need.stream, need.index + 1);
        if (code) return code;
    }
    return context->fault;
}

int reach_all(Context *context) {
    Stream *stream;
    while ((stream = first_stream(context, is_busy, NULL))) {
        const int code = reach(stream, stream->queued);
        if (code) return code;
    }
    return context->fault;
}

// Runs one piece on the way to `count`, if that needs no waiting: who asks again and again gets there.
void move_once(Stream *stream, uint64_t count) {
    while (stream->done < count && !stream->running) {
        if (runs_next(stream)) {
            run_first(stream);
            return;
        }
        Need *unmet = stream->first->needs;
        while (is_done(unmet)) ++unmet;
        count = unmet->index + 1;
        stream = unmet->stream;
    }
}

// ------------------------------------------------------------------------------------------------ queueing

static void add_need(Item *item, Stream *stream, uint64_t count) {
    const Need need = {stream, count - 1};
    if (!count || is_done(&need)) return;
    item->needs = realloc(item->needs, sizeof(Need) * (size_t)(item->need_count + 1));
    item->needs[item->need_count++] = need;
}

int enqueue_now(Stream *stream, Work *work, const Need *needs, int need_count) {
    Context *context = stream->object.context;
    Item *item = calloc(1, sizeof(Item));
    item->work = *work;
    for (int i = 0; i < need_count; ++i)
        if (needs[i].stream) add_need(item, needs[i].stream, needs[i].index + 1);
    if (stream == context->legacy) {
        for (Object *object = context->objects; object; object = object->next)
            if (object->kind == STREAM && ((Stream *)object)->blocking)
                add_need(item, (Stream *)object, ((Stream *)object)->queued);
    } else if (stream->blocking) {
        add_need(item, context->legacy, context->legacy->queued);
    }
    if (stream->last)
        stream->last->next = item;
    else
        stream->first = item;
    stream->last = item;
    ++stream->queued;
    if (how == IMMEDIATE) run_others(context, NULL);
    if (how == RANDOM) run_some(context, 4);
    return SUCCESS;
}

// Puts work on a stream, or into the graph that is captured there.
int enqueue(Stream *stream, Work *work, const Need *need) {
    Context *context = stream->object.context;
    if (stream->capture) return capture(stream, work, 0);
    if (stream == context->legacy)
        for (Object *object = context->objects; object; object = object->next)
            if (object->kind == STREAM && ((Stream *)object)->blocking && ((Stream *)object)->capture) {
                misuse("%s: on the default stream while a stream that waits for it is captured", work->name);
                return invalidate(((Stream *)object)->capture, CAPTURE_IMPLICIT);
            }
    return enqueue_now(stream, work, need, need ? 1 : 0);
}

static int touches(const Work *work, const Memory *memory) {
    const uintptr_t start = (uintptr_t)memory->address;
    switch (work->kind) {
        case FOREIGN:
            return 1;  // nobody knows
        case COPY:
            if (!work->staged && (uintptr_t)work->from - start < memory->bytes) return 1;
            return (uintptr_t)work->to - start < memory->bytes;
        case FILL:
            return (uintptr_t)work->to - start < memory->bytes;
        case KERNEL:
            for (int i = 0; work->function->letters[i]; ++i)
                if (work->function->letters[i] == 'P' && work->arguments[i] - start < memory->bytes) return 1;
            return 0;
        default:
            return 0;
    }
}

static int queue_touches(const Stream *stream, const Memory *memory) {
    for (const Item *item = stream->first; item; item = item->next)
        if (touches(&item->work, memory)) return 1;
    return 0;
}

// Says whether queued work of a context uses the memory, or may do so; after a fault nothing more is run.
int uses(Context *context, const Memory *memory) {
    if (context->fault) return 0;
    for (const Object *object = context->objects; object; object = object->next)
        if (object->kind == STREAM && queue_touches((const Stream *)object, memory)) return 1;
    return queue_touches(context->legacy, memory);
}

uint64_t pending(Context *context) {
    if (!context->legacy || context->fault) return 0;
    uint64_t count = context->legacy->queued - context->legacy->done;
    for (const Object *object = context->objects; object; object = object->next)
        if (object->kind == STREAM) count += ((const Stream *)object)->queued - ((const Stream *)object)->done;
    return count;
}

static void drop_queue(Stream *stream) {
    while (stream->first) {
        Item *item = stream->first;
        stream->first = item->next;
        free_item(item);
    }
    stream->last = NULL;
    stream->done = stream->queued;
}

void drop_work(Context *context) {
    drop_queue(context->legacy);
    for (Object *object = context->objects; object; object = object->next)
        if (object->kind == STREAM) drop_queue((Stream *)object);
}
