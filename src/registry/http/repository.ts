/** What all requests about one repository have in common. */
import type { RegistryError } from '../registry-error.ts';
import { answerError } from './transport/answer-error.ts';
import type { HttpResponse } from './transport/http-message.ts';
import type { Transport } from './transport/transport.ts';

/** What a token must allow to read `repository`. */
export function repositoryScope(repository: string): string {
  return `repository:${repository}:pull`;
}

/** The error that an answer about a repository with another status than 200 is. */
export function repositoryError(transport: Transport, response: HttpResponse): RegistryError {
  const denied = response.status === 401 || response.status === 403;
  return answerError(response, denied ? { advice: `it may need registries.${transport.url}.username and password, or others` } : {});
}
