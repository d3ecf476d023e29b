#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* After TIMEOUT a runtime has this long to write its stack … */
#define STACK_WAIT (200 * MS)
/* … and is ended earlier when nothing more of it came for this long. */
#define STACK_QUIET (40 * MS)
/* An ended instance's pipes may be held open by what could not be killed, not longer than this. */
#define GONE_WAIT (1000 * MS)
#define PIPE_BYTES (64u << 10)

struct instance instances[MAX_INSTANCES];
int instance_slots;

struct instance *instance_find(uint16_t number)
{
	for (int i = 0; i < instance_slots; i++)
		if (instances[i].state != UNUSED && instances[i].number == number)
			return &instances[i];
	return NULL;
}

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = write(fd, text, strlen(text));
	close(fd);
	return n >= 0;
}

void cgroup_path(const struct instance *instance, const char *file, char *path, size_t size)
{
	snprintf(path, size, "%s/i%u%s", settings.cgroup, instance->number, file);
}

/* ---- ending ---- */

static void kill_cgroup(const struct instance *instance)
{
	char path[512];
	if (settings.cgroup == NULL)
		return;
	cgroup_path(instance, "/cgroup.kill", path, sizeof path);
	write_file(path, "1");
}

void instance_kill(struct instance *instance)
{
	instance->kill_at = 0;
	if (instance->ending)
		return;
	instance->killed = true;
	if (kill(-instance->pid, SIGKILL) != 0)
		kill(instance->pid, SIGKILL); /* it had no time to become its group's leader */
	kill_cgroup(instance);
}

void instance_timeout(struct instance *instance)
{
	if (instance->ending || instance->kill_at != 0)
		return;
	/* Python answers from the signal handler, Node.js if its event loop still turns. Before they
	 * listen the signal ends them, which is right too. */
	kill(instance->pid, SIGUSR2);
	instance->killed = true;
	instance->kill_at = instance->kill_last = now_ns() + STACK_WAIT;
}

static bool was_oom(const struct instance *instance)
{
	static char text[16384];
	static unsigned long long seen;
	if (instance->killed || !WIFSIGNALED(instance->status) || WTERMSIG(instance->status) != SIGKILL)
		return false;
	int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *line = strstr(text, "\noom_kill ");
	unsigned long long count = line ? strtoull(line + 10, NULL, 10) : 0;
	bool more = count > seen;
	seen = count;
	return more;
}

/* The process is gone and so is all that it wrote: says so and frees the slot. */
static void retire(struct instance *instance)
{
	char code[16] = "null", signal_number[16] = "null", path[512];
	if (WIFEXITED(instance->status))
		snprintf(code, sizeof code, "%d", WEXITSTATUS(instance->status));
	else if (WIFSIGNALED(instance->status))
		snprintf(signal_number, sizeof signal_number, "%d", WTERMSIG(instance->status));
	host_sendf(F_EXITED, instance->number, 0, "{\"code\":%s,\"signal\":%s,\"oom\":%s}", code,
		   signal_number, was_oom(instance) ? "true" : "false");
	queue_clear(&instance->out);
	reader_close(&instance->in);
	if (instance->log >= 0)
		close(instance->log);
	if (instance->stack >= 0)
		close(instance->stack);
	freeze_close(instance);
	if (settings.cgroup != NULL) {
		cgroup_path(instance, "", path, sizeof path);
		rmdir(path);
	}
	instance->state = UNUSED;
	while (instance_slots > 0 && instances[instance_slots - 1].state == UNUSED)
		instance_slots--;
}

static void retire_if_gone(struct instance *instance)
{
	if (instance->ending && instance->in.fd < 0 && instance->log < 0 && instance->stack < 0)
		retire(instance);
}

static void reaped(struct instance *instance, int status)
{
	instance->status = status;
	kill(-instance->pid, SIGKILL); /* whatever the process left behind */
	kill_cgroup(instance);
	instance->pid = 0;
	instance->ending = true; /* its state stays: frames that it sent before may still come */
	instance->kill_at = 0;
	instance->gone_at = now_ns() + GONE_WAIT;
	instance->reseeds = 0;
	instance->hold = FREE;
	queue_clear(&instance->out);
	retire_if_gone(instance);
	restore_answered();
}

void instances_reap(void)
{
	int status;
	pid_t pid;
	/* Orphans come here too, as to any process 1; only instances are more than reaped. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < instance_slots; i++)
			if (instances[i].state != UNUSED && instances[i].pid == pid)
				reaped(&instances[i], status);
}

uint64_t instances_tick(uint64_t now)
{
	uint64_t next = 0;
	for (int i = 0; i < instance_slots; i++) {
		struct instance *instance = &instances[i];
		if (instance->state == UNUSED)
			continue;
		if (instance->kill_at != 0 && instance->kill_at <= now)
			instance_kill(instance);
		/* With the host slow to read, waiting output is not lost to this limit. */
		if (instance->ending && instance->gone_at <= now && to_host.bytes < SEND_LIMIT) {
			retire(instance);
			continue;
		}
		uint64_t due = instance->ending ? instance->gone_at : instance->kill_at;
		if (due != 0 && (next == 0 || due < next))
			next = due;
	}
	return next;
}

/* ---- frames ---- */

static void broken(struct instance *instance, const char *what)
{
	say("instance %u is ended: %s", instance->number, what);
	instance_kill(instance);
	reader_close(&instance->in);
	instance->out.fd = -1;
	queue_clear(&instance->out);
	retire_if_gone(instance);
}

void instance_invoke(struct instance *instance, const struct frame *frame)
{
	if (instance->ending)
		return; /* EXITED is on its way */
	if (instance->state != IDLE) {
		host_sendf(F_ERROR, instance->number, frame->head.request,
			   "{\"errorType\":\"Sparkler.Busy\",\"message\":\"the instance is busy\",\"stack\":\"\","
			   "\"kind\":\"agent\",\"handlerNs\":0}");
		return;
	}
	instance->state = BUSY;
	instance->request = frame->head.request;
	/* A runtime that closed its end is about to be reaped: EXITED answers. */
	if (instance->in.fd >= 0)
		queue_send(&instance->out, frame->bytes, frame->size);
}

static bool expected(const struct instance *instance, const struct header *head)
{
	switch (head->type) {
	case F_READY:
	case F_FAILED:
		return instance->state == STARTING;
	case F_RESULT:
	case F_ERROR:
		return instance->state == BUSY && head->request == instance->request;
	case F_RESEEDED:
		return instance->reseeds > 0;
	case F_PREPARED:
		return instance->hold == ASKED;
	default:
		return false;
	}
}

static void pass_on(struct instance *instance, struct frame *frame)
{
	struct header *head = &frame->head;
	if (head->type == F_RESEEDED) {
		instance->reseeds--;
		restore_answered();
		return;
	}
	if (head->type == F_PREPARED)
		return freeze_prepared(instance);
	if (head->type == F_READY) {
		uint64_t ms = (now_ns() - instance->started) / MS;
		instance->state = IDLE;
		host_sendf(F_READY, instance->number, instance->request, "{\"initMs\":%llu}",
			   (unsigned long long)ms);
		return freeze_rehearse(instance);
	}
	if (head->type != F_FAILED && instance->state == BUSY)
		instance->state = IDLE;
	host_send(frame->bytes, head->type, instance->number, instance->request, head->length);
}

void instance_readable(struct instance *instance)
{
	struct frame frame;
	int got;
	for (;;) {
		enum fill fill = reader_fill(&instance->in);
		if (fill == FILL_DRY)
			return;
		while ((got = reader_next(&instance->in, &frame)) > 0) {
			if (!expected(instance, &frame.head))
				return broken(instance, "its runtime sent an unexpected frame");
			pass_on(instance, &frame);
		}
		if (got < 0)
			return broken(instance, "its runtime sent no frame");
		if (fill == FILL_END) {
			reader_close(&instance->in);
			instance->out.fd = -1;
			queue_clear(&instance->out);
			instance_kill(instance); /* no use without its socket */
			return retire_if_gone(instance);
		}
		if (instance->in.start == instance->in.end)
			return;
	}
}

/* Sends what `fd` holds as one frame. */
static enum fill copy_pipe(int fd, uint8_t type, uint16_t number)
{
	static uint8_t bytes[HEADER_BYTES + READER_BYTES];
	ssize_t n = read(fd, bytes + HEADER_BYTES, READER_BYTES);
	if (n > 0)
		host_send(bytes, type, number, 0, (size_t)n);
	if (n == READER_BYTES)
		return FILL_MORE;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)) ? FILL_DRY : FILL_END;
}

void instance_log_readable(struct instance *instance, bool answered)
{
	/* What the function printed before it answered goes to the host before the answer: all that
	 * the pipe can hold. */
	size_t reads = answered ? PIPE_BYTES / READER_BYTES : 1;
	while (reads-- > 0) {
		switch (copy_pipe(instance->log, F_LOG, instance->number)) {
		case FILL_MORE:
			break;
		case FILL_DRY:
			return;
		case FILL_END:
			close(instance->log);
			instance->log = -1;
			return retire_if_gone(instance);
		}
	}
}

void instance_stack_readable(struct instance *instance)
{
	if (copy_pipe(instance->stack, F_STACK, instance->number) != FILL_END) {
		if (instance->kill_at != 0) {
			uint64_t quiet = now_ns() + STACK_QUIET;
			instance->kill_at = quiet < instance->kill_last ? quiet : instance->kill_last;
		}
		return;
	}
	close(instance->stack);
	instance->stack = -1;
	retire_if_gone(instance);
}
