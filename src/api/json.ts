/** Says where broken JSON is broken: `JSON.parse` names the position only sometimes. */

const SPACE = /[ \t\n\r]*/y;
const SCALAR = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;
// eslint-disable-next-line no-control-regex -- JSON strings exclude control characters
const STRING_PART = /(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){1,4096}/y;

/** Reads JSON without keeping any of it, without recursion, and stops where it is not JSON. */
class Scanner {
  position = 0;

  constructor(private readonly text: string) {}

  get next(): string | undefined {
    return this.text[this.position];
  }

  skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.position;
    if (!pattern.test(this.text)) return false;
    this.position = pattern.lastIndex;
    return true;
  }

  take(character: string): boolean {
    if (this.next !== character) return false;
    this.position++;
    return true;
  }

  string(): boolean {
    if (!this.take('"')) return false;
    while (this.skip(STRING_PART));
    return this.take('"');
  }

  /** `"name" :` of an object. */
  member(): boolean {
    this.skip(SPACE);
    if (!this.string()) return false;
    this.skip(SPACE);
    return this.take(':');
  }

  /** Reads up to the end of one value or into the first element of a list or object. */
  opened(stack: string[]): 'value' | 'open' | 'broken' {
    this.skip(SPACE);
    if (this.take('{')) {
      this.skip(SPACE);
      if (this.take('}')) return 'value';
      stack.push('}');
      return this.member() ? 'open' : 'broken';
    }
    if (this.take('[')) {
      this.skip(SPACE);
      if (this.take(']')) return 'value';
      stack.push(']');
      return 'open';
    }
    if (this.next === '"') return this.string() ? 'value' : 'broken';
    return this.skip(SCALAR) ? 'value' : 'broken';
  }

  /** After a value: closes what ends here, steps over a comma. */
  closed(stack: string[]): 'more' | 'done' | 'broken' {
    for (;;) {
      this.skip(SPACE);
      const end = stack.at(-1);
      if (end === undefined) return 'done';
      if (this.take(',')) return end === ']' || this.member() ? 'more' : 'broken';
      if (!this.take(end)) return 'broken';
      stack.pop();
    }
  }
}

/** The position (from 0, in characters) at which `text` stops being JSON; its length if it ends early. */
export function brokenJsonPosition(text: string): number {
  const scanner = new Scanner(text);
  const stack: string[] = [];
  for (;;) {
    const opened = scanner.opened(stack);
    if (opened === 'broken') return scanner.position;
    if (opened === 'open') continue;
    const closed = scanner.closed(stack);
    if (closed !== 'more') return scanner.position;
  }
}

/** `line 2, column 5 (character 17)`, counted as editors do. */
export function describePosition(text: string, position: number): string {
  const before = text.slice(0, position);
  const line = before.split('\n').length;
  const column = position - before.lastIndexOf('\n');
  return `line ${line}, column ${column} (character ${position + 1})`;
}
