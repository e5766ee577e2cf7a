/** Webhooks of Azure Container Registry ("Azure Container Registry webhook reference"). */
import { PING, type Sender } from '../notification.ts';
import { distributionEvent } from './distribution.ts';

/** One event of Distribution, without the list around it, or `{"action": "ping"}`. */
export const acr: Sender = {
  name: 'Azure Container Registry',
  parse({ body }) {
    if (body['action'] === 'ping') return PING;
    return typeof body['action'] === 'string' && 'target' in body ? distributionEvent(body) : undefined;
  },
};
