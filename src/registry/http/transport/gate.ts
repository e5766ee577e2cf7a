/** Lets requests through as {@link CongestionControl} allows, and none for a time when the registry asks for it: they wait, or are refused. */
import { onAbort } from '../../../system/on-abort.ts';
import type { CongestionControl } from './congestion-control.ts';

/** One request was let through. */
export interface Turn {
  /** When, on the clock of `performance.now()`. */
  readonly at: number;
  /** No other was let through beside it, although there may have been one: only the number at once stood against it. */
  readonly full: boolean;
}

interface Waiting {
  readonly admit: (turn: Turn) => void;
  readonly refuse: (reason: Error) => void;
}

export class Gate {
  readonly #control: CongestionControl;
  readonly #waiting: Waiting[] = [];
  #underWay = 0;
  #opensAt = 0;
  /** It is closed until then. */
  #timer: NodeJS.Timeout | undefined;
  /** The next one's turn by the pace. */
  #turn: NodeJS.Timeout | undefined;
  /** Makes the error of those who come while it is closed. */
  #refusal: (() => Error) | undefined;
  #ended = false;

  constructor(control: CongestionControl) {
    this.#control = control;
  }

  /**
   * Takes a turn, waiting for it if need be. Each turn is given back by {@link leave}. Throws or rejects if the gate is closed.
   * @param again goes before all who have had no turn yet
   */
  enter(signal: AbortSignal | undefined, again = false): Promise<Turn> | Turn {
    signal?.throwIfAborted();
    const now = performance.now();
    if (this.#waiting.length === 0 && this.#admits(now)) return this.#admit(now);
    if (this.#refusal !== undefined) throw this.#refusal();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        admit: (turn) => {
          forgetAbort?.();
          resolve(turn);
        },
        refuse: (reason) => {
          forgetAbort?.();
          reject(reason);
        },
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        waiting.refuse(signal?.reason as Error);
      };
      if (again) this.#waiting.unshift(waiting);
      else this.#waiting.push(waiting);
      const forgetAbort = signal && onAbort(signal, giveUp);
      this.#admitNext();
    });
  }

  leave(): void {
    this.#underWay--;
    this.#admitNext();
  }

  /** Lets nobody in for so many milliseconds. */
  pause(milliseconds: number): void {
    const opensAt = performance.now() + milliseconds;
    if (opensAt <= this.#opensAt) return;
    this.#opensAt = opensAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#resume();
    }, milliseconds);
  }

  /** Lets nobody in for so many milliseconds; who waits, or comes until then, is refused. */
  close(milliseconds: number, refusal: () => Error): void {
    this.pause(milliseconds);
    this.#refusal = refusal;
    for (const { refuse } of this.#waiting.splice(0)) refuse(refusal());
  }

  /** Lets everybody in from now on. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#turn);
    this.#resume();
  }

  #resume(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#refusal = undefined;
    this.#opensAt = 0;
    this.#control.resumed(performance.now());
    this.#admitNext();
  }

  #admits(now: number): boolean {
    return this.#ended || (this.#timer === undefined && this.#underWay < this.#control.window && this.#control.wait(now) === 0);
  }

  #admit(now: number): Turn {
    this.#underWay++;
    this.#control.sent(now);
    return { at: now, full: this.#underWay >= this.#control.window || (this.#waiting.length > 0 && this.#control.wait(now) === 0) };
  }

  #admitNext(): void {
    const now = performance.now();
    while (this.#waiting.length > 0 && this.#admits(now)) this.#waiting.shift()?.admit(this.#admit(now));
    if (this.#waiting.length === 0 || this.#turn !== undefined || this.#timer !== undefined || this.#underWay >= this.#control.window) return;
    this.#turn = setTimeout(() => {
      this.#turn = undefined;
      this.#admitNext();
    }, this.#control.wait(now));
  }
}
