/** Words for everybody about what went wrong with a registry: without what other hosts that it leads to have answered, which may be in an inner network. */
import { messageOf } from '../system/message-of.ts';
import { RegistryError, type RegistryErrorCode } from './registry-error.ts';
import { LAYOUTS } from './registry-id.ts';

/** How messages name the request that they are about. */
const REQUEST = /\b(?:GET|HEAD|POST) (https?:\/\/[^\s/?#]+)/g;

const FAULTS: Readonly<Record<RegistryErrorCode, string>> = {
  'not-found': 'does not have it',
  'no-catalog': 'refuses access; a login may be missing or wrong',
  denied: 'refuses access; a login may be missing or wrong',
  unavailable: 'cannot be reached, or fails',
  'too-large': 'answers with more than is read',
  'digest-mismatch': 'answers with other bytes than those that were asked for',
  malformed: 'does not answer as it should',
};

/** The message of `error`, from the first word about another host than that of the registry `id` on replaced by the kind of fault. */
export function publicWords(error: unknown, id: string): string {
  const message = messageOf(error);
  if (id.startsWith(LAYOUTS)) return message;
  const { origin } = new URL(id);
  const elsewhere = message.matchAll(REQUEST).find(([, other]) => other !== origin);
  return elsewhere === undefined ? message : `${message.slice(0, elsewhere.index)}a host that the registry leads to ${FAULTS[codeOf(error)]}; the log says more`;
}

function codeOf(error: unknown): RegistryErrorCode {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof RegistryError) return cause.code;
  return 'malformed';
}
