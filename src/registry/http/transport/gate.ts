/** Admits requests as {@link CongestionControl} allows. While the registry wants a pause, they wait or are refused. */
import { onAbort } from '../../../system/on-abort.ts';
import type { CongestionControl } from './congestion-control.ts';

/** An admitted request. */
export interface Turn {
  /** The time of admission, on the clock of `performance.now()`. */
  readonly at: number;
  /** The window was full with it, or others were waiting for the window alone. */
  readonly full: boolean;
}

interface Waiting {
  readonly admit: (turn: Turn) => void;
  readonly refuse: (reason: Error) => void;
}

/** The queue of requests to one registry. */
export class Gate {
  readonly #control: CongestionControl;
  readonly #waiting: Waiting[] = [];
  #underWay = 0;
  #opensAt = 0;
  /** Reopens the gate; defined while it is paused or closed. */
  #timer: NodeJS.Timeout | undefined;
  /** Admits the next request when the pace allows it. */
  #turn: NodeJS.Timeout | undefined;
  /** Makes the error for requests while the gate is closed. */
  #refusal: (() => Error) | undefined;
  #ended = false;

  constructor(control: CongestionControl) {
    this.#control = control;
  }

  /**
   * Waits for admission. Call {@link leave} when the request has ended.
   * @param again for a retry, which goes before first attempts
   * @throws the signal's reason, or the error of {@link close}; also as a rejection.
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

  /** Ends an admitted request. */
  leave(): void {
    this.#underWay--;
    this.#admitNext();
  }

  /** Admits no request for so many milliseconds; requests wait. */
  pause(milliseconds: number): void {
    const opensAt = performance.now() + milliseconds;
    if (opensAt <= this.#opensAt) return;
    this.#opensAt = opensAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#resume();
    }, milliseconds);
  }

  /** Admits no request for so many milliseconds; requests that wait, or come until then, are refused. */
  close(milliseconds: number, refusal: () => Error): void {
    this.pause(milliseconds);
    this.#refusal = refusal;
    for (const { refuse } of this.#waiting.splice(0)) refuse(refusal());
  }

  /** Admits all requests from now on, so that they fail by themselves at shutdown. */
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
    return (
      this.#ended ||
      (this.#timer === undefined && this.#underWay < this.#control.window && this.#control.wait(now) === 0)
    );
  }

  #admit(now: number): Turn {
    this.#underWay++;
    this.#control.sent(now);
    return {
      at: now,
      full: this.#underWay >= this.#control.window || (this.#waiting.length > 0 && this.#control.wait(now) === 0),
    };
  }

  #admitNext(): void {
    const now = performance.now();
    while (this.#waiting.length > 0 && this.#admits(now)) this.#waiting.shift()?.admit(this.#admit(now));
    if (
      this.#waiting.length === 0 ||
      this.#turn !== undefined ||
      this.#timer !== undefined ||
      this.#underWay >= this.#control.window
    )
      return;
    this.#turn = setTimeout(() => {
      this.#turn = undefined;
      this.#admitNext();
    }, this.#control.wait(now));
  }
}
