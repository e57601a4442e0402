import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { log } from '@temporalio/workflow';

/** Stands for a payload that cannot be decoded: of another program, encrypted, or damaged. */
interface Unreadable {
  readonly repriseUnreadable: string;
}

let record = (text: string): void => log.warn(text);

/** Has messages that could not be read or handled recorded by the operation; else they stand in the worker's log only. */
export function recordUnreadableMessages(by: (text: string) => void): void {
  record = by;
}

export const recordUnreadable = (text: string): void => record(text);

export function isUnreadable(value: unknown): value is Unreadable {
  return typeof value === 'object' && value !== null && typeof (value as Unreadable).repriseUnreadable === 'string';
}

/** The payloads, with another one in place of each that the SDK could not decode: it would fail the workflow task, for ever. */
export function readablePayloads(payloads: readonly Payload[]): Payload[] {
  return payloads.map((payload) => {
    try {
      defaultPayloadConverter.fromPayload(payload);
      return payload;
    } catch (error) {
      const unreadable: Unreadable = { repriseUnreadable: error instanceof Error ? error.message : String(error) };
      return defaultPayloadConverter.toPayload(unreadable);
    }
  });
}
