/*
 * Stands in for a VMM in the tests of native/: maps a file as guest memory and writes to it when
 * told. `mapper shared|private PATH LENGTH`; commands on standard input, one a line:
 *   w PAGE BYTE   fills a page      r PAGE   prints the page's first byte as a number
 *   h PAGE        punches a hole into the file there, as a balloon does; prints what came of it
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int is_shared = strcmp(argv[1], "shared") == 0;
  size_t length = strtoul(argv[3], NULL, 10), page;
  int fd = open(argv[2], is_shared ? O_RDWR : O_RDONLY), byte;
  struct stat seen;
  if (fd < 0 || fstat(fd, &seen) != 0) return 3;
  if (is_shared && seen.st_size == 0 && ftruncate(fd, (off_t)length) != 0) return 3;
  unsigned char *at = mmap(NULL, length, PROT_READ | PROT_WRITE,
                           is_shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
  if (at == MAP_FAILED) return 4;
  printf("%lx\n", (unsigned long)at);
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "w %zu %d", &page, &byte) == 2) {
      memset(at + page * 4096, byte, 4096);
      printf("written\n");
    } else if (sscanf(line, "h %zu", &page) == 1) {
      int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
      printf("%d\n", fallocate(fd, how, (off_t)page * 4096, 4096));
    } else if (sscanf(line, "r %zu", &page) == 1) {
      printf("%d\n", at[page * 4096]);
    }
    fflush(stdout);
  }
  return 0;
}
