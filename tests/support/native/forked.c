/* A program in QEMU's place that lets itself be made a template. It does to its descriptors what
   QEMU does, opens its memory, and then obeys the byte commands that come over its channel. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANNEL 4

static void *run(void *unused) { return unused; }

static char obey(char command, int event, int poller, const char *memory) {
  struct epoll_event got;
  uint64_t one = 1;
  pthread_t thread;
  switch (command) {
    case 'm': /* the first byte of memory */
      return memory[0];
    case 'w': /* wakes itself */
      return write(event, &one, sizeof one) == sizeof one ? 'y' : 'n';
    case 'a': /* was it woken? */
      return epoll_wait(poller, &got, 1, 0) == 1 && got.data.u64 == 77 ? 'y' : 'n';
    case 't':
      return pthread_create(&thread, NULL, run, NULL) == 0 && pthread_join(thread, NULL) == 0 ? 'y'
                                                                                             : 'n';
    case 's':
      return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 'n' : 'y';
    case 'f':
      return fork() < 0 ? 'n' : 'y';
    case 'x':
      execl("/bin/true", "true", NULL);
      return 'n';
    case 'u':
      return setuid(0) < 0 ? 'n' : 'y';
    default:
      exit(command - '0');
  }
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "pipe") == 0) {
    int ends[2];
    if (pipe(ends) != 0) return 1;
  }
  int channel = fcntl(CHANNEL, F_DUPFD_CLOEXEC, 30);
  close(CHANNEL);
  fcntl(channel, F_SETFL, O_NONBLOCK);
  int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event watched = {.events = EPOLLIN, .data.u64 = 77};
  epoll_ctl(poller, EPOLL_CTL_ADD, event, &watched);
  int fd = open("/sparkler/memory", O_RDWR);
  const char *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  if (fd < 0 || memory == MAP_FAILED) return 1;
  /* O_NONBLOCK must have come with the new descriptor. */
  if ((fcntl(channel, F_GETFL) & O_NONBLOCK) == 0) return 2;
  fcntl(channel, F_SETFL, 0);
  for (char command; read(channel, &command, 1) == 1;) {
    char answer = obey(command, event, poller, memory);
    if (write(channel, &answer, 1) != 1) return 3;
  }
  return 0;
}
