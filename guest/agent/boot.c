/* From the initramfs to the root file system. Whatever fails here is fatal, with the step's name. */
#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PORT_NAME "sparkler.0"
#define PORT_WAIT (10000 * MS)
#define PORT_POLL_US 2000
#define DRIVE_WAIT (10000 * MS)

void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT); /* a machine without power management at least ends */
	for (;;)
		pause();
}

static void mount_at(const char *what, const char *where, const char *type, unsigned long flags,
		     const char *options)
{
	mkdir(where, 0755);
	if (mount(what, where, type, flags, options) != 0)
		fatal("mount %s at %s: %s", what, where, strerror(errno));
}

/* Files in memory lie in node 0, whoever writes them: a block must be free when its instance ends. */
static void mount_tmpfs(const char *where, unsigned long flags, const char *options)
{
	char bound[128];
	snprintf(bound, sizeof bound, "%s,mpol=bind:0", options);
	mkdir(where, 0755);
	if (mount("tmpfs", where, "tmpfs", flags, bound) != 0) /* the kernel knows no nodes */
		mount_at("tmpfs", where, "tmpfs", flags, options);
}

static void open_console(void)
{
	int console = open("/dev/console", O_RDWR | O_NOCTTY);
	if (console < 0)
		return;
	dup2(console, 0);
	dup2(console, 1);
	dup2(console, 2);
	if (console > 2)
		close(console);
}

static bool kernel_argument(const char *name)
{
	char line[4097];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
	if (fd >= 0)
		close(fd);
	line[n > 0 ? n : 0] = '\0';
	for (char *save = NULL, *word = strtok_r(line, " \n", &save); word != NULL;
	     word = strtok_r(NULL, " \n", &save))
		if (strcmp(word, name) == 0)
			return true;
	return false;
}

/* `number` is a virtio device's kind as its file has it: 0x0018. */
static bool has_virtio_device(const char *number)
{
	char path[300], text[16];
	bool found = false;
	DIR *devices = opendir("/sys/bus/virtio/devices");
	struct dirent *entry;
	while (devices != NULL && !found && (entry = readdir(devices)) != NULL) {
		snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/device", entry->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
		text[n > 0 ? n : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		found = strcmp(text, number) == 0;
		if (fd >= 0)
			close(fd);
	}
	if (devices != NULL)
		closedir(devices);
	return found;
}

/* /mods/order names the modules of /mods, one a line, each after those that it needs. With a number
   behind its name a module is loaded only where there is a virtio device of that kind. */
static void load_modules(void)
{
	static char order[16384];
	char path[512];
	int fd = open("/mods/order", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fatal("/mods/order: %s", strerror(errno));
	ssize_t n = read(fd, order, sizeof order - 1);
	close(fd);
	order[n > 0 ? n : 0] = '\0';
	for (char *save = NULL, *name = strtok_r(order, "\n", &save); name != NULL;
	     name = strtok_r(NULL, "\n", &save)) {
		char *device = strchr(name, ' ');
		if (device != NULL)
			*device++ = '\0';
		if (device != NULL && !has_virtio_device(device))
			continue;
		snprintf(path, sizeof path, "/mods/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fatal("module %s: %s", name, strerror(errno));
		if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
			fatal("module %s: %s", name, strerror(errno));
		close(fd);
	}
}

static void wait_for(const char *path, uint64_t limit)
{
	uint64_t end = now_ns() + limit;
	while (access(path, F_OK) != 0) {
		if (now_ns() > end)
			fatal("%s did not appear", path);
		usleep(PORT_POLL_US);
	}
}

static void enter_root(void)
{
	wait_for("/dev/vda", DRIVE_WAIT);
	mount_at("/dev/vda", "/lower", "erofs", MS_RDONLY, NULL);
	mount_tmpfs("/upper", 0, "size=25%,mode=0755");
	mkdir("/upper/files", 0755);
	mkdir("/upper/work", 0755);
	mount_at("overlay", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work");
	if (access("/dev/vdb", F_OK) == 0) {
		mkdir("/root/var", 0755);
		mount_at("/dev/vdb", "/root/var/task", "erofs", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL);
	}
	mount_at("/dev", "/root/dev", NULL, MS_MOVE, NULL);
	mount_at("/proc", "/root/proc", NULL, MS_MOVE, NULL);
	mount_at("/sys", "/root/sys", NULL, MS_MOVE, NULL);
	if (chdir("/root") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
		fatal("the root cannot be entered: %s", strerror(errno));
}

static void furnish(void)
{
	mount_tmpfs("/tmp", MS_NODEV | MS_NOSUID, "size=50%,mode=1777");
	mount_tmpfs("/run", MS_NODEV | MS_NOSUID, "size=16m,mode=0755");
	mount_tmpfs("/dev/shm", MS_NODEV | MS_NOSUID, "size=50%,mode=1777");
	mkdir("/sys/fs/cgroup", 0755);
	/* Moving a process must not wait for a grace period: it is on the way of each new instance. */
	if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "favordynmods") != 0 &&
	    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) != 0) {
		say("no cgroups: %s", strerror(errno));
		settings.cgroup = NULL;
	}
	if (symlink("/proc/self/fd", "/dev/fd") != 0 || symlink("fd/0", "/dev/stdin") != 0 ||
	    symlink("fd/1", "/dev/stdout") != 0 || symlink("fd/2", "/dev/stderr") != 0)
		say("/dev/fd: %s", strerror(errno));
}

static void set_kernel(const char *name, const char *value)
{
	char path[128];
	snprintf(path, sizeof path, "/proc/sys/%s", name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		say("%s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Housekeeping that a function's guest does not need, and that would run just when a clone starts. */
static void calm_kernel(void)
{
	set_kernel("vm/stat_interval", "3600");
	set_kernel("vm/compaction_proactiveness", "0");
	set_kernel("vm/dirty_writeback_centisecs", "0");
	/* System V memory ends with the processes that use it. */
	set_kernel("kernel/shm_rmid_forced", "1");
}

static void raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		say("lo: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static bool port_is_ours(const char *port)
{
	char path[512], name[64];
	snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", port);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, name, sizeof name - 1);
	close(fd);
	name[n > 0 ? n : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, PORT_NAME) == 0;
}

static int find_port(void)
{
	char path[300];
	uint64_t end = now_ns() + PORT_WAIT;
	/* The driver learns the ports' names from the device some time after it has started. */
	for (; now_ns() < end; usleep(PORT_POLL_US)) {
		DIR *ports = opendir("/sys/class/virtio-ports");
		if (ports == NULL)
			continue;
		struct dirent *entry;
		while ((entry = readdir(ports)) != NULL && !port_is_ours(entry->d_name))
			;
		if (entry != NULL)
			snprintf(path, sizeof path, "/dev/%s", entry->d_name);
		closedir(ports);
		if (entry == NULL)
			continue;
		int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			fatal("%s: %s", path, strerror(errno));
		return fd;
	}
	fatal("there is no virtio-serial port " PORT_NAME);
}

int boot(void)
{
	mkdir("/dev", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL); /* some kernels have done it */
	open_console();
	mount_at("proc", "/proc", "proc", MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL);
	if (kernel_argument("sparkler.probe")) {
		static const char ok[] = "sparkler-probe-ok\n";
		if (write(1, ok, sizeof ok - 1) < 0)
			say("the console cannot be written");
		power_off();
	}
	mount_at("sysfs", "/sys", "sysfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL);
	load_modules();
	enter_root();
	furnish();
	calm_kernel();
	raise_loopback();
	if (sethostname("sparkler", 8) != 0)
		say("hostname: %s", strerror(errno));
	restore_prepare();
	return find_port();
}
