/** What people are shown of an index, as it is served: worked out by the query thread. */
import type { AppView } from '../indexing/appdata/app-views.ts';
import type { Encoding } from '../indexing/snapshot/encodings.ts';
import type { Answer, AnswerQuery } from './answers.ts';
import type { PublishedIndex, Served } from './published-index.ts';
import { NotBuiltYet } from './server-error.ts';

const NO_QUERY = { conditions: [], canonical: '' };
/** The JSON of a view that there is not. */
const NOTHING = 'null';

export class AppViews {
  readonly #answerQuery: AnswerQuery;

  constructor(answer: AnswerQuery) {
    this.#answerQuery = answer;
  }

  /**
   * A view as JSON, ready to send; `undefined` if the index does not have the app.
   * @throws NotBuiltYet
   */
  async served(index: PublishedIndex, view: AppView, encoding: Encoding): Promise<Served | undefined> {
    const answer = await this.#answer(index, view, encoding);
    return answer.body.length === NOTHING.length ? undefined : index.serve(answer.encoding, answer.etag, answer.body);
  }

  /**
   * A view, read; `null` if the index does not have the app.
   * @throws NotBuiltYet
   */
  async read(index: PublishedIndex, view: AppView): Promise<unknown> {
    const { body } = await this.#answer(index, view, 'identity');
    return JSON.parse(body.toString());
  }

  async #answer(index: PublishedIndex, view: AppView, encoding: Encoding): Promise<Answer> {
    const snapshot = index.snapshot?.etag;
    if (snapshot === undefined) throw new NotBuiltYet(index.name);
    const answer = await this.#answerQuery({ index: index.name, snapshot, query: NO_QUERY, view, encoding, keep: true });
    if (answer === 'whole') throw new TypeError('a view was answered by a document');
    return answer;
  }
}
