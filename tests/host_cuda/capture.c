// Capture of streams, and graphs.
//
// A captured piece of work becomes a node that knows all nodes which it comes after; so the nodes of one graph may
// be run in any order that their streams and events allow.
// Source: CUDA Driver API, "Stream Management", cuStreamBeginCapture and CUstreamCaptureMode.

#include <stdlib.h>
#include <string.h>

#include "host_cuda.h"

enum { GLOBAL, THREAD_LOCAL, RELAXED };

Capture *captures;

static uint64_t identities;

static int has(const NodeSet *set, int node) { return (int)(set->words[node / 64] >> (node % 64) & 1); }

static void add(NodeSet *set, int node) { set->words[node / 64] |= (uint64_t)1 << (node % 64); }

int invalidate(Capture *one, int code) {
    one->invalid = 1;
    return code;
}

// Refuses a call that may wait or change what a capture rests on, and spoils the captures that forbid it: this
// thread's, unless relaxed, and any thread's that is global.
int capture_forbids(int unsafe_call) {
    int code = SUCCESS;
    for (Capture *one = captures; unsafe_call && one; one = one->next) {
        const int own = pthread_equal(one->thread, pthread_self()) && one->mode != RELAXED;
        if (own || one->mode == GLOBAL) code = invalidate(one, CAPTURE_UNSUPPORTED);
    }
    return code;
}

// Adds a node to the graph that is captured on a stream.
int capture(Stream *stream, Work *work, int external) {
    Capture *one = stream->capture;
    if (one->invalid) return CAPTURE_INVALIDATED;
    if (one->count == MOST_NODES) {
        misuse("%s: a capture of more than %d nodes", work->name, (int)MOST_NODES);
        return invalidate(one, CAPTURE_UNSUPPORTED);
    }
    Node *node = &one->nodes[one->count];
    node->work = *work;
    node->before = stream->tail;
    node->external = external;
    add(&stream->tail, one->count++);
    return SUCCESS;
}

int cuStreamBeginCapture_v2(void *handle, int mode) {
    const char *name = "cuStreamBeginCapture";
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    Stream *stream = stream_of(handle, name, &code);
    if (!stream) return end(code);
    if (mode < GLOBAL || mode > RELAXED) return end(INVALID_VALUE);
    if (stream == stream->object.context->legacy) {
        misuse("%s: the default stream cannot be captured", name);
        return end(CAPTURE_UNSUPPORTED);
    }
    if (stream->capture) {
        misuse("%s: the stream is captured already", name);
        return end(ILLEGAL_STATE);
    }
    Capture *one = calloc(1, sizeof(Capture));
    one->identity = ++identities;
    one->context = stream->object.context;
    one->origin = stream;
    one->mode = mode;
    one->thread = pthread_self();
    one->nodes = calloc(MOST_NODES, sizeof(Node));
    one->next = captures;
    captures = one;
    stream->capture = one;
    stream->tail = (NodeSet){{0}};
    return end(SUCCESS);
}

int cuStreamIsCapturing(void *handle, int *status) {
    int code = begin("cuStreamIsCapturing", IN_CONTEXT);
    if (code) return code;
    Stream *stream = stream_of(handle, "cuStreamIsCapturing", &code);
    if (!stream) return end(code);
    *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
    return end(SUCCESS);
}

static void close_capture(Capture *one) {
    for (Object *object = one->context->objects; object; object = object->next)
        if (object->kind == STREAM && ((Stream *)object)->capture == one) ((Stream *)object)->capture = NULL;
    Capture **link = &captures;
    while (*link != one) link = &(*link)->next;
    *link = one->next;
    free(one->nodes);
    free(one);
}

void drop_captures(Context *context) {
    for (Capture *one = captures, *next; one; one = next) {
        next = one->next;
        if (one->context != context) continue;
        misuse("a capture was not ended before its context");
        close_capture(one);
    }
}

static int all_joined(const Capture *one) {
    for (int i = 0; i < one->count; ++i)
        if (!has(&one->origin->tail, i)) return 0;
    return 1;
}

static Graph *new_graph(ObjectKind kind, const Node *nodes, int count) {
    Graph *graph = (Graph *)new_object(kind, sizeof(Graph));
    graph->nodes = malloc(sizeof(Node) * (size_t)(count ? count : 1));
    graph->count = count;
    memcpy(graph->nodes, nodes, sizeof(Node) * (size_t)count);
    return graph;
}

void free_graph(Graph *graph) {
    free(graph->nodes);
    graph->nodes = NULL;
}

int cuStreamEndCapture(void *handle, void **made) {
    const char *name = "cuStreamEndCapture";
    int code = begin(name, IN_CONTEXT | RELEASES);
    if (code) return code;
    *made = NULL;
    Stream *stream = stream_of(handle, name, &code);
    if (!stream) return end(code);
    Capture *one = stream->capture;
    if (!one) {
        misuse("%s: the stream is not captured", name);
        return end(ILLEGAL_STATE);
    }
    if (one->origin != stream) {
        misuse("%s: the capture began on another stream", name);
        return end(invalidate(one, CAPTURE_UNMATCHED));
    }
    if (one->mode != RELAXED && !pthread_equal(one->thread, pthread_self())) {
        misuse("%s: the capture began in another thread", name);
        return end(invalidate(one, CAPTURE_WRONG_THREAD));
    }
    code = one->invalid ? CAPTURE_INVALIDATED : all_joined(one) ? SUCCESS : CAPTURE_UNJOINED;
    if (code == CAPTURE_UNJOINED) misuse("%s: a forked stream has not joined", name);
    if (!code) *made = new_graph(GRAPH, one->nodes, one->count)->object.handle;
    close_capture(one);
    return end(code);
}

// ------------------------------------------------------------------------------------------------ graphs

int cuGraphGetNodes(void *handle, void **nodes, size_t *count) {
    int code = begin("cuGraphGetNodes", IN_CONTEXT);
    if (code) return code;
    const Graph *graph = find(GRAPH, handle, "cuGraphGetNodes", &code);
    if (!graph) return end(code);
    if (nodes) return end(NOT_SUPPORTED);
    *count = (size_t)graph->count;
    return end(SUCCESS);
}

// One name for both, as headers have it: cuGraphInstantiate is the one with flags from CUDA 12 on.
static int instantiate(void **made, void *handle) {
    const char *name = "cuGraphInstantiate";
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    const Graph *graph = find(GRAPH, handle, name, &code);
    if (!graph) return end(code);
    *made = new_graph(GRAPH_EXEC, graph->nodes, graph->count)->object.handle;
    return end(SUCCESS);
}

int cuGraphInstantiateWithFlags(void **made, void *graph, unsigned long long flags) {
    (void)flags;
    return instantiate(made, graph);
}

int cuGraphInstantiate_v2(void **made, void *graph, void **node, char *log, size_t bytes) {
    (void)node;
    if (log && bytes) *log = 0;
    return instantiate(made, graph);
}

int cuGraphUpload(void *handle, void *on) {
    int code = begin("cuGraphUpload", IN_CONTEXT);
    if (code) return code;
    if (find(GRAPH_EXEC, handle, "cuGraphUpload", &code)) stream_of(on, "cuGraphUpload", &code);
    return end(code);
}

static int destroy_graph(ObjectKind kind, void *handle, const char *name) {
    int code = begin(name, IN_CONTEXT | RELEASES);
    if (code) return code;
    Graph *graph = find(kind, handle, name, &code);
    if (!graph) return end(code);
    free_graph(graph);
    drop_object(&graph->object);
    return end(SUCCESS);
}

int cuGraphDestroy(void *handle) { return destroy_graph(GRAPH, handle, "cuGraphDestroy"); }

int cuGraphExecDestroy(void *handle) { return destroy_graph(GRAPH_EXEC, handle, "cuGraphExecDestroy"); }

// The next node to be queued: the first captured, the last, or any that may run, by the schedule.
static int next_node(const Graph *graph, const NodeSet *queued) {
    int chosen = -1;
    unsigned seen = 0;
    for (int i = 0; i < graph->count; ++i) {
        int ready = !has(queued, i);
        for (size_t word = 0; word < sizeof(NodeSet) / 8; ++word)
            ready &= !(graph->nodes[i].before.words[word] & ~queued->words[word]);
        if (!ready) continue;
        if (schedule() == 0 || schedule() == 2) return i;
        if (schedule() == 1 || drawn(++seen) == 0) chosen = i;
    }
    return chosen;
}

static int queue_node(Stream *stream, Graph *graph, Node *node, int is_first) {
    Work work = node->work;
    Need needs[2] = {{NULL, 0}, {NULL, 0}};
    if (is_first) needs[0] = graph->launched;
    if (work.event && !work.event->object.alive) {
        misuse("cuGraphLaunch: an event of the graph was destroyed");
        return INVALID_HANDLE;
    }
    if (work.kind == WAIT) needs[1] = work.event->recorded;
    if (work.kind == RECORD) {
        work.version = ++work.event->version;
        work.event->capture = 0;
        work.event->recorded = (Need){stream, stream->queued};
    }
    return enqueue_now(stream, &work, needs, 2);
}

int cuGraphLaunch(void *handle, void *on) {
    const char *name = "cuGraphLaunch";
    int code = begin(name, IN_CONTEXT);
    if (code) return code;
    Graph *graph = find(GRAPH_EXEC, handle, name, &code);
    Stream *stream = graph ? stream_of(on, name, &code) : NULL;
    if (!stream) return end(code);
    if (stream->capture) {
        misuse("%s: a graph inside a capture is not supported here", name);
        return end(invalidate(stream->capture, CAPTURE_UNSUPPORTED));
    }
    Work start = {.kind = EMPTY, .name = name};
    code = enqueue(stream, &start, NULL);
    NodeSet queued = {{0}};
    for (int i = 0; i < graph->count && !code; ++i) {
        const int next = next_node(graph, &queued);
        code = queue_node(stream, graph, &graph->nodes[next], !i);
        add(&queued, next);
    }
    graph->launched = (Need){stream, stream->queued - 1};
    return end(code);
}
