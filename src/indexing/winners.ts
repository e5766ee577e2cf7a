/** Which image clients get where several are the same: one for each Flatpak ref, architecture and tag. */
import type { Label } from './appdata/flatpak-image.ts';

const REF = 'org.flatpak.ref';
/** Longer ones are not Flatpak's, whose names have at most 255 characters. */
const MAX_REF = 1024;
/** So many repositories, and so many tags, are named. */
const MAX_NAMED = 5;

/** An image of which there may be another one. */
export interface Contender {
  readonly repository: string;
  /** Its own, or those of the list that it is in. */
  readonly tags: readonly string[];
  readonly digest: string;
  readonly os: string;
  readonly architecture: string;
}

/** Names what clients take only once, whatever its tags; `undefined` for what they pass over: it must not keep another image from them. */
export function identityOf({ digest, os, architecture }: Pick<Contender, 'digest' | 'os' | 'architecture'>, label: Label): string | undefined {
  const ref = label(REF);
  if (ref === undefined || ref.length > MAX_REF || label('org.flatpak.metadata') === undefined || !digest.startsWith('sha256:')) return undefined;
  return `${ref} (${os}/${architecture})`;
}

/** Decides between images that are given in the order of preference: that of an index's document. */
export class Winners {
  /** Repositories, by identity and tag. */
  readonly #winners = new Map<string, Map<string, string>>();
  /** By identity and the winner's repository. */
  readonly #contests = new Map<string, { readonly identity: string; readonly winner: string; readonly losers: Set<string>; readonly tags: Set<string> }>();

  /** The tags with which clients get this image, rather than one before it; `undefined` if they pass it over. */
  add(image: Contender, label: Label): readonly string[] | undefined {
    const identity = identityOf(image, label);
    if (identity === undefined) return undefined;
    let winners = this.#winners.get(identity);
    if (winners === undefined) this.#winners.set(identity, (winners = new Map()));
    const won = image.tags.filter((tag) => {
      const winner = winners.get(tag);
      if (winner === undefined) winners.set(tag, image.repository);
      else this.#lose(identity, winner, image.repository, tag);
      return winner === undefined;
    });
    return won.length === image.tags.length ? image.tags : won;
  }

  /** A line for each image of which there is another one, for whoever can do something about it. */
  *contests(): Generator<string> {
    for (const { identity, winner, losers, tags } of this.#contests.values()) {
      const others = [...losers].filter((repository) => repository !== winner);
      const tagged = `with the tag ${listed(tags)}`;
      yield others.length === 0 ? `${printable(identity)} is in ${winner} more than once ${tagged}: clients get the first` : contestOf(identity, winner, others, tagged);
    }
  }

  #lose(identity: string, winner: string, loser: string, tag: string): void {
    const key = `${winner} ${identity}`;
    let contest = this.#contests.get(key);
    if (contest === undefined) {
      contest = { identity, winner, losers: new Set(), tags: new Set() };
      this.#contests.set(key, contest);
    }
    contest.losers.add(loser);
    contest.tags.add(tag);
  }
}

/** Says which of several repositories clients get an image from, and how to choose. */
export function contestOf(identity: string, winner: string, losers: Iterable<string>, tagged = ''): string {
  return `${printable(identity)} is in several repositories: clients get it from ${winner}, not from ${listed(losers)}${tagged && ` (${tagged})`}; repository_priority and repository_exclude choose`;
}

/** An image may say anything of itself, also to the terminal on which this is read. */
function printable(identity: string): string {
  return identity.replaceAll(/[^ -~]/g, '?');
}

function listed(names: Iterable<string>): string {
  const all = [...names];
  return all.length <= MAX_NAMED ? all.join(', ') : `${all.slice(0, MAX_NAMED).join(', ')} and ${all.length - MAX_NAMED} more`;
}
