import { describe, expect, it } from 'vitest';
import { crc32c } from './crc32c.js';

const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);

describe('crc32c', () => {
  // RFC 3720, appendix B.4, and the check value of the CRC catalogues.
  it.each<[string, Uint8Array, number]>([
    ['nothing', new Uint8Array(), 0],
    ['"123456789"', Buffer.from('123456789'), 0xe3069283],
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 times 0xff', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['0 to 31', ascending, 0x46dd794e],
    ['31 to 0', ascending.slice().reverse(), 0x113fdb5c],
  ])('of %s is as published', (_, data, sum) => {
    expect(crc32c(data)).toBe(sum);
  });

  it('goes on with a checksum, wherever the data is divided', () => {
    const data = Uint8Array.from({ length: 101 }, (_, i) => i * 7);
    for (let at = 0; at <= data.length; at++) {
      expect(crc32c(data.subarray(at), crc32c(data.subarray(0, at)))).toBe(crc32c(data));
    }
  });
});
