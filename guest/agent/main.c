#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* A port that nobody has opened on the host reports a hangup without end: looked at this often. */
#define UNPLUGGED_WAIT (20 * MS)
/* Frames of one sender in a row before the others get their turn. */
#define HOST_READS 64

struct settings settings = {
	.runtimes = "/opt/sparkler/runtimes", .task = "/var/task", .cgroup = "/sys/fs/cgroup"};

static struct reader from_host;
static bool frames_wait; /* in from_host, since a RESTORE is being answered */
static uint64_t unplugged_until;

uint64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void say_line(const char *before, const char *format, va_list arguments)
{
	char line[512];
	int n = snprintf(line, sizeof line, "sparkler-agent: %s", before);
	vsnprintf(line + n, sizeof line - (size_t)n - 1, format, arguments);
	size_t length = strlen(line);
	line[length++] = '\n';
	if (write(2, line, length) < 0)
		return; /* there is nobody else to tell */
}

void say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say_line("", format, arguments);
	va_end(arguments);
}

void fatal(const char *format, ...)
{
	static bool again;
	va_list arguments;
	va_start(arguments, format);
	say_line("fatal: ", format, arguments);
	va_end(arguments);
	if (to_host.fd >= 0 && !again) {
		again = true;
		host_sendf(F_FATAL, 0, 0, "{\"message\":\"the agent cannot go on: see the console\"}");
	}
	if (settings.test)
		_exit(70);
	power_off();
}

/* ---- what the host asks for ---- */

static void hello(void)
{
	struct utsname system;
	struct sysinfo memory;
	uname(&system);
	sysinfo(&memory);
	host_sendf(F_HELLO, 0, 0,
		   "{\"protocol\":1,\"agent\":\"" AGENT_VERSION "\",\"kernel\":\"%s\",\"memMiB\":%llu,\"bootMs\":%llu}",
		   system.release, (unsigned long long)memory.totalram * memory.mem_unit >> 20,
		   (unsigned long long)(now_ns() / MS));
}

static void obey(struct frame *frame)
{
	const struct header *head = &frame->head;
	struct instance *instance = NULL;
	switch (head->type) {
	case F_INVOKE:
	case F_TIMEOUT:
	case F_KILL:
		if (head->instance == 0 && head->type != F_INVOKE)
			return zygote_end(head->type == F_TIMEOUT);
		instance = instance_find(head->instance);
		if (instance == NULL)
			return; /* its EXITED is on its way or has arrived */
		if (head->type == F_INVOKE)
			return instance_invoke(instance, frame);
		if (head->type == F_TIMEOUT)
			return instance_timeout(instance);
		return instance_kill(instance);
	case F_START:
		return instance_start(frame);
	case F_ZYGOTE:
		return zygote_start(frame);
	case F_MEMORY:
		return memory_report(frame);
	case F_PROVE:
		return memory_prove(frame);
	case F_RESTORE:
		return restore_begin(frame);
	case F_FREEZE:
		return freeze_begin(frame);
	case F_THAW:
		return freeze_finish(frame);
	case F_PING:
		return host_send(frame->bytes, F_PONG, 0, head->request, head->length);
	case F_POWEROFF:
		if (settings.test)
			exit(0);
		power_off();
	default:
		fatal("the host sent a frame of type 0x%02x", head->type);
	}
}

/* Obeys whole frames until there are no more or one of them makes the others wait. */
static void obey_all(void)
{
	struct frame frame;
	int got = 0;
	while (!restoring && (got = reader_next(&from_host, &frame)) > 0)
		obey(&frame);
	if (got < 0)
		fatal("the host sent no frame");
	frames_wait = restoring;
}

static void host_readable(void)
{
	for (int i = 0; i < HOST_READS && !restoring; i++) {
		switch (reader_fill(&from_host)) {
		case FILL_DRY:
			return;
		case FILL_END:
			if (settings.test)
				exit(0);
			unplugged_until = now_ns() + UNPLUGGED_WAIT;
			return;
		case FILL_MORE:
			obey_all();
			if (from_host.start == from_host.end)
				return;
		}
	}
}

/* ---- the loop ---- */

enum { P_HOST, P_CHILD, P_INSTANCES }; /* then per instance: socket, log, stack */
static struct pollfd polled[P_INSTANCES + 3 * MAX_INSTANCES];
static int child_fd;

/* A socket stands before its log: when poll() sees an answer, it sees what was printed before. */
static nfds_t fill_polled(void)
{
	bool room = to_host.bytes < SEND_LIMIT;
	bool plugged = unplugged_until == 0;
	short host_events = (short)((restoring ? 0 : POLLIN) | (to_host.first != NULL ? POLLOUT : 0));
	polled[P_HOST] = (struct pollfd){.fd = plugged && host_events ? from_host.fd : -1, .events = host_events};
	polled[P_CHILD] = (struct pollfd){.fd = child_fd, .events = POLLIN};
	nfds_t n = P_INSTANCES;
	for (int i = 0; i < instance_slots; i++, n += 3) {
		struct instance *instance = &instances[i];
		bool used = instance->state != UNUSED;
		short out = instance->out.first != NULL ? POLLOUT : 0;
		short in = room ? POLLIN : 0;
		polled[n] = (struct pollfd){.fd = used && (in | out) ? instance->in.fd : -1, .events = in | out};
		polled[n + 1] = (struct pollfd){.fd = used && room ? instance->log : -1, .events = POLLIN};
		polled[n + 2] = (struct pollfd){.fd = used && room ? instance->stack : -1, .events = POLLIN};
	}
	return n;
}

static void serve_instance(struct instance *instance, const struct pollfd *events)
{
	bool answered = (events[0].revents & (POLLIN | POLLHUP | POLLERR)) && (events[0].events & POLLIN);
	if ((events[0].revents & POLLOUT) && instance->in.fd >= 0)
		queue_flush(&instance->out); /* a runtime that is gone is noticed by its end of stream */
	if (events[1].revents && instance->state != UNUSED && instance->log >= 0)
		instance_log_readable(instance, answered);
	if (events[2].revents && instance->state != UNUSED && instance->stack >= 0)
		instance_stack_readable(instance);
	if (answered && instance->state != UNUSED && instance->in.fd >= 0)
		instance_readable(instance);
}

/* Milliseconds until something is due, for poll(); does what is due already. */
static int tick(void)
{
	static bool planned;
	bool any = restoring || freeze_waits || zygote_waits || unplugged_until != 0;
	for (int i = 0; i < instance_slots && !any; i++)
		any = instances[i].state != UNUSED && (instances[i].kill_at != 0 || instances[i].ending);
	if (!any && !planned)
		return -1; /* the common case does not even read the clock */
	uint64_t now = now_ns(), next = instances_tick(now);
	uint64_t due = restore_tick(now), look = freeze_tick(now), refill = zygote_tick(now);
	if (refill != 0 && (next == 0 || refill < next))
		next = refill;
	if (due != 0 && (next == 0 || due < next))
		next = due;
	if (look != 0 && (next == 0 || look < next))
		next = look;
	if (unplugged_until != 0 && unplugged_until <= now)
		unplugged_until = 0;
	if (unplugged_until != 0 && (next == 0 || unplugged_until < next))
		next = unplugged_until;
	planned = next != 0;
	return next == 0 ? -1 : next <= now ? 0 : (int)((next - now + MS - 1) / MS);
}

static void turn(void)
{
	nfds_t n = fill_polled();
	if (poll(polled, n, tick()) < 0) {
		if (errno != EINTR)
			fatal("poll: %s", strerror(errno));
		return;
	}
	if (polled[P_CHILD].revents) {
		struct signalfd_siginfo info;
		if (read(child_fd, &info, sizeof info) > 0)
			instances_reap();
	}
	for (nfds_t at = P_INSTANCES; at < n; at += 3)
		if (polled[at].revents | polled[at + 1].revents | polled[at + 2].revents)
			serve_instance(&instances[(at - P_INSTANCES) / 3], &polled[at]);
	if (polled[P_HOST].revents & POLLOUT && !queue_flush(&to_host))
		fatal("the channel cannot be written: %s", strerror(errno));
	if (polled[P_HOST].revents & POLLIN)
		host_readable();
	else if (polled[P_HOST].revents & (POLLHUP | POLLERR)) {
		if (settings.test)
			exit(0);
		unplugged_until = now_ns() + UNPLUGGED_WAIT;
	}
	if (frames_wait && !restoring)
		obey_all();
}

static int test_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{"test-socket", required_argument, NULL, 's'}, {"runtimes", required_argument, NULL, 'r'},
		{"task", required_argument, NULL, 't'},	       {"python", required_argument, NULL, 'p'},
		{"node", required_argument, NULL, 'n'},	       {"cgroup", required_argument, NULL, 'c'},
		{NULL, 0, NULL, 0}};
	int option, channel = -1;
	settings.cgroup = NULL;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': channel = atoi(optarg); break;
		case 'r': settings.runtimes = optarg; break;
		case 't': settings.task = optarg; break;
		case 'p': settings.python = optarg; break;
		case 'n': settings.node = optarg; break;
		case 'c': settings.cgroup = optarg; break;
		default: exit(64);
		}
	}
	if (channel < 0) {
		say("outside a guest this runs for tests only: --test-socket FD");
		exit(64);
	}
	settings.test = true;
	fcntl(channel, F_SETFL, O_NONBLOCK);
	fcntl(channel, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	return channel;
}

int main(int argc, char **argv)
{
	sigset_t child;
	int channel = getpid() == 1 ? boot() : test_arguments(argc, argv);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	/* A runtime that stops or goes on at a freeze is nothing to wake up for. */
	sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP}, NULL);
	signal(SIGPIPE, SIG_IGN);
	child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child_fd < 0)
		fatal("signalfd: %s", strerror(errno));
	reader_open(&from_host, channel);
	to_host.fd = channel;
	hello();
	for (;;)
		turn();
}
