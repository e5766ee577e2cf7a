/** Answers from what is newest. */
import { isUnreadable } from '../server-error.ts';

/** What `answer` gives; asked once more if it came upon what cannot be read, since what is newer is served by then, if there is any. */
export async function fromNewest<T>(answer: () => T | Promise<T>): Promise<T> {
  try {
    return await answer();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return answer();
  }
}
