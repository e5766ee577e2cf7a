/**
 * `regindexer health`: asks the service that runs with the same configuration whether it is alive, for health checks of
 * containers.
 */
import { messageOf } from '../system/message-of.ts';
import { askService } from './ask-service.ts';
import { type Configure, FAILURE, SUCCESS } from './command.ts';

/** Exits with 0 if the service answers, else prints the reason. */
export async function health(configure: Configure): Promise<number> {
  const { config } = await configure();
  try {
    const answer = await askService(config, '/healthz');
    answer.resume();
    if (answer.statusCode !== 200) throw new Error(`/healthz answered ${answer.statusCode}`);
    return SUCCESS;
  } catch (error) {
    process.stderr.write(`regindexer: health check failed: ${messageOf(error)}\n`);
    return FAILURE;
  }
}
