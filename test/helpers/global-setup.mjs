// jest loads this file by itself, outside its module system: hence no TypeScript, and a loader for what is.
import './typescript.mjs';

export default async function globalSetup() {
  const { startSharedServers } = await import('./shared-servers.ts');
  await startSharedServers();
}
