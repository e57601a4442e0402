import { printed } from './capture-output.js';

/** Shells a completion script is made for. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The script a shell reads once; from then on it asks `reprise complete -- WORDS...`. */
export async function completionScript(shell: Shell): Promise<string> {
  if (shell === 'bash') return bash;
  const { default: tab } = await import('@bomb.sh/tab');
  return printed(() => tab.setup('reprise', 'reprise', shell));
}

/**
 * Ours for bash: tab's needs the package bash-completion, cannot be read twice, runs what was typed as a command, and
 * loses the part before a colon, which every name of a backup has.
 */
const bash = `# bash completion for reprise
__reprise_complete() {
    local -a words lines
    local cur match prefix line value
    # Words as typed: readline takes them apart at ':' and '=', which names of backups have.
    read -ra words <<<"\${COMP_LINE:0:COMP_POINT}"
    [[ "\${COMP_LINE:0:COMP_POINT}" == *[[:space:]] ]] && words+=("")
    cur=\${words[\${#words[@]} - 1]}
    mapfile -t lines < <("\${COMP_WORDS[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
    match=$cur
    [[ $cur == -*=* ]] && match=\${cur#*=}
    # Readline replaces only what follows the last of its separators.
    prefix=\${match%"\${match##*:}"}
    [[ $COMP_WORDBREAKS == *:* ]] || prefix=
    COMPREPLY=()
    for line in "\${lines[@]}"; do
        value=\${line%%$'\\t'*}
        [[ $value == :* || $value != "$match"* ]] && continue
        COMPREPLY+=("\${value#"$prefix"}")
    done
}
complete -o default -F __reprise_complete reprise`;
