import { EventEmitter } from 'node:events';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import { copyOut, type UseLine } from '../../../src/postgres/content/copy-out.js';

interface Query {
  submit(connection: unknown): void;
  handleError(error: unknown): void;
  handleReadyForQuery(): void;
}

/** A session whose server says what it is told to, and the driver of it. */
class Session extends EventEmitter {
  /** What the driver was given. */
  readonly toDriver: Buffer[] = [];
  written: Buffer = Buffer.alloc(0);
  isDestroyed = false;
  private current: Query | null = null;

  constructor() {
    super();
    this.on('data', (bytes: Buffer) => {
      this.toDriver.push(bytes);
      const [kind] = Buffer.concat(this.toDriver);
      // Of an error, and of what comes after the rows.
      if (kind === 0x45) this.current?.handleError(new Error('of the server'));
      else this.current?.handleReadyForQuery();
    });
  }

  query(query: Query): void {
    this.current = query;
    query.submit({ stream: this });
  }

  write(bytes: Buffer): void {
    this.written = bytes;
  }

  destroy(): void {
    this.isDestroyed = true;
    this.current?.handleError(new Error('connection terminated'));
  }

  say(bytes: Buffer, piece: number): void {
    for (let at = 0; at < bytes.length && !this.isDestroyed; at += piece)
      this.emit('data', Buffer.from(bytes.subarray(at, at + piece)));
  }
}

function message(kind: string, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length + 4);
  return Buffer.concat([Buffer.from(kind), length, bytes]);
}

const [BEGIN, NOTICE, DONE] = [message('H', 'x'), message('N', 'Slook out'), message('c', '')];
const copying = (session: Session, use: UseLine): Promise<void> =>
  copyOut(session as unknown as pg.ClientBase, Buffer.from('COPY é TO STDOUT'), use);

test('T1: rows that are copied out are handed on as they are, in whatever pieces they come, and the rest is the driver’s', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.string({ maxLength: 12 }), fc.constant('wide '.repeat(30_000))), { maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      async (rows, piece, fails) => {
        const session = new Session();
        const found: string[] = [];
        const copied = copying(session, (bytes, start, end) => found.push(bytes.toString('utf8', start, end)));
        const rest = fails ? message('E', 'no more') : Buffer.concat([DONE, message('C', 'COPY'), message('Z', 'I')]);
        const sent = [BEGIN, ...rows.flatMap((row) => [message('d', `${row}\n`), NOTICE]), rest];
        session.say(Buffer.concat(sent), rows.join('').length > 1000 ? piece * 1000 : piece);
        await (fails ? expect(copied).rejects.toThrow('of the server') : copied);
        expect(found).toEqual(rows);
        expect(Buffer.concat(session.toDriver)).toEqual(rest);
        expect(session.written.toString()).toContain('COPY é TO STDOUT');
      },
    ),
  );
});

test('T1: where rows cannot be used, the session ends, and that is what is told', async () => {
  const session = new Session();
  const copied = copying(session, () => {
    throw new Error('not this one');
  });
  session.say(Buffer.concat([BEGIN, message('d', 'a\n'), message('d', 'b\n')]), 1000);
  await expect(copied).rejects.toThrow('not this one');
  expect([session.isDestroyed, session.toDriver]).toEqual([true, []]);
});
