/** One benchmark: what it shows and how it is run. */
import type { Table } from './table.ts';

export interface Benchmark {
  /** One line for the usage. */
  readonly summary: string;
  /** Measures, and says on stderr what it is at. Whatever it starts and writes is gone when it ends. */
  readonly run: () => Promise<readonly Table[]> | AsyncIterable<Table>;
}
