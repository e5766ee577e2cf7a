/**
 * Makes messages of a registry's errors public: without the answers of other hosts, which may be in a private network,
 * and without the paths of this machine's files.
 */
import { messageOf } from '../system/message-of.ts';
import { RegistryError, type RegistryErrorCode } from './registry-error.ts';
import { LAYOUT_PREFIX } from './registry-id.ts';

/** Stands in place of what is not public. */
const SEE_LOG = '; see the log for details';
/** The request that a message names. */
const REQUEST = /\b(?:GET|HEAD|POST) (https?:\/\/[^\s/?#]+)/g;

/** Texts for the kinds of errors, after the name of a host. */
const FAULTS: Readonly<Record<RegistryErrorCode, string>> = {
  'not-found': 'does not have it',
  'no-catalog': 'refuses access; a login may be missing or wrong',
  denied: 'refuses access; a login may be missing or wrong',
  unavailable: 'cannot be reached, or fails',
  'too-large': 'gives an answer that is too large',
  'digest-mismatch': 'gives bytes that do not match the digest',
  malformed: 'gives an invalid answer',
};

/**
 * The message of `error`, without its {@link RegistryError.local} part; from the first mention of a host other than the
 * registry's on, replaced by the kind of error.
 * @param listedAt the origin of the API that lists the registry's repositories, which is configured as the registry is
 */
export function publicMessage(error: unknown, id: string, listedAt?: string): string {
  const local = causesOf(error).find((cause) => cause.local !== undefined)?.local;
  const message = local === undefined ? messageOf(error) : messageOf(error).replace(local, () => SEE_LOG);
  if (id.startsWith(LAYOUT_PREFIX)) return message;
  const { origin } = new URL(id);
  const elsewhere = message.matchAll(REQUEST).find(([, other]) => other !== origin && other !== listedAt);
  return elsewhere === undefined
    ? message
    : `${message.slice(0, elsewhere.index)}a host that the registry refers to ${FAULTS[causesOf(error)[0]?.code ?? 'malformed']}${SEE_LOG}`;
}

/** Returns the registry's errors among `error` and its causes. */
function causesOf(error: unknown): readonly RegistryError[] {
  const found: RegistryError[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof RegistryError) found.push(cause);
  return found;
}
