/** What all requests about one repository have in common. */
import type { RegistryError } from '../registry-error.ts';
import { loginAdvice } from './access/login.ts';
import { answerError } from './transport/answer-error.ts';
import type { Subject } from './transport/authenticator.ts';
import type { HttpResponse } from './transport/http-message.ts';
import type { Transport } from './transport/transport.ts';

/** What its requests are about. */
export function ofRepository(repository: string): Subject {
  return { repository, scope: `repository:${repository}:pull` };
}

/** The error that an answer about a repository with another status than 200 is. */
export function repositoryError(transport: Transport, response: HttpResponse): RegistryError {
  const denied = response.status === 401 || response.status === 403;
  return answerError(response, denied ? { advice: loginAdvice(transport.url, response.loginRefused === true) } : {});
}
