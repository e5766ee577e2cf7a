/** The memory of a server that is asked very many different questions. */
import pMap from 'p-map';
import { Pool } from 'undici';
import { randomRepository } from '../sources/random-images.ts';
import { LARGE_INDEXES, LARGE_REPOSITORIES } from './large-state.ts';
import { memoryOf } from './process-usage.ts';
import { hundredImages } from './query-latency.ts';
import type { Cell, Table } from './table.ts';

/** Answers that are kept are within their limit long before the end. */
const QUESTIONS = 40_000;
/** The memory is read after each so many. */
const STEP = 5_000;
/** One in so many questions selects 100 images, the others those of one app. */
const LARGE_EVERY = 10;
const CONCURRENCY = 8;

/** Asks a server over the large state; `pid` is its process. */
export async function queryMemoryTable(url: string, pid: number): Promise<Table> {
  process.stderr.write(`memory after ${QUESTIONS} questions\n`);
  const pool = new Pool(url, { connections: CONCURRENCY });
  const indexes = Object.keys(LARGE_INDEXES);
  const large = hundredImages(LARGE_REPOSITORIES);
  const rows: Cell[][] = [];
  const record = async (asked: number): Promise<void> => {
    const { now, peak } = await memoryOf(pid);
    rows.push([asked, now / 1e6, peak / 1e6, '< 450 MB, flat']);
  };

  const ask = async (number: number): Promise<void> => {
    const question =
      number % LARGE_EVERY === 0
        ? String(large.next().value)
        : `repository=${encodeURIComponent(randomRepository(number % LARGE_REPOSITORIES))}&os=linux`;
    const path = `/${indexes[number % indexes.length]}/index/static?${question}`;
    const { statusCode, body } = await pool.request({ method: 'GET', path, headers: { 'accept-encoding': 'gzip' } });
    await body.dump();
    if (statusCode !== 200) throw new Error(`${path} was answered with ${statusCode}`);
  };

  await record(0);
  for (let asked = 0; asked < QUESTIONS; asked += STEP) {
    await pMap(
      Array.from({ length: STEP }, (_, number) => asked + number),
      ask,
      { concurrency: CONCURRENCY },
    );
    await record(asked + STEP);
  }
  await pool.close();
  return {
    title: 'Memory of the server, 50,000 images in 4 indexes',
    columns: [{ name: 'different questions' }, { name: 'MB' }, { name: 'peak MB' }, { name: 'to reach' }],
    rows,
  };
}
