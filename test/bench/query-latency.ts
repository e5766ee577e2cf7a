/** How long a question takes whose answer is not kept. */
import { Client } from 'undici';
import { randomNumbers, randomRepository } from '../sources/random-images.ts';
import { median } from './median.ts';
import { statusOf } from './server-status.ts';
import type { Cell } from './table.ts';

/** Four images each. */
const REPOSITORIES_ASKED = 25;
const QUESTIONS = 51;
const WARM_UP = 5;

/** Different questions that select the images of 25 of the first so many repositories: 100 images. */
export function* hundredImages(repositories: number): Generator<string> {
  const random = randomNumbers(repositories);
  for (;;) {
    const chosen = new Set<string>();
    while (chosen.size < REPOSITORIES_ASKED) chosen.add(randomRepository(Math.floor(random() * repositories)));
    yield `label%3Aorg.flatpak.ref%3Aexists=1&os=linux&${Array.from(chosen, (name) => `repository=${encodeURIComponent(name)}`).join('&')}`;
  }
}

/** Different questions that select half of the images. */
export function* halfOfTheImages(): Generator<string> {
  for (let number = 0; ; number++) yield `tag=stable&os=linux&os=none-${number}`;
}

/** Different questions that select every image. */
export function* everyImage(): Generator<string> {
  for (let number = 0; ; number++) yield `os=linux&os=none-${number}`;
}

/**
 * Asks one question after the other, as Flatpak does.
 * @param count of questions
 * @returns the row of a table: name, images, median and worst time and, since the start of the server, the 99th
 * percentile of its event loop's delay in milliseconds, target
 */
export async function latencyRow(
  name: string,
  url: string,
  images: number,
  questions: Iterator<string>,
  target: string,
  count: number = QUESTIONS,
): Promise<readonly Cell[]> {
  process.stderr.write(`questions: ${name}\n`);
  const client = new Client(url);
  const ask = async (encoding: string): Promise<Buffer> => {
    const path = `/index/dynamic?${String(questions.next().value)}`;
    const { statusCode, body } = await client.request({
      method: 'GET',
      path,
      headers: { 'accept-encoding': encoding },
    });
    const bytes = Buffer.from(await body.arrayBuffer());
    if (statusCode !== 200) throw new Error(`${path} was answered with ${statusCode}: ${bytes.toString()}`);
    return bytes;
  };
  try {
    const selected = (await ask('identity')).toString().split('"OS":').length - 1;
    if (selected !== images) throw new Error(`the question selects ${selected} images instead of ${images}`);
    for (let number = 0; number < WARM_UP; number++) await ask('gzip');
    const times: number[] = [];
    for (let number = 0; number < count; number++) {
      const started = performance.now();
      await ask('gzip');
      times.push(performance.now() - started);
    }
    return [name, images, median(times), Math.max(...times), (await statusOf(url)).eventLoopDelay.p99, target];
  } finally {
    await client.close();
  }
}
