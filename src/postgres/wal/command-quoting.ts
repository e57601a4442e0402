/** A word of `archive_command` or `restore_command`: for the shell, and with `%` doubled, since PostgreSQL replaces `%f` and `%p` anywhere (F35). */
export function quotedForCommand(text: string): string {
  const escaped = text.replaceAll('%', '%%');
  return /^[\w./-]+$/.test(escaped) ? escaped : `'${escaped.replaceAll("'", String.raw`'\''`)}'`;
}
