import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import { Regression } from '../src/storage/jetstream/admission.js';
import { EpochSeal, Outdated, requireEpoch, UNPROVEN } from '../src/storage/jetstream/epoch.js';
import { encodeMeta } from '../src/storage/jetstream/notes.js';

const incarnation = Buffer.alloc(16, 7);
const keyed = (key: string) => (message: Uint8Array) => createHmac('sha256', key).update(message).digest();
const seal = new EpochSeal('KV_test', keyed('ours'));

const meta = (epoch: number, by?: EpochSeal, of = epoch) =>
  encodeMeta({ format: 1, incarnation, epoch, seal: by?.begun(incarnation, of).seal });

/** What an instance of that epoch says of it. */
function verdict(bytes: Uint8Array | undefined, epoch: number, looking = seal): string {
  try {
    requireEpoch(bytes, { incarnation, epoch, created: '' }, looking);
    return 'its own';
  } catch (error) {
    if (error instanceof Outdated) return 'healed';
    return error instanceof Regression ? error.kind : (error as { code: string }).code;
  }
}

describe('the record of the store’s birth', () => {
  it('is that of a heal with the heal’s seal alone', () => {
    expect(verdict(meta(3, seal), 3)).toBe('its own');
    expect(verdict(meta(3, seal), 2)).toBe('healed');
    expect(verdict(meta(3), 2)).toBe('damaged');
    expect(verdict(meta(3, seal, 2), 2)).toBe('damaged');
    expect(verdict(meta(3, new EpochSeal('KV_test', keyed('another'))), 2)).toBe('damaged');
    expect(verdict(meta(3, new EpochSeal('KV_other', keyed('ours'))), 2)).toBe('damaged');
    const other = encodeMeta({
      format: 1,
      incarnation,
      epoch: 3,
      seal: seal.begun(Buffer.alloc(16), 3).seal,
    });
    expect(verdict(other, 2)).toBe('damaged');
  });

  it('says where it lies, which nobody else can say', () => {
    const { seal: by } = seal.begun(incarnation, 3, 70);
    const at = (begins: number | undefined) =>
      encodeMeta({ format: 1, incarnation, epoch: 3, begins, seal: by });
    expect(verdict(at(70), 2)).toBe('healed');
    expect(verdict(at(90), 2)).toBe('damaged');
    expect(verdict(at(undefined), 2)).toBe('damaged');
  });

  it('is looked at when its epoch is the instance’s own, too, and has a seal from the second on', () => {
    expect(verdict(meta(1), 1)).toBe('its own');
    expect(verdict(meta(2), 2)).toBe('damaged');
  });

  it('of a format that this coffer does not know is a newer coffer’s with the heal’s seal alone', () => {
    const of = (format: number, epoch: number, by?: string) =>
      encodeMeta({ format, incarnation, epoch, seal: by });
    const authentic = (epoch: number) => {
      const said = JSON.stringify(['KV_test', incarnation.toString('hex'), epoch, 99]);
      return createHmac('sha256', 'ours').update(`coffer-epoch-v1\0${said}`).digest('hex');
    };
    for (const epoch of [1, 2, 3]) {
      expect(verdict(of(99, epoch), 2)).toBe('damaged');
      expect(verdict(of(99, epoch, seal.begun(incarnation, epoch).seal), 2)).toBe('damaged');
      expect(verdict(of(99, epoch, authentic(epoch)), 2)).toBe('newer_format');
    }
    expect(verdict(Buffer.from('{"format":99}'), 2)).toBe('tampered');
    expect(verdict(of(99, 3), UNPROVEN, new EpochSeal('KV_test'))).toBe('newer_format');
  });

  it('goes back for nobody', () => {
    expect(verdict(meta(1), 2)).toBe('behind');
    expect(verdict(meta(2, seal), 3)).toBe('behind');
    expect(verdict(meta(2), 3)).toBe('damaged');
  });

  it('is missing where it was removed, and nobody’s where it does not read so', () => {
    expect(verdict(undefined, 1)).toBe('missing');
    expect(verdict(Buffer.from('x'), 1)).toBe('tampered');
    const elsewhere = encodeMeta({ format: 1, incarnation: Buffer.alloc(16), epoch: 1 });
    expect(verdict(elsewhere, 1)).toBe('recreated');
  });

  it('of an instance that has no key for the moment is of no heal and of no forger', () => {
    const locked = new EpochSeal('KV_test', () => undefined);
    expect(verdict(meta(3, seal), 2, locked)).toBe('unavailable');
    expect(verdict(meta(3), 2, locked)).toBe('unavailable');
    expect(verdict(meta(1), 1, locked)).toBe('its own');
  });

  it('of an instance that is being filled is believed until it has the key, and then is its own if it is sealed', () => {
    const filling = new EpochSeal('KV_test');
    expect(verdict(meta(3), UNPROVEN, filling)).toBe('its own');
    filling.begin(keyed('ours'));
    expect(verdict(meta(3), UNPROVEN, filling)).toBe('damaged');
    expect(verdict(meta(3, seal), UNPROVEN, filling)).toBe('its own');
  });
});
