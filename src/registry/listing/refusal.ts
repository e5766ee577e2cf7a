/** Makes errors of answers of an API that are not its list. */
import { answerError } from '../http/transport/answer-error.ts';
import { headerValue, type HttpResponse } from '../http/transport/http-message.ts';
import type { RegistryError } from '../registry-error.ts';
import type { ListingApi, Owner } from './listing-api.ts';
import { refusalPause } from './rate-limit.ts';

/** The request, for messages. */
export interface Asked {
  readonly api: ListingApi;
  readonly owner: Owner;
  /** The login that the request showed, in words; `undefined` for none. */
  readonly login: string | undefined;
  /** Another page was read before. */
  readonly isLater?: boolean;
}

/** The error for an answer whose status is not 200, with what to do. */
export function refusal(response: HttpResponse, asked: Asked): RegistryError {
  const { status } = response;
  const pause = refusalPause(response);
  if (pause !== undefined) {
    const end = new Date(Date.now() + pause).toISOString();
    const more = asked.login !== undefined ? '' : `, or is higher with ${asked.api.expectedToken}`;
    return answerError(response, { code: 'unavailable', advice: `its limit of requests ends at ${end}${more}` });
  }
  // A 404 must not count as that of a repository.
  if (status === 404)
    return answerError(
      response,
      asked.isLater === true ? { code: 'malformed' } : { code: 'no-catalog', advice: absent(asked) },
    );
  if (status === 401 || status === 403) return answerError(response, { advice: denied(status, asked) });
  return answerError(response, { advice: redirected(response) });
}

function absent({ api: { name, expectedToken }, owner, login }: Asked): string {
  const which = `${name} has no ${owner.key} ${JSON.stringify(owner.name)}`;
  return login === undefined
    ? `${which}, or shows it only with a token, expected ${expectedToken}`
    : `${which}, or does not show it with ${login}, expected ${expectedToken}`;
}

function denied(status: number, { api: { name, expectedToken }, login }: Asked): string {
  if (login === undefined) return `${name} needs a token for this, expected ${expectedToken}`;
  return status === 401
    ? `${name} refuses ${login}, which is wrong or has expired, expected ${expectedToken}`
    : `${name} does not list these with ${login}, expected ${expectedToken}`;
}

/** The advice for a redirect to another origin, where the token is not sent. */
function redirected({ status, headers }: HttpResponse): string {
  const location = headerValue(headers, 'location');
  const url = status >= 300 && status < 400 && location !== undefined ? URL.parse(location) : null;
  return url === null ? '' : `it is at ${url.origin}, where the token is not sent: set url to the API's own`;
}
