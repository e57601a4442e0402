import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, test } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { resolvedConfig } from '../../../src/config/show.js';
import { complaint, parsed, valid } from './given.js';

const mail = 'mail: { type: mail, host: smtp.example.org, from: reprise@example.org }';
const hook = 'hook: { type: webhook, url: "https://hooks.example.org/x", secret: { env: HOOK } }';
const people = (notifiers: string, contacts: string, notify = '') =>
  `${valid}notifiers:\n  ${notifiers}\ncontacts: { ${contacts} }\n${notify}`;

describe('S2: contacts, notifiers and notify', () => {
  it('examples/notify.yml: everything of them', async () => {
    const text = await readFile(join(import.meta.dirname, '../../../examples/notify.yml'), 'utf8');
    const { notifiers, contacts, notify, raci } = parseConfig(text, '/etc/reprise/reprise.yml').config;
    expect(notifiers).toEqual({
      mail: {
        name: 'mail',
        type: 'mail',
        addressed: true,
        options: {
          host: 'smtp.example.org',
          port: 587,
          login: { user: 'reprise', password: { file: '/etc/reprise/smtp_password' } },
          from: 'reprise@example.org',
          security: 'starttls',
        },
      },
      chat: {
        name: 'chat',
        type: 'webhook',
        addressed: false,
        options: {
          url: { file: '/etc/reprise/webhook_url' },
          secret: { file: '/etc/reprise/webhook_secret' },
          allow: null,
          allowPrivate: false,
          timeoutSeconds: 20,
        },
      },
      pager: expect.objectContaining({
        options: expect.objectContaining({ allow: ['pager.internal.example.org', '10.1.0.0/16'] }),
      }),
      outside: {
        name: 'outside',
        type: 'heartbeat',
        takesRuns: true,
        addressed: false,
        options: {
          url: { file: '/etc/reprise/heartbeat_url' },
          method: 'POST',
          signals: ['start', 'success', 'fail'],
          allow: null,
          allowPrivate: false,
          timeoutSeconds: 20,
        },
      },
    });
    expect(contacts['dba']).toEqual({ mail: ['dba@example.org'], phone: '+33 1 00 00 00 00' });
    expect(notify).toEqual({
      failure: ['mail', 'chat'],
      'waiting-approval': ['mail', 'pager'],
      incident: ['mail', 'chat', 'pager'],
      recovered: ['mail'],
    });
    expect(raci).toEqual({ backup: ['ops', 'dba'] });
  });

  it('the lines of the contract: one address or a list, addresses for notifiers there are not, roles', () => {
    const config = parsed(
      people(
        mail,
        'ops: { mail: [ops@example.org], pagerduty: ops }, qa: { mail: qa@example.org }',
        'notify: { failure: [mail] }\nraci: { backup: { responsible: ops, support: qa }, drill: { responsible: ops } }\n',
      ),
    );
    expect(config.contacts).toMatchObject({
      ops: { mail: ['ops@example.org'], pagerduty: 'ops' },
      qa: { mail: ['qa@example.org'] },
    });
    expect(config.raci).toEqual({ backup: ['ops', 'qa'], drill: ['ops'] });
  });

  it('a notifier of another name has addresses under that name', () => {
    const config = parsed(
      people(
        mail.replace('mail:', 'night-mail:'),
        'ops: { night-mail: ops@example.org }',
        'notify: { incident: [night-mail] }\n',
      ),
    );
    expect(config.contacts['ops']).toEqual({ 'night-mail': ['ops@example.org'] });
  });

  it('TLS: required by default; none on this very machine; 465 speaks it from the first byte', () => {
    const security = (more: string) =>
      parsed(people(mail.replace('host: smtp.example.org', more), '')).notifiers['mail']?.options['security'];
    expect(security('host: smtp.example.org')).toBe('starttls');
    for (const host of ['localhost', '127.0.0.1', '"::1"']) expect(security(`host: ${host}, port: 25`)).toBe('none');
    expect(security('host: localhost, tls: required')).toBe('starttls');
    expect(security('host: smtp.example.org, port: 465, tls: none')).toBe('implicit');
    expect(security('host: smtp.example.org, tls: none')).toBe('none');
    expect(security('host: smtp.example.org, tls: none, user: u, password: { env: P }, password_in_clear: true')).toBe(
      'none',
    );
  });

  test.each<[string, string, string[]]>([
    [
      'an unknown notifier',
      people(mail, 'ops: { mail: a@b.org }', 'notify: { failure: [mial] }'),
      ['reprise.yml:13:21: unknown notifier "mial"', 'HINT did you mean "mail"?'],
    ],
    [
      'an unknown event',
      people(mail, 'ops: { mail: a@b.org }', 'notify: { failures: [mail] }'),
      ['reprise.yml:13:11: unknown key "failures"', 'HINT did you mean "failure"?'],
    ],
    [
      'an event of a later version',
      people(mail, 'ops: { mail: a@b.org }', 'notify: { missed-run: [mail] }'),
      [
        'reprise.yml:13:11: "missed-run" is not supported by this version',
        'HINT remove it: reports of missed runs come with a later version',
      ],
    ],
    [
      'an unknown kind',
      people('x: { type: fax }', ''),
      ['reprise.yml:11:14: unknown type "fax"', 'HINT known types: mail, heartbeat, webhook'],
    ],
    [
      'nobody to be told',
      people(mail, 'ops: { phone: "1" }', 'notify: { failure: [mail] }'),
      [
        'reprise.yml:13:21: notifier mail reaches nobody: no contact has an address for it',
        'HINT add contacts: { NAME: { mail: [ADDRESS] } }',
      ],
    ],
    [
      'a heartbeat for an event',
      people('x: { type: heartbeat, url: "https://hc.example.org/{work}" }', '', 'notify: { failure: [x] }'),
      [
        'reprise.yml:13:21: notifier x is told of every scheduled run, and of nothing else',
        'HINT take it out here: it needs no line under notify',
      ],
    ],
    [
      'a notifier twice',
      people(mail, 'ops: { mail: a@b.org }', 'notify: { failure: [mail, mail] }'),
      ['reprise.yml:13:27: notifier "mail" appears here twice', 'HINT keep one of them'],
    ],
    [
      'an address that is none',
      people(mail, 'ops: { mail: [a@b.org, nobody] }'),
      ['reprise.yml:12:36: expected a mail address'],
    ],
    [
      'an address for no notifier',
      people(mail, 'ops: { mial: a@b.org }'),
      ['reprise.yml:12:20: unknown key "mial"', 'HINT did you mean "mail"?'],
    ],
    [
      'a role of nobody',
      people(mail, 'ops: {}', 'raci: { backup: { responsible: opps } }'),
      ['reprise.yml:13:19: unknown contact "opps"', 'HINT did you mean "ops"?'],
    ],
    [
      'a reserved name',
      people(mail.replace('mail:', 'phone:'), ''),
      ['reprise.yml:11:3: a notifier may not be named phone', 'HINT contacts have a key of that name'],
    ],
    [
      'a login without a password',
      people(mail.replace('from:', 'user: u, from:'), ''),
      ['reprise.yml:11:3: the login has no password', 'HINT give user: and password:, or neither'],
    ],
    [
      'a password in clear',
      people(mail.replace('from:', 'tls: none, user: u, password: { env: P }, from:'), ''),
      [
        'reprise.yml:11:52: the password would be sent over the network without encryption',
        'HINT use tls: required, or set password_in_clear: true',
      ],
    ],
    [
      'a webhook without a secret',
      people(hook.replace(', secret: { env: HOOK }', ''), ''),
      ['reprise.yml:11:3: missing key "secret"'],
    ],
    [
      'a URL that is none',
      people(hook.replace('https://hooks.example.org/x', 'ftp://x'), ''),
      ['reprise.yml:11:31: expected a URL that starts with https:// or http://'],
    ],
    [
      'a network that is none',
      people(hook.replace('secret:', 'allow: [10.0.0.0/99], secret:'), ''),
      ['reprise.yml:11:70: expected a host name, an address or a network such as 10.1.0.0/16'],
    ],
  ])('F38: %s', (_, text, expected) => {
    expect(complaint(text)).toEqual(expected);
  });

  it('F39: a secret in the place of its reference is refused and not repeated; references are shown, relative files from the folder', () => {
    for (const text of [
      people(mail.replace('from:', 'user: u, password: hunter2, from:'), ''),
      people(hook.replace('{ env: HOOK }', 'hunter2'), ''),
      people(hook.replace('https://hooks', 'https://u:hunter2@hooks'), ''),
      people(hook.replace('{ env: HOOK }', '{ value: hunter2 }'), ''),
    ]) {
      expect(complaint(text).join()).toMatch(/a secret must not be written in this file|a URL may not hold/);
      expect(complaint(text).join()).not.toContain('hunter2');
    }
    const loaded = parseConfig(
      people(hook.replace('{ env: HOOK }', '{ file: secrets/hook }'), ''),
      '/etc/reprise/reprise.yml',
      'reprise.yml',
    );
    const shown = resolvedConfig({ ...loaded, label: 'reprise.yml', chosenBy: 'flag' });
    expect(shown['notifiers']).toMatchObject({ hook: { secret: { file: '/etc/reprise/secrets/hook' } } });
  });
});
