// A CUDA driver whose GPU is this process: what its files share.
//
// Memory is the host's and work is run by whoever waits for it, but the rules are the driver's: contexts are
// current for a thread, objects belong to a context, streams are queues, and nothing queued has happened before
// somebody waits. What a real driver leaves undefined is refused here and noted as misuse.
//
// Source of the rules: CUDA Driver API, "Context Management" to "Graph Management", and CUDA C++ Programming
// Guide, "Asynchronous Concurrent Execution" and "CUDA Graphs".

#ifndef SEGEDGE_HOST_CUDA_H
#define SEGEDGE_HOST_CUDA_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

// CUresult, as far as it is returned here.
enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    FILE_NOT_FOUND = 301,
    INVALID_HANDLE = 400,
    ILLEGAL_STATE = 401,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    CONTEXT_IS_DESTROYED = 709,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_MERGE = 902,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904,
    CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
    CAPTURE_WRONG_THREAD = 908,
};

// ------------------------------------------------------------------------------------------------ objects

typedef enum { STREAM, EVENT, MODULE, GRAPH, GRAPH_EXEC, OBJECT_KINDS } ObjectKind;

typedef struct Context Context;
typedef struct Stream Stream;
typedef struct Event Event;
typedef struct Capture Capture;

// A handle is a number that is never used twice, so a stale one is always known as such. The memory of an object
// stays until its context goes: work that is still queued may name it.
typedef struct Object {
    void *handle;
    ObjectKind kind;
    int alive;
    Context *context;
    struct Object *next;
} Object;

typedef struct Function {
    struct Module *module;
    char name[64];
    char letters[64];  // types of the arguments: P, q, i, f
    struct Function *next;
} Function;

typedef struct Module {
    Object object;
    Function *functions;
} Module;

// ------------------------------------------------------------------------------------------------ work

typedef enum { COPY, FILL, KERNEL, RECORD, WAIT, FOREIGN, EMPTY } WorkKind;

enum { MOST_ARGUMENTS = 32 };

typedef struct Work {
    WorkKind kind;
    const char *name;  // of the call that asked for it
    // COPY and FILL
    unsigned char *to;
    const unsigned char *from;
    size_t bytes;
    int to_device, from_device;
    unsigned char *staged;  // a copy of pageable memory, freed after use
    unsigned value, width;
    // KERNEL
    Function *function;
    unsigned grid[3], block[3];
    uint64_t arguments[MOST_ARGUMENTS];
    // RECORD, and WAIT in a graph
    Event *event;
    uint64_t version;
    // FOREIGN
    void (*foreign)(void *);
    void *argument;
} Work;

typedef struct Need {
    Stream *stream;
    uint64_t index;
} Need;

typedef struct Item {
    Work work;
    Need *needs;
    int need_count;
    struct Item *next;
} Item;

enum { MOST_NODES = 512 };

typedef struct NodeSet {
    uint64_t words[MOST_NODES / 64];
} NodeSet;

struct Stream {
    Object object;
    int blocking;  // waits for the default stream, and it for this one
    int running;   // its first item is being run by some thread
    pthread_t runner;
    Item *first, *last;
    uint64_t queued, done;
    Capture *capture;
    NodeSet tail;  // captured nodes that its next one comes after
};

struct Event {
    Object object;
    int timed;
    uint64_t version;  // how often it was recorded
    uint64_t ran;      // the newest version that has run
    Need recorded;
    int64_t time_ns;
    uint64_t capture;  // identity of the capture that it was last recorded in, 0 for none
    NodeSet tail;
};

typedef struct Node {
    Work work;
    NodeSet before;  // all nodes that it comes after
    int external;    // the event is recorded or waited for when the graph runs
} Node;

struct Capture {
    uint64_t identity;
    Context *context;
    Stream *origin;
    int mode;
    int invalid;
    pthread_t thread;
    Node *nodes;
    int count;
    Capture *next;
};

typedef struct Graph {
    Object object;
    Node *nodes;
    int count;
    Need launched;  // of a GRAPH_EXEC: its last launch, which the next one comes after
} Graph;

// ------------------------------------------------------------------------------------------------ memory

typedef struct Memory {
    unsigned char *address, *block;
    size_t bytes;
    int pinned, mapped;
    Context *context;
    struct Memory *next;
} Memory;

enum { GUARD_BYTES = 256, GUARD = 0xA7, FRESH = 0xCB, FREED = 0xDD };

// ------------------------------------------------------------------------------------------------ contexts

struct Context {
    void *handle;
    int alive, primary, users;
    unsigned flags;
    int fault;  // an error of a kernel or a copy: every later call returns it
    Object *objects;
    Memory *memories;
    Stream *legacy;  // the default stream
    Context *next;
};

// ------------------------------------------------------------------------------------------------ shared calls

// What a call needs; see begin().
enum { IN_CONTEXT = 1, RELEASES = 2, UNSAFE = 4, BEFORE_INIT = 8 };

extern pthread_mutex_t gate;   // guards everything
extern pthread_cond_t moved;   // told whenever work has been run
extern Context *contexts;      // also dead ones that a thread may still name
extern Capture *captures;

// control.c
int begin(const char *name, unsigned needs);
int end(int code);
int planned(const char *name);
void misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *new_handle(void);
int was_a_handle(const void *handle);
int device_count(void);
const char *device_name(void);
int attribute(int which);
void note_init(void);
int was_initialised(void);

// contexts.c
Context *current_context(void);
Object *new_object(ObjectKind kind, size_t bytes);
void *find(ObjectKind kind, void *handle, const char *name, int *code);
void drop_object(Object *object);
const char *kind_name(int kind);

// memory.c
Memory *memory_at(Context *context, uintptr_t address);
int check_device(const char *name, const char *role, uintptr_t address, size_t bytes);
int check_host(const char *name, const char *role, const void *address, size_t bytes, int *pageable);
int guards_hold(const Memory *memory);
void free_memories(Context *context);
int64_t memory_count(int pinned);

// work.c
Stream *stream_of(void *handle, const char *name, int *code);
int enqueue(Stream *stream, Work *work, const Need *need);
int enqueue_now(Stream *stream, Work *work, const Need *needs, int need_count);
int reach(Stream *stream, uint64_t count);
int reach_all(Context *context);
void move_once(Stream *stream, uint64_t count);
int is_done(const Need *need);
int uses(Context *context, const Memory *memory);
uint64_t pending(Context *context);
void drop_work(Context *context);
int set_schedule(int schedule, unsigned seed);
unsigned drawn(unsigned below);
int schedule(void);

// capture.c
int capture(Stream *stream, Work *work, int external);
int capture_forbids(int unsafe_call);
int invalidate(Capture *capture, int code);
void drop_captures(Context *context);
void free_graph(Graph *graph);

// kernels.c
int run_kernel(const Work *work);
void free_functions(Module *module);

#endif
