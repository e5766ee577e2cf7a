/** How many requests were answered, how, and how fast: counted on every request, so it costs next to nothing. */

/** Upper bounds of the durations that are told apart, in seconds. */
export const DURATION_BOUNDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10] as const;

/** Of one route. */
export interface RouteFigures {
  /** By method and status, `GET 200`. */
  readonly answers: Map<string, number>;
  /** How many took at most as long as the bound in the same place, and longer than the one before; the last, longer than all. */
  readonly durations: number[];
  /** Of all durations, in seconds. */
  sum: number;
}

export class RequestFigures {
  /** By the pattern of the route: there are only so many. */
  readonly routes = new Map<string, RouteFigures>();

  count(route: string, method: string, status: number, seconds: number): void {
    this.counter(route, method, status)(seconds);
  }

  /** Counts one answer of this kind, that took so many seconds, each time that it is called. */
  counter(route: string, method: string, status: number): (seconds: number) => void {
    let figures = this.routes.get(route);
    if (figures === undefined) {
      figures = { answers: new Map(), durations: Array.from({ length: DURATION_BOUNDS.length + 1 }, () => 0), sum: 0 };
      this.routes.set(route, figures);
    }
    const { answers, durations } = figures;
    const answer = `${method} ${status}`;
    return (seconds) => {
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
      let place = 0;
      while (place < DURATION_BOUNDS.length && seconds > (DURATION_BOUNDS[place] ?? 0)) place++;
      durations[place] = (durations[place] ?? 0) + 1;
      figures.sum += seconds;
    };
  }
}

/** Adds what was counted in `routes` to `sum`. */
export function addRoutes(sum: Map<string, RouteFigures>, routes: ReadonlyMap<string, RouteFigures>): void {
  for (const [route, figures] of routes) {
    const before = sum.get(route);
    sum.set(route, {
      answers: Array.from(figures.answers).reduce((answers, [answer, count]) => answers.set(answer, count + (answers.get(answer) ?? 0)), new Map(before?.answers)),
      durations: figures.durations.map((count, place) => count + (before?.durations[place] ?? 0)),
      sum: figures.sum + (before?.sum ?? 0),
    });
  }
}
