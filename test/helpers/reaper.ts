import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

/**
 * Servers outlive a test run that is interrupted or killed, and no handler runs after SIGKILL. So a small
 * shell watches our end of a pipe: when it closes without a word, we are gone, and the shell clears up.
 *
 * A process is known by its pid and its start time (field 22 of its stat): a pid alone may be another's by then. What lies in a
 * test's directory goes with it: jobs that outlive their worker, as pg_receivewal, which connects again for ever, and servers that
 * a recovery has started. They name it in their arguments, or carry a job's mark.
 */
const script = `
trap '' INT TERM HUP
started() { sed "s/.*) //" "/proc/$1/stat" 2>/dev/null | grep -v "^Z" | cut -d" " -f20; }
same() { [ -n "$2" ] && [ "$(started "$1")" = "$2" ]; }
pids=; dirs=
while IFS= read -r line; do
  case "$line" in
    "pid "*) p=\${line#pid }; pids="$pids $p:$(started "$p")" ;;
    "dir "*) dirs="$dirs
\${line#dir }" ;;
    done) exit 0 ;;
  esac
done
left() {
  for p in $pids; do if same "\${p%:*}" "\${p#*:}"; then echo "\${p%:*}"; fi; done
  printf '%s\\n' "$dirs" | while IFS= read -r d; do
    case "$d" in */reprise-*) ;; *) continue ;; esac
    grep -alF -- "$d/" /proc/[0-9]*/cmdline 2>/dev/null
    grep -alF -- "REPRISE_JOB=$d/" /proc/[0-9]*/environ 2>/dev/null
  done | cut -d/ -f3
}
for p in $(left); do kill -INT "$p" 2>/dev/null; done
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -n "$(left)" ] || break
  sleep 0.25
done
for p in $(left); do kill -KILL "$p" 2>/dev/null; done
printf '%s\\n' "$dirs" | while IFS= read -r d; do
  [ -n "$d" ] || continue
  cut -d' ' -f2 /proc/mounts | grep -F -- "$d/" | while IFS= read -r m; do umount -l "$m"; done
  rm -rf -- "$d"
done
`;

/** The reaper's own processes, which are no leak. */
export const reaperPids = new Set<number>();

export class Reaper {
  private readonly shell: ChildProcess;

  constructor() {
    this.shell = spawn('sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' });
    if (this.shell.pid !== undefined) reaperPids.add(this.shell.pid);
    this.shell.stdin?.on('error', () => undefined);
    // Neither may keep jest from ending.
    this.shell.unref();
    (this.shell.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  }

  /** Has a process interrupted, then killed, if we die before `done`. */
  process(pid: number): void {
    this.tell(`pid ${pid}`);
  }

  /** Has a directory removed if we die before `done`. */
  directory(path: string): void {
    this.tell(`dir ${path}`);
  }

  /** All is cleared up already. */
  done(): void {
    this.tell('done');
    this.shell.stdin?.end();
  }

  /** Closes the pipe without a word, as our death would. */
  abandon(): void {
    this.shell.stdin?.end();
  }

  private tell(line: string): void {
    this.shell.stdin?.write(`${line}\n`);
  }
}
