import { describe, expect, it } from 'vitest';
import { SparklerError } from '../errors.js';
import { withConsole } from './errors.js';
import { FunctionLogs } from './logs.js';
import { ByteRing, lastBytes } from './ring.js';

describe('ByteRing', () => {
  it('keeps the last bytes, however they were cut', () => {
    for (const size of [1, 2, 3, 7, 100]) {
      const ring = new ByteRing(5);
      const all = Buffer.from('abcdefghijkl');
      for (let at = 0; at < all.length; at += size) ring.push(all.subarray(at, at + size));
      expect(ring.text()).toBe('hijkl');
      expect(ring.bytes).toBe(5);
    }
  });
  it('begins with a whole character', () => {
    const ring = new ByteRing(4);
    ring.push(Buffer.from('aüü€'));
    expect(ring.text()).toBe('€');
  });
  it('shortens text to its last bytes', () => {
    expect(lastBytes('short', 100)).toBe('short');
    expect(lastBytes('abcdef', 2)).toBe('ef');
  });
});

describe('FunctionLogs', () => {
  it('keeps each function apart and forgets the one silent for longest', () => {
    const logs = new FunctionLogs(4, 8);
    logs.append('a', Buffer.from('aaaa'));
    logs.append('b', Buffer.from('bbbb'));
    logs.append('a', Buffer.from('AA'));
    logs.append('c', Buffer.from('cc'));
    expect(logs.text('a')).toBe('aaAA');
    expect(logs.text('b')).toBe('');
    expect(logs.text('c')).toBe('cc');
    logs.forget('a');
    expect(logs.text('a')).toBe('');
  });
});

describe('withConsole', () => {
  const early = new SparklerError('GUEST_NOT_READY', 'not ready', { step: 'boot' });
  it('shows the last bytes', () => {
    const error = withConsole(early, 'abc\ndef', 3);
    expect(error).toMatchObject({
      code: 'GUEST_NOT_READY',
      details: { console: 'def', step: 'boot' },
    });
  });
  it('says that the kernel panicked', () => {
    const error = withConsole(early, 'x\n[1] Kernel panic - not syncing: no init\ny', 100);
    expect(error).toMatchObject({
      code: 'GUEST_PANICKED',
      message: expect.stringContaining('no init') as string,
    });
  });
});
