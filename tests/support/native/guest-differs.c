/*
 * guest-differs: compares all of a VMM's guest memory, page by page, with a memory file.
 *
 *   guest-differs PID ADDRESS LENGTH FILE
 *
 * Reads as the guest would: a page that is missing is brought by whoever brings the guest's pages
 * (process_vm_readv waits for a page server; /proc/PID/mem does not). ADDRESS is hexadecimal, LENGTH
 * decimal. Prints the numbers of the pages that differ, one a line; exits 1 when it cannot read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096u
#define BATCH (64u * PAGE)

static void die(const char *what) {
  fprintf(stderr, "guest-differs: %s: %s\n", what, strerror(errno));
  exit(1);
}

int main(int argc, char **argv) {
  static unsigned char seen[BATCH], wanted[BATCH];
  if (argc != 5) return 1;
  pid_t pid = (pid_t)atol(argv[1]);
  uint64_t address = strtoull(argv[2], NULL, 16), length = strtoull(argv[3], NULL, 10);
  int file = open(argv[4], O_RDONLY | O_CLOEXEC);
  if (file < 0) die(argv[4]);
  for (uint64_t done = 0; done < length; done += BATCH) {
    struct iovec here = {seen, BATCH}, there = {(void *)(uintptr_t)(address + done), BATCH};
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)BATCH) die("guest memory");
    if (pread(file, wanted, BATCH, (off_t)done) != (ssize_t)BATCH) die("memory file");
    for (unsigned at = 0; at < BATCH; at += PAGE)
      if (memcmp(seen + at, wanted + at, PAGE) != 0)
        printf("%llu\n", (unsigned long long)((done + at) / PAGE));
  }
  return 0;
}
