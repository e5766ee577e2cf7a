/** A real program that tests talk to: started in a new folder, polled until it answers, and ended with its children. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, type DisposableTempDir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** How a peer is run. */
export interface PeerProgram {
  readonly command: string;
  readonly args: readonly string[];
  /** Variables besides `PATH`, `LANG`, and `HOME` (the peer's folder); no others are inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** Resolves if the program is ready, and rejects if not yet; `log` is its output since its start. */
  readonly answers: (log: string) => Promise<void>;
  /** Receives its output as it comes. */
  readonly onOutput?: (text: string) => void;
}

/** Exit status or signal of a program: one of the two is not null. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Timeout of a start, in milliseconds: RabbitMQ takes a quarter of it on a busy machine with two cores. */
const START_LIMIT = 120_000;
/** Time to end after SIGTERM, in milliseconds; then it is killed. */
const STOP_LIMIT = 15_000;
/** Timeout of one answer, in milliseconds. */
const ANSWER_LIMIT = 3_000;
const PAUSE_BETWEEN_QUESTIONS = 20;
const LOG_IN_MESSAGES = 8_000;

/** Returns an environment without anything of the machine's user. */
export function bareEnvironment(home: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: home, ...more };
}

/** A peer that runs or is stopped; it restarts with the same ports and folder. */
export class Peer<Program extends PeerProgram = PeerProgram> implements AsyncDisposable {
  readonly name: string;
  readonly program: Program;
  readonly #folder: DisposableTempDir;
  #child: ChildProcess | undefined;
  #log = '';
  #startOfLog = 0;

  constructor(name: string, folder: DisposableTempDir, program: Program) {
    this.name = name;
    this.#folder = folder;
    this.program = program;
  }

  /** Folder of all its state; removed at the end. */
  get folder(): string {
    return this.#folder.path;
  }

  /** Its output since its first start. */
  get log(): string {
    return this.#log;
  }

  /** Its output since its last start. */
  get logSinceStart(): string {
    return this.#log.slice(this.#startOfLog);
  }

  /** Whether it was started and not stopped; it may have ended by itself. */
  get isStarted(): boolean {
    return this.#child !== undefined;
  }

  /** @throws Error if it does not run. */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} does not run`);
    return this.#child.pid;
  }

  /**
   * Starts it and waits until it answers.
   * @throws Error with the end of its log if it ends, or does not answer within two minutes.
   */
  async start(): Promise<void> {
    if (this.#child) throw new Error(`${this.name} runs already`);
    this.#startOfLog = this.#log.length;
    const { command, args, env } = this.program;
    // A process group, so that its children end with it; setpriv kills it if the test's process is killed.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], {
      cwd: this.folder,
      env: bareEnvironment(this.folder, env),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text;
        this.program.onOutput?.(text);
      });
    }
    await once(child, 'spawn');
    this.#child = child;
    await this.#answered(child);
  }

  /** Sends the signal, kills it after 15 s, and kills its remaining children. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    const child = this.#child;
    if (child?.pid === undefined) throw new Error(`${this.name} does not run`);
    const closed = child.stdout?.closed === true && child.stderr?.closed === true ? undefined : once(child, 'close');
    if (!hasEnded(child)) {
      const ended = once(child, 'exit');
      child.kill(signal);
      const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT);
      await ended;
      clearTimeout(limit);
    }
    killGroup(child.pid);
    await closed;
    this.#child = undefined;
    return { code: child.exitCode, signal: child.signalCode };
  }

  /** Kills it, as a crash would. */
  async kill(): Promise<void> {
    await this.stop('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child) await this.stop();
    await this.#folder.remove();
  }

  async #answered(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + START_LIMIT;
    let reason: unknown;
    while (!hasEnded(child) && performance.now() < deadline) {
      try {
        await Promise.race([this.program.answers(this.logSinceStart), noAnswer()]);
        return;
      } catch (error) {
        reason = error;
      }
      await pause(PAUSE_BETWEEN_QUESTIONS);
    }
    const { code, signal } = await this.stop();
    const what = performance.now() < deadline ? `ended with ${code ?? signal}` : 'did not answer within two minutes';
    throw new Error(`${this.name} ${what}. The end of its log:\n${this.logSinceStart.slice(-LOG_IN_MESSAGES)}`, {
      cause: reason,
    });
  }
}

/**
 * Starts a peer in a new folder, for which `prepare` writes the configuration and chooses free ports. Retries at most
 * twice if another program took one of the ports.
 * @throws Error as {@link Peer.start} does.
 */
export async function startPeer<Program extends PeerProgram>(
  name: string,
  prepare: (folder: string) => Program | Promise<Program>,
): Promise<Peer<Program>> {
  for (let attemptsLeft = 2; ; attemptsLeft -= 1) {
    await using started = new AsyncDisposableStack();
    const folder = started.use(await mkdtempDisposable(join(tmpdir(), `regindexer-${name}-`)));
    const peer = started.use(new Peer(name, folder, await prepare(folder.path)));
    try {
      await peer.start();
      started.move();
      return peer;
    } catch (error) {
      if (attemptsLeft === 0 || !/address already in use|eaddrinuse/i.test(peer.log)) throw error;
    }
  }
}

async function noAnswer(): Promise<never> {
  await pause(ANSWER_LIMIT, undefined, { ref: false });
  throw new Error(`no answer within ${ANSWER_LIMIT} ms`);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
