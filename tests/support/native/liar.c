/*
 * Loaded into a page server: lets the kernel say what it seldom says. Set by the environment:
 *
 *   LIAR_PREAD=FD:N:ERRNO   the Nth read of descriptor FD fails; with ERRNO 0 the file ends there
 *   LIAR_SPLIT=BYTES        a read gives at most so many bytes
 *   LIAR_STOP=N             the process stops itself (SIGSTOP) before its Nth copy
 *   LIAR_AGAIN=N            the first N copies and zero pages are refused with EAGAIN
 *   LIAR_EVENT=N            the first event read is one of number N
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <unistd.h>

static long setting(const char *name) {
  const char *value = getenv(name);
  return value == NULL ? 0 : atol(value);
}

ssize_t pread(int fd, void *to, size_t length, off_t offset) {
  static ssize_t (*real)(int, void *, size_t, off_t);
  static long reads;
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "pread");
  const char *plan = getenv("LIAR_PREAD");
  int which = -1, number = 0, error = 0;
  if (plan != NULL) sscanf(plan, "%d:%d:%d", &which, &number, &error);
  if (fd == which && ++reads == number) {
    errno = error;
    return error == 0 ? 0 : -1;
  }
  size_t most = (size_t)setting("LIAR_SPLIT");
  return real(fd, to, most != 0 && most < length ? most : length, offset);
}

ssize_t read(int fd, void *to, size_t length) {
  static ssize_t (*real)(int, void *, size_t);
  static int told;
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "read");
  long event = setting("LIAR_EVENT");
  if (event == 0 || told || length < sizeof(struct uffd_msg) ||
      length % sizeof(struct uffd_msg) != 0)
    return real(fd, to, length);
  told = 1;
  struct uffd_msg message = {.event = (unsigned char)event};
  memcpy(to, &message, sizeof message);
  return sizeof message;
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, void *);
  static long copies, refused;
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "ioctl");
  if (request == UFFDIO_COPY && ++copies == setting("LIAR_STOP")) raise(SIGSTOP);
  if ((request == UFFDIO_COPY || request == UFFDIO_ZEROPAGE) && refused < setting("LIAR_AGAIN")) {
    refused++;
    errno = EAGAIN;
    return -1;
  }
  return real(fd, request, argument);
}
