import { defineConfig } from 'vitest/config';

/** Three kinds of test: `unit` never boots a VM, `vm` boots real ones, `faults` kills things. */
export default defineConfig({
  test: {
    reporters: ['default', './scripts/count-reporter.mjs'],
    projects: [
      {
        test: {
          name: 'unit',
          // One kind after the other: what boots VMs would starve the rest of two cores.
          sequence: { groupOrder: 1 },
          include: ['src/**/*.test.ts', 'bench/**/*.test.ts', 'tests/unit/**/*.test.ts'],
          testTimeout: 30_000,
          // Some compile the native programs first.
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'vm',
          sequence: { groupOrder: 2 },
          include: ['tests/vm/**/*.test.ts', 'tests/security/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // Two cores: one microVM test file at a time, or every boot meets its limit.
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'faults',
          sequence: { groupOrder: 3 },
          include: ['tests/faults/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
