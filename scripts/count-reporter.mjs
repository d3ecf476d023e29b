/** Closes a vitest run with the line that CI reads: `N passed, N failed, N skipped`. */
export default class CountReporter {
  onTestRunEnd(modules, unhandled) {
    const count = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) {
      const failed = [...module.children.allTests('failed')].length;
      count.failed += failed;
      count.passed += [...module.children.allTests('passed')].length;
      count.skipped += [...module.children.allTests('skipped')].length;
      // A hook or an import that failed fails no test by itself, and must not look like a pass.
      if (!module.ok() && failed === 0) count.failed++;
    }
    const { passed, failed, skipped } = count;
    process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  }
}
