/* From an order, as START and ZYGOTE carry it, to the runtime's process. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The unprivileged user that functions run as. */
#define FUNCTION_UID 1000
#define FUNCTION_PROCESSES 1024

static const struct runtime runtimes[] = {
	{.name = "python3", .program = "/usr/bin/python3", .bootstrap = "python3/bootstrap",
	 .sources = ".py", .compiled = ".pyc", .flags = {"-S", "-s", "-P"}, .forks = true},
	{.name = "nodejs", .program = "/usr/bin/node", .bootstrap = "nodejs/bootstrap",
	 .sources = ".cjs", .compiled = NULL, .flags = {NULL}},
};

bool order_parse(const uint8_t *bytes, size_t size, struct order *order)
{
	const char *at = (const char *)bytes, *end = at + size, *fields[4];
	if (size == 0 || end[-1] != '\0')
		return false;
	for (int i = 0; i < 4; i++) {
		if (at == end)
			return false;
		fields[i] = at;
		at += strlen(at) + 1;
	}
	order->runtime = fields[0];
	order->handler = fields[1];
	order->cwd = fields[2];
	order->memory_mib = (unsigned)strtoul(fields[3], NULL, 10);
	const char *place = strchr(fields[3], '@');
	static char nodes[NODES_BYTES];
	const char *blocks = place == NULL ? "" : place + 1;
	if (strspn(blocks, "0123456789,") != strlen(blocks) ||
	    (blocks[0] != '\0' && !nodes_of_blocks(blocks, nodes, sizeof nodes)))
		return false;
	order->nodes = blocks[0] == '\0' ? "" : nodes;
	for (order->variables = 0; at < end; at += strlen(at) + 1) {
		if (order->variables == MAX_ENV || strchr(at, '=') == NULL)
			return false;
		order->environment[order->variables++] = at;
	}
	return true;
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");
	return strncmp(a, b, n) == 0 && b[n] == '=';
}

/* The function's variables, under ours that it may not change and over those that it may. */
static char **environment_of(const struct order *order)
{
	static char handler[4096], task[4096];
	static const char *fixed[] = {handler, task, "AWS_EXECUTION_ENV=Sparkler"};
	static const char *defaults[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp",
					 "LANG=C.UTF-8", "TZ=:UTC"};
	enum { FIXED = sizeof fixed / sizeof *fixed, DEFAULTS = sizeof defaults / sizeof *defaults };
	static const char *result[FIXED + DEFAULTS + MAX_ENV + 1];
	size_t n = 0;
	snprintf(handler, sizeof handler, "_HANDLER=%s", order->handler);
	snprintf(task, sizeof task, "LAMBDA_TASK_ROOT=%s", settings.task);
	for (size_t i = 0; i < FIXED; i++)
		result[n++] = fixed[i];
	for (size_t i = 0; i < order->variables + DEFAULTS; i++) {
		const char *variable = i < order->variables ? order->environment[i]
							    : defaults[i - order->variables];
		size_t k = 0;
		while (k < n && !same_name(result[k], variable))
			k++;
		if (k == n)
			result[n++] = variable;
	}
	result[n] = NULL;
	return (char **)result;
}

/* The child's side of the fork: says on descriptor 2 (the function's log) what went wrong. */
static _Noreturn void become(const struct instance *instance, const struct order *order, int sock,
			     int log, int stack, const char *program, char **arguments)
{
	sigset_t none;
	/* Whatever numbers the three have, none may be overwritten before it is moved. */
	sock = fcntl(sock, F_DUPFD, 10);
	log = fcntl(log, F_DUPFD, 10);
	stack = fcntl(stack, F_DUPFD, 10);
	int null = open("/dev/null", O_RDONLY);
	if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(sock, 3) < 0 ||
	    dup2(stack, 4) < 0)
		_exit(126);
	close_range(5, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	if (!cgroup_join(instance, 0))
		dprintf(2, "cannot join a cgroup: %s\n", strerror(errno));
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	if (!settings.test) {
		setrlimit(RLIMIT_NPROC, &(struct rlimit){FUNCTION_PROCESSES, FUNCTION_PROCESSES});
		if (setgroups(0, NULL) || setresgid(FUNCTION_UID, FUNCTION_UID, FUNCTION_UID) ||
		    setresuid(FUNCTION_UID, FUNCTION_UID, FUNCTION_UID)) {
			dprintf(2, "cannot become the function's user: %s\n", strerror(errno));
			_exit(126);
		}
	}
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!settings.test)
		follow_nodes(instance->nodes);
	umask(022);
	if (chdir(order->cwd) != 0) {
		dprintf(2, "cannot enter %s: %s\n", order->cwd, strerror(errno));
		_exit(126);
	}
	execve(program, arguments, environment_of(order));
	dprintf(2, "cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

const struct runtime *runtime_named(const char *name)
{
	for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
		if (strcmp(runtimes[i].name, name) == 0)
			return &runtimes[i];
	return NULL;
}

static const char *program_of(const struct runtime *runtime)
{
	bool python = strcmp(runtime->name, "python3") == 0;
	const char *other = python ? settings.python : settings.node;
	return other != NULL ? other : runtime->program;
}

void close_pipes(int sock[2], int log[2], int stack[2])
{
	for (int i = 0; i < 2; i++) {
		close(sock[i]);
		close(log[i]);
		close(stack[i]);
	}
}

bool open_pipes(int sock[2], int log[2], int stack[2])
{
	for (int i = 0; i < 2; i++)
		sock[i] = log[i] = stack[i] = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) != 0 || pipe2(log, O_CLOEXEC) != 0 ||
	    pipe2(stack, O_CLOEXEC) != 0) {
		close_pipes(sock, log, stack);
		return false;
	}
	/* Only our ends: the pipes' other ends stay blocking for the function. */
	fcntl(sock[0], F_SETFL, O_NONBLOCK);
	fcntl(log[0], F_SETFL, O_NONBLOCK);
	fcntl(stack[0], F_SETFL, O_NONBLOCK);
	return true;
}

/* The bootstrap as the image has it: compiled if it is there, else its source. */
static bool find_bootstrap(const struct runtime *runtime, char *path, size_t size)
{
	if (runtime->compiled != NULL) {
		snprintf(path, size, "%s/%s%s", settings.runtimes, runtime->bootstrap, runtime->compiled);
		if (access(path, R_OK) == 0)
			return true;
	}
	snprintf(path, size, "%s/%s%s", settings.runtimes, runtime->bootstrap, runtime->sources);
	return access(path, R_OK) == 0;
}

const char *launch(struct instance *instance, const struct order *order)
{
	static char bootstrap[4096];
	int sock[2], log[2], stack[2];
	const struct runtime *runtime = runtime_named(order->runtime);
	if (runtime == NULL)
		return "the agent knows no runtime of this name";
	const char *program = program_of(runtime);
	if (access(program, X_OK) != 0 || !find_bootstrap(runtime, bootstrap, sizeof bootstrap))
		return "the image does not hold this runtime";
	if (!open_pipes(sock, log, stack))
		return "no descriptors left";
	pid_t pid = fork();
	if (pid == 0) {
		char *arguments[9];
		size_t n = 0;
		arguments[n++] = (char *)program;
		for (size_t i = 0; i < 4 && runtime->flags[i] != NULL; i++)
			arguments[n++] = (char *)runtime->flags[i];
		arguments[n++] = bootstrap;
		if (instance->role == ZYGOTE && runtime->forks)
			arguments[n++] = "zygote";
		arguments[n] = NULL;
		become(instance, order, sock[1], log[1], stack[1], program, arguments);
	}
	if (pid < 0) {
		close_pipes(sock, log, stack);
		return "no process can be made";
	}
	close(sock[1]);
	close(log[1]);
	close(stack[1]);
	instance->pid = pid;
	instance_open(instance, sock[0], log[0], stack[0]);
	return NULL;
}
