/** Finds what a configuration names and this machine does not have, or does not let this user use. */
import { once } from 'node:events';
import { accessSync, constants, lstatSync, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import type { Config } from './config.ts';
import { shown, type KeyPath, type Problems } from './problems.ts';

/** Ports below it are for those whom the system lets. */
const FIRST_FREE_PORT = 1024;

/**
 * Adds a problem for each folder that is missing or cannot be made, and for an address that cannot be listened at.
 * Changes nothing.
 */
export async function checkMachine({ stateDir, iconsDir, indexes, server }: Config, problems: Problems): Promise<void> {
  const written = (path: KeyPath, folder: string, expected: string): void => {
    const fault = writeFault(folder);
    if (fault !== undefined)
      problems.add(
        path,
        `needs the folder ${shown(folder)}, where nothing can be written: ${fault}, expected ${expected}`,
      );
  };
  const read = (path: KeyPath, folder: string, expected: string): void => {
    const fault = readFault(folder);
    if (fault !== undefined)
      problems.add(path, `needs the folder ${shown(folder)}, which ${fault}, expected ${expected}`);
  };

  written(['state_dir'], stateDir, 'a folder that this user may make or write to');
  if (iconsDir !== undefined && indexes.some(({ extractIcons }) => extractIcons))
    written(['icons_dir'], iconsDir, 'a folder that this user may make or write to');
  for (const { name, registry, output, signaturesDir } of indexes) {
    if (registry.startsWith(LAYOUT_PREFIX))
      read(['indexes', name, 'registry'], registry.slice(LAYOUT_PREFIX.length), 'a folder with OCI image layouts');
    if (output !== undefined)
      written(['indexes', name, 'output'], dirname(output), 'a file in a folder that this user may make or write to');
    if (signaturesDir !== undefined)
      read(['indexes', name, 'signatures_dir'], signaturesDir, 'a folder with signatures');
  }
  const fault = await addressFault(server.host, server.port);
  if (fault === 'EACCES')
    problems.add(
      ['server', 'port'],
      `is ${server.port}, where this user may not listen, expected a port from ${FIRST_FREE_PORT} on, or the right to`,
    );
  else if (fault !== undefined)
    problems.add(
      ['server', 'host'],
      `is ${shown(server.host)}, which ${fault}, expected an address of this machine, 127.0.0.1 or 0.0.0.0`,
    );
}

const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'the system does not allow new files',
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'it cannot be written to',
  ENOSPC: 'the disk is full',
};

/**
 * Returns why nothing can be written to a folder, which need not exist yet; names the folder above it that is at fault.
 */
function writeFault(folder: string): string | undefined {
  const above = dirname(folder);
  try {
    if (!statSync(folder).isDirectory()) return `${folder} is not a folder`;
  } catch (error) {
    if (isLink(folder)) return `${folder} is a link that leads nowhere`;
    return above === folder ? String(error) : writeFault(above);
  }
  try {
    // Permissions alone do not tell, of a disk that is read-only or of /proc.
    rmdirSync(mkdtempSync(join(folder, '.regindexer-check-')));
    return undefined;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return `in ${folder} ${FAULTS[code] ?? `nothing can be made (${code})`}`;
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

/** Returns why a folder cannot be read, in words that follow its name. */
function readFault(folder: string): string | undefined {
  try {
    if (!statSync(folder).isDirectory()) return 'is not a folder';
    accessSync(folder, constants.R_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' ? 'may not be read by this user' : 'does not exist';
  }
}

/**
 * Returns why a server cannot listen there, in words that follow the host, or `EACCES`. An address in use is not a
 * fault.
 */
async function addressFault(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    // Another port than that which clients may be asking just now.
    server.listen({ host, port: port < FIRST_FREE_PORT ? port : 0 });
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') return undefined;
    if (code === 'EACCES') return code;
    if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') return 'is not an address of this machine';
    return code === 'ENOTFOUND' || code === 'EAI_AGAIN' ? 'leads to no address' : `cannot be listened at (${code})`;
  } finally {
    server.close();
  }
}
