/** README.txt of the evidence. */
export function readmeInEnglish(signer: string | null): string {
  const signed =
    signer === null
      ? `This evidence is not signed: its hashes show that nothing was changed by accident, not who made it.`
      : `Signed with the SSH key ${signer}. Get its public key from the organisation itself, not with this folder.

  echo "reprise $(cat evidence.pub)" > allowed_signers
  ssh-keygen -Y verify -f allowed_signers -I reprise -n reprise-evidence -s manifest.json.sig < manifest.json`;
  return `Evidence of a restore drill, made by Reprise
=============================================

report.html       the report: what was restored, how long it took, what was not tested
report.md         the same as Markdown
plan.json         what the drill was to do, made before anything was restored
outcome.json      what it came to
timings.json      when each restore began, was ready, and what its phases took
checks.json       what each check found; longer results in the folder checks, output of tools in the folder logs
failures.json     what failed, in the words of the host
sign-off.json     the word of the person who looked at it, and whether anybody was asked
not-tested.json   what was left out, with the reason
versions.json     programs, and the SHA-256 of the configuration
SHA256SUMS        SHA-256 of the files above
manifest.json     the same hashes, and the SHA-256 of the manifest of the drill before

To verify it with standard tools, in this folder:

${signed}

  sha256sum --check --quiet SHA256SUMS
  grep -q "$(sha256sum < SHA256SUMS | cut -c1-64)" manifest.json && echo "SHA256SUMS is the one of the manifest"

A file that is in neither list was added later. "previous" in manifest.json is the SHA-256 of the manifest.json of the drill
with the number before: compare it with  sha256sum < ../DRILL/manifest.json

With Reprise, everything at once, also for a folder with many drills:

  reprise drill evidence FOLDER --verify --public-key evidence.pub
`;
}
