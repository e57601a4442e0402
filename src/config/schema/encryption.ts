import { z } from 'zod';
import { holdsAgeIdentity, isAgeRecipient } from '../../domain/text/age-keys.js';
import type { EncryptionConfig } from '../../domain/config.js';
import { path } from '../../domain/fields.js';
import { argv } from './fields.js';
import { withHint } from '../problem.js';

const PRIVATE_KEY = withHint(
  'this is a private key: it must not be written in this file',
  'write its public key, which `age-keygen -y KEYFILE` prints; create a new private key, because this one is exposed',
);

/** A public key; what is wrong with one is told without repeating it: it may be a private one. */
const recipient = z.string().superRefine((text, context) => {
  if (isAgeRecipient(text)) return;
  context.addIssue(
    holdsAgeIdentity(text)
      ? PRIVATE_KEY
      : withHint(
          'this is no public key of age',
          'write it as age-keygen prints it: age1 and 58 letters and digits; one of them may be wrong',
        ),
  );
});

const identity = z
  .strictObject({
    file: path().optional().describe('Key file of age-keygen, mode 0600, readable by the user that jobs run as.'),
    command: argv()
      .refine((words) => !words.some(holdsAgeIdentity), PRIVATE_KEY)
      .optional()
      .describe('Program that prints a private key; only age gets its output.'),
  })
  .superRefine(({ file, command }, context) => {
    if ((file === undefined) === (command === undefined))
      context.addIssue(
        withHint(
          'expected file: or command:, one of them',
          'file: names a key file, command: a program that prints a key',
        ),
      );
  })
  .transform(({ file, command = [] }): NonNullable<EncryptionConfig['identity']> =>
    file === undefined ? { command } : { file },
  );

/** Schema of `encryption`, of a policy or of a repository. */
export const encryptionSchema = z
  .strictObject({
    recipients: z
      .array(recipient)
      .default([])
      .describe('Public keys; each of their private keys alone can decrypt the files.'),
    recipients_file: path().optional().describe('File with further public keys, one on each line.'),
    identity: identity
      .optional()
      .describe('Where this host gets a private key; absent: it cannot read, verify or restore what it writes.'),
  })
  .superRefine(({ recipients, recipients_file }, context) => {
    if (recipients.length === 0 && recipients_file === undefined) {
      context.addIssue(
        withHint(
          'encryption names no recipient: no key could read the files',
          'add recipients: [age1...], with a second key that is kept elsewhere',
        ),
      );
    }
  })
  .transform(({ recipients, recipients_file: recipientsFile, identity }): EncryptionConfig => ({
    recipients,
    recipientsFile,
    identity,
  }));
