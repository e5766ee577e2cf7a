/** The subject and the errors of requests for one repository. */
import type { RegistryError } from '../registry-error.ts';
import { loginAdvice } from './access/login.ts';
import { answerError } from './transport/answer-error.ts';
import type { Subject } from './transport/authenticator.ts';
import type { HttpResponse } from './transport/http-message.ts';
import type { Transport } from './transport/transport.ts';

/** The subject of requests for a repository. */
export function repositorySubject(repository: string): Subject {
  return { repository, scope: `repository:${repository}:pull` };
}

/** The error for an answer about a repository whose status is not 200. */
export function repositoryError(transport: Transport, response: HttpResponse): RegistryError {
  if (response.status !== 401 && response.status !== 403) return answerError(response);
  return answerError(response, { advice: loginAdvice(transport.url, response.loginRefused === true) });
}
