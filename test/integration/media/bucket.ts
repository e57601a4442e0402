import { setTimeout as sleep } from 'node:timers/promises';
import { CopyObjectCommand, DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { openS3 } from '../../../src/storage/s3/s3-storage.js';
import type { MediaPlace } from '../../../src/media/place.js';
import type { S3Server } from '../../helpers/s3-servers.js';

/** A bucket that applications write to, and that a test damages. */
export class MediaBucket {
  constructor(
    readonly server: S3Server,
    readonly name: string,
  ) {}

  async put(keys: readonly string[], content: (key: string) => string = (key) => `content of ${key}`): Promise<void> {
    await pMap(
      keys,
      (Key) =>
        this.server.client.send(
          new PutObjectCommand({ Bucket: this.name, Key, Body: content(Key), ContentType: 'image/x-test' }),
        ),
      { concurrency: 20 },
    );
  }

  async delete(keys: readonly string[]): Promise<void> {
    await pMap(keys, (Key) => this.server.client.send(new DeleteObjectCommand({ Bucket: this.name, Key })), {
      concurrency: 20,
    });
  }

  async copy(from: string, to: string): Promise<void> {
    await this.server.client.send(
      new CopyObjectCommand({ Bucket: this.name, Key: to, CopySource: encodeURIComponent(`${this.name}/${from}`) }),
    );
  }

  /** An instant by the server's times: what was written before is older, what comes after is newer. */
  async instant(): Promise<number> {
    const apart = this.server.kind === 'moto' ? 1100 : 20;
    await sleep(apart);
    const now = Date.now();
    await sleep(apart);
    return now;
  }

  async content(Key: string): Promise<string | null> {
    const answer = await this.server.client
      .send(new GetObjectCommand({ Bucket: this.name, Key }))
      .catch((error: Error) => {
        if (error.name === 'NoSuchKey') return null;
        throw error;
      });
    return answer === null ? null : ((await answer.Body?.transformToString()) ?? '');
  }

  place(folder = '', more: Readonly<Record<string, unknown>> = {}): MediaPlace {
    return {
      name: this.name,
      storage: openS3(readS3Options(this.server.options(this.name, more)), resolveSecret),
      folder,
    };
  }

  /** Everything in it now. */
  async contents(folder = ''): Promise<Record<string, string | null>> {
    const found: Record<string, string | null> = {};
    const { storage } = this.place();
    for await (const { key } of storage.objects!.list(folder)) found[folder + key] = await this.content(folder + key);
    return found;
  }
}
