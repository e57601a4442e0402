/** From the most to the least; `debug` shows each activity and workflow task, `trace` also the polls of the SDK. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `text` for people, `json` for machines: one object a line. */
export const logFormats = ['text', 'json'] as const;
export type LogFormat = (typeof logFormats)[number];

/** What a worker logs on stderr. */
export interface LogSettings {
  readonly level: LogLevel;
  readonly format: LogFormat;
}
