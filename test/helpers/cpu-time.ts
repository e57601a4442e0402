/** Milliseconds of CPU that this process has used: on a busy machine work takes longer, and no more of it. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
