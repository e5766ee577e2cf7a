/** Makes errors of answers with an unexpected status. */
import { RegistryError, type RegistryErrorCode } from '../../registry-error.ts';
import { isJsonObject } from '../../../system/is-json-object.ts';
import { parseJsonObject } from '../../json-object.ts';
import type { HttpResponse } from './http-message.ts';
import { isTransient } from './retry.ts';

const MAX_REASON = 200;

/**
 * The error for an answer whose status is not 200.
 * @param options.code overrides the code of the status
 * @param options.advice says what to do
 */
export function answerError(
  response: HttpResponse,
  { code = codeOf(response.status), advice = '' } = {},
): RegistryError {
  return new RegistryError(
    code,
    `${response.where}: answered ${response.status}${reasonOf(response)}${advice && `; ${advice}`}`,
  );
}

function codeOf(status: number): RegistryErrorCode {
  if (status === 404) return 'not-found';
  if (status === 401 || status === 403) return 'denied';
  return isTransient(status) ? 'unavailable' : 'malformed';
}

/**
 * The registry's own reason (OCI distribution-spec, "Error Codes"), or that of an API beside it, in printable
 * characters.
 */
function reasonOf({ body }: HttpResponse): string {
  if (body.length === 0) return '';
  try {
    const { errors, ...others } = parseJsonObject(body);
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    const { code, message, error, error_description: description, detail } = isJsonObject(first) ? first : others;
    const words = [code ?? error, message ?? description ?? detail]
      .filter((word) => typeof word === 'string')
      .join(': ');
    return words && ` (${words.replaceAll(/[^\p{L}\p{N}\p{P}\p{S}]+/gu, ' ').slice(0, MAX_REASON)})`;
  } catch {
    // Best effort: errors may have bodies of any kind.
    return '';
  }
}
