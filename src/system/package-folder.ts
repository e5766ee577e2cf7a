/** Where the package lies, whether it runs from its sources or as it was built. */
import { fileURLToPath } from 'node:url';

/** The folder of `package.json` and `public`. */
export const PACKAGE_FOLDER = fileURLToPath(new URL('.', import.meta.resolve('regindexer/package.json')));
