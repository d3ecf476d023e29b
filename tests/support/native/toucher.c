/*
 * Stands in for a VMM whose guest touches its memory: maps a file privately, without read-ahead, so
 * that only what it touches comes into the page cache. `toucher PATH LENGTH`; commands on standard
 * input, one a line: `FIRST COUNT` reads a byte of each of these pages and prints `touched`.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  size_t length = strtoul(argv[2], NULL, 10), first, count;
  int fd = open(argv[1], O_RDONLY);
  if (fd < 0) return 3;
  volatile unsigned char *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (at == MAP_FAILED || madvise((void *)at, length, MADV_RANDOM) != 0) return 4;
  puts("ready");
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "%zu %zu", &first, &count) != 2) return 5;
    for (size_t page = first; page < first + count; page++) (void)at[page * 4096];
    puts("touched");
    fflush(stdout);
  }
  return 0;
}
