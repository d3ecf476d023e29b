/* Prints the checksums of known vectors: by the program's choice, by the table, by the instruction. */
#include <stdio.h>

#include "../../../native/common/crc32c.h"

static void print(const void *data, size_t length) {
  uint32_t table = ~crc32c_by_table(~0u, data, length);
  uint32_t instruction = crc32c_has_instruction() ? ~crc32c_by_instruction(~0u, data, length) : table;
  printf("%08x %08x %08x\n", crc32c(0, data, length), table, instruction);
}

int main(void) {
  unsigned char bytes[32];
  print("123456789", 9);
  memset(bytes, 0, sizeof bytes);
  print(bytes, sizeof bytes);
  memset(bytes, 0xff, sizeof bytes);
  print(bytes, sizeof bytes);
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)i;
  print(bytes, sizeof bytes);
  /* In two parts, at an odd address. */
  uint32_t whole = crc32c(0, bytes + 1, 31), parts = crc32c(crc32c(0, bytes + 1, 9), bytes + 10, 22);
  printf("%s\n", whole == parts ? "divisible" : "not divisible");
  return 0;
}
