/** What the time-out of an activity means: its code in the error table, and the words for it. `timeoutType` as Temporal's SDK names it. */
export function timeoutInWords(
  timeoutType: unknown,
  message: string,
): {
  readonly code: 'host-without-worker' | 'worker-lost' | 'step-stalled';
  readonly message: string;
  readonly hint: string | undefined;
} {
  switch (timeoutType) {
    case 'SCHEDULE_TO_START':
      return { code: 'host-without-worker', message: "the host's worker is not running", hint: undefined };
    case 'HEARTBEAT':
      return {
        code: 'worker-lost',
        message: "the host's worker was lost again and again while it ran this step",
        hint: "read the worker's log and the kernel's (journalctl -k) for what ended it: too little memory, for example",
      };
    default:
      return { code: 'step-stalled', message: `the step did not end in time: ${message}`, hint: undefined };
  }
}
