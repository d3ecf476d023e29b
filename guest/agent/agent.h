/*
 * The guest agent: process 1 of a Sparkler guest. Protocol: docs/protocol/guest-channel.md.
 *
 *   main.c      arguments, the poll loop, what the host's frames ask for
 *   boot.c      from the initramfs to the root file system and the channel
 *   frame.c     reading whole frames, queueing what cannot be written yet
 *   launch.c    runtime processes: from an order to a process
 *   instance.c  runtime processes: pass their frames and output on
 *   end.c       runtime processes: end them, and what they leave
 *   zygote.c    runtime processes: START, and what is kept ready for it
 *   fork.c      what a zygote forks
 *   cgroup.c    what an instance's processes may use
 *   nodes.c     where its pages lie
 *   memory.c    what the guest's memory is used for, and that some of it is free
 *   freeze.c    no user code runs while a snapshot is taken, nor in a clone before it is reseeded
 *   restore.c   randomness, clock and boot_id after a boot, or after a snapshot was restored
 *
 * Between an INVOKE's arrival and its RESULT's departure as little code as possible runs: in
 * software emulation each block of code that runs for the first time after a restore costs more
 * than what it does. So: no stdio and no allocation there, and the fewest system calls.
 */
#ifndef SPARKLER_AGENT_H
#define SPARKLER_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AGENT_VERSION "0.1.0"
#define HEADER_BYTES 12u
#define MAX_PAYLOAD (8u << 20)
/* The function's output is left unread while this much waits to be sent to the host. */
#define SEND_LIMIT (256u << 10)
#define MAX_INSTANCES 64
#define MS 1000000ull /* in ns */

enum frame_type {
	F_START = 0x01, F_INVOKE, F_TIMEOUT, F_KILL, F_RESTORE, F_PING, F_POWEROFF,
	F_FREEZE, F_THAW, F_ZYGOTE, F_MEMORY, F_PROVE,
	F_RESEED = 0x20, F_PREPARE, F_FORK, F_BEGIN,
	F_HELLO = 0x81, F_READY, F_FAILED, F_RESULT, F_ERROR, F_EXITED, F_LOG, F_STACK, F_RESTORED,
	F_PONG, F_FROZEN, F_THAWED, F_REPORT, F_PROVED, F_FATAL,
	F_RESEEDED = 0xa0, F_PREPARED, F_FORKED,
};

struct header {
	uint32_t length;
	uint8_t type;
	uint8_t zero;
	uint16_t instance;
	uint32_t request;
};
_Static_assert(sizeof(struct header) == HEADER_BYTES, "the header is the wire's");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

/* ---- frame.c ---- */

#define READER_BYTES (16u << 10)

/* Reads whole frames from a non-blocking descriptor. `large` replaces `small` for a long frame. */
struct reader {
	int fd;
	size_t start, end; /* what was read and not taken yet */
	size_t large_size;
	uint8_t *large;
	uint8_t small[READER_BYTES];
};

/* A frame inside its reader's buffer: valid until the reader's next call. */
struct frame {
	struct header head;
	uint8_t *bytes; /* header and payload, contiguous */
	uint8_t *payload;
	size_t size; /* of both */
};

enum fill { FILL_MORE, FILL_DRY, FILL_END };

struct block;
struct queue {
	int fd;
	struct block *first, *last;
	size_t bytes;
};

void reader_open(struct reader *reader, int fd);
void reader_close(struct reader *reader);
/* Reads once. FILL_DRY: nothing there now. FILL_END: end of stream or an error. */
enum fill reader_fill(struct reader *reader);
/* 1: a frame; 0: not whole yet; -1: no frame starts like this. */
int reader_next(struct reader *reader, struct frame *frame);

/* Writes now what can be written and keeps the rest. False: the other end is gone. */
bool queue_send(struct queue *queue, const void *bytes, size_t size);
bool queue_flush(struct queue *queue);
void queue_clear(struct queue *queue);

/* Sends a frame; `bytes` has HEADER_BYTES of room before the payload, filled in here. */
void host_send(uint8_t *bytes, uint8_t type, uint16_t instance, uint32_t request, size_t payload);
/* Sends a frame with a short printf-formatted payload (at most 1 KiB). */
void host_sendf(uint8_t type, uint16_t instance, uint32_t request, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
extern struct queue to_host;

/* ---- instance.c ---- */

enum instance_state { UNUSED, STARTING, IDLE, BUSY };
/*
 * A zygote forks, a spare waits to become an instance: neither serves invocations, and the host
 * knows both as number 0.
 */
enum role { INSTANCE, ZYGOTE, SPARE };
/* On the way into a freeze: PREPARE sent, PREPARED received, stopped, and all of it held. */
enum hold { FREE, ASKED, STOPPING, FREEZING, HELD };

struct runtime {
	const char *name;
	const char *program;   /* below the root */
	const char *bootstrap; /* below the runtimes' folder, without its ending */
	const char *sources;   /* the ending of the bootstrap's source */
	const char *compiled;  /* its ending when the image holds it compiled, or NULL */
	const char *flags[4];
	bool forks; /* a process that has loaded the handler can fork instances */
};

#define MAX_ENV 512
#define NODES_BYTES 128

/* What START and ZYGOTE ask for: NUL-terminated strings, the environment last. */
struct order {
	const char *runtime, *handler, *cwd;
	unsigned memory_mib;
	const char *nodes; /* as cpuset.mems has them; empty: the VM's own memory */
	const char *environment[MAX_ENV];
	size_t variables;
};

struct instance {
	enum instance_state state;
	enum role role;
	uint16_t number; /* 0: no instance (yet) */
	uint32_t group;  /* of its cgroup's name */
	unsigned memory_mib;
	char nodes[NODES_BYTES];
	bool loaded;     /* it came ready from the zygote */
	bool oom;        /* it ended for want of memory */
	bool ended;      /* status tells how */
	uint8_t reclaims; /* steps taken so far */
	uint8_t reseeds; /* RESEED frames not answered yet */
	bool killed;     /* by us */
	bool ending;     /* its process is gone, its pipes are not read to their end yet */
	uint32_t request; /* what STARTING or BUSY will answer */
	pid_t pid;        /* 0 once reaped, and until a zygote has forked it */
	int status;
	int log, stack;
	enum hold hold;
	int freezer, events; /* cgroup.freeze and cgroup.events, or -1 */
	uint64_t kill_at; /* ns, 0: not planned */
	uint64_t kill_last; /* stack bytes postpone kill_at, never beyond this */
	uint64_t gone_at; /* ns: EXITED is sent then even if pipes are still open */
	uint64_t look_at; /* ns: whether its cgroup is empty by now */
	uint64_t started;
	struct reader in;
	struct queue out;
};

extern struct instance instances[MAX_INSTANCES];
/* One more than the highest slot in use: loops end here. */
extern int instance_slots;

struct instance *instance_find(uint16_t number);
void instance_invoke(struct instance *instance, const struct frame *frame);
void instance_readable(struct instance *instance);
/* `answered`: its socket holds something too, so the log comes first, whole. */
void instance_log_readable(struct instance *instance, bool answered);
void instance_stack_readable(struct instance *instance);

/* A slot with all but its process, number 0; NULL: there is none left. */
struct instance *instance_new(enum role role);
/* Our ends of an instance's descriptors. */
void instance_open(struct instance *instance, int sock, int log, int stack);
/* Tells the host that it can be invoked. */
void instance_ready(const struct instance *instance);
/* … that it cannot be, though its process is not gone yet … */
void instance_failed(uint16_t number, uint32_t request, const char *why);
/* … that it never was there … */
void instance_refuse(uint16_t number, uint32_t request, const char *why);
/* … or that it is gone, by this number. NULL: nobody knows how. */
void instance_exited(const struct instance *instance, uint16_t number);
/* Closes these. */
void instance_close(struct instance *instance);
/* No process came of it: the slot is free again. */
void instance_drop(struct instance *instance);

/* ---- end.c ---- */

void instance_timeout(struct instance *instance);
void instance_kill(struct instance *instance);
/* When it has ended and all that it wrote is read. */
void instance_retire_if_gone(struct instance *instance);
void instances_reap(void);
/* Acts on what is due; returns the next time something is, or 0. */
uint64_t instances_tick(uint64_t now);

/* ---- launch.c ---- */

bool order_parse(const uint8_t *bytes, size_t size, struct order *order);
/* Runs the order's runtime in `instance`. NULL, or why not. */
const char *launch(struct instance *instance, const struct order *order);
const struct runtime *runtime_named(const char *name);
/* Three pairs, our ends first and not blocking: socket, log, stack. */
bool open_pipes(int sock[2], int log[2], int stack[2]);
void close_pipes(int sock[2], int log[2], int stack[2]);

/* ---- zygote.c ---- */

void instance_start(const struct frame *frame);
void zygote_start(const struct frame *frame);
/* KILL, or TIMEOUT: it may still say where it is. */
void zygote_end(bool timeout);
void zygote_ready(struct instance *instance, const struct frame *frame);
void zygote_failed(struct frame *frame);
/* The process of a slot that waited for its fork will not come. */
void zygote_lost_fork(struct instance *instance);
/* Tells the host that the zygote is ended, if that is so by now; `instance`: what went last. */
void zygote_settled(const struct instance *instance);
/* A slot of number 0 is free again, or one that waited for its process. */
void zygote_retired(const struct instance *instance);
/* Acts on what is due; returns the next time something is, or 0. */
uint64_t zygote_tick(uint64_t now);
extern bool zygote_waits;

/* ---- fork.c ---- */

/* Asks a zygote for a spare. False: not now. */
bool fork_request(struct instance *zygote);
/* FORKED: the process of a slot that had none. */
void fork_arrived(struct instance *instance);

/* ---- cgroup.c ---- */

/* The path of `file` (like "/cgroup.kill") in the instance's cgroup. */
void cgroup_path(const struct instance *instance, const char *file, char *path, size_t size);
bool write_file(const char *path, const char *text);
ssize_t read_file(const char *path, char *text, size_t size);
/* `behind`: it is to run only when nothing else does. */
void cgroup_make(struct instance *instance, bool behind);
void cgroup_behind(const struct instance *instance, bool behind);
/* Moves a process there. */
bool cgroup_join(const struct instance *instance, pid_t pid);
/* Limits it to its memory and its nodes. NULL, or why that cannot be. */
const char *cgroup_limit(struct instance *instance);
void cgroup_kill(const struct instance *instance);
bool cgroup_was_oom(const struct instance *instance);
/* A number in one of its files; false: there is none. */
bool cgroup_number(const struct instance *instance, const char *file, uint64_t *value);
/* One step of removing it; true: there is nothing of it any more. */
bool cgroup_remove(struct instance *instance);
/*
 * Moves what a process has mapped of a node's pages to node 0. Before that, for any process (0 is
 * this one), the kernel puts the pages that each CPU has in hand on the lists of used ones.
 */
void move_pages_of(pid_t pid, unsigned node);
/* Pages that are touched there come from this node. */
bool bind_to_node(void *at, size_t size, unsigned node);

/* ---- nodes.c ---- */

/* Whether the guest has memory beside node 0. */
bool blocks_exist(void);
/* The agent itself touches node 0 only. */
void keep_to_base(void);
/* What this process touches from now on lies in the nodes that its cgroup will have. */
void follow_nodes(const char *nodes);

/* ---- memory.c ---- */

/* The kernel's numbers of the nodes that are these blocks (`1,2`). False: they do not fit. */
bool nodes_of_blocks(const char *blocks, char *list, size_t size);
void memory_report(const struct frame *frame);
void memory_prove(const struct frame *frame);

/* ---- freeze.c ---- */

void freeze_open(struct instance *instance);
void freeze_close(struct instance *instance);
void freeze_begin(const struct frame *frame);
void freeze_rehearse(struct instance *instance);
/* The runtime says that it stops itself now. */
void freeze_prepared(struct instance *instance);
/* Lets all that is held go. */
/* What the host knows as instances; `all`: zygote and spare as well. */
void freeze_release(bool all);
/* A zygote or a spare that stands still since its guest was restored goes on, reseeding first. */
void freeze_wake(struct instance *instance);
void freeze_finish(const struct frame *frame);
/* From FREEZE until THAW, RESTORE or a failure. */
extern bool freeze_wanted;
/* True while something is awaited that only looking can tell. */
extern bool freeze_waits;
uint64_t freeze_tick(uint64_t now);

/* ---- restore.c ---- */

void restore_prepare(void);
void restore_begin(const struct frame *frame);
void restore_answered(void);
/* True between RESTORE and RESTORED: the host's other frames wait. */
extern bool restoring;
uint64_t restore_tick(uint64_t now);

/* ---- boot.c ---- */

/* Does all that comes before the loop; returns the channel. */
int boot(void);
_Noreturn void power_off(void);

/* ---- main.c ---- */

struct settings {
	bool test; /* an ordinary process: no mounts, no clock, no other user */
	const char *runtimes, *task, *python, *node, *cgroup;
};
extern struct settings settings;

uint64_t now_ns(void);
/* One line on the console. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says why on the console and to the host, then powers off. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
