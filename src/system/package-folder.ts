/** Locates the package, both for sources and for the built program. */
import { fileURLToPath } from 'node:url';

/** The folder with `package.json` and `public`. */
export const PACKAGE_FOLDER = fileURLToPath(new URL('.', import.meta.resolve('regindexer/package.json')));
