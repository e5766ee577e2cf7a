/** Which image clients get where several are the same: one for each Flatpak ref, architecture and tag. */
import type { LabelReader } from '../appdata/flatpak-image.ts';

const REF = 'org.flatpak.ref';
/** Longer ones are not Flatpak's, whose names have at most 255 characters. */
const MAX_REF = 1024;
/** So many repositories, and so many tags, are named. */
const MAX_NAMED = 5;

/** Names what clients take only once, whatever its tags; `undefined` for what they pass over: it must not keep another image from them. */
export function identityOf({ digest, os, architecture }: { readonly digest: string; readonly os: string; readonly architecture: string }, label: LabelReader): string | undefined {
  const ref = label(REF);
  if (ref === undefined || ref.length > MAX_REF || label('org.flatpak.metadata') === undefined || !digest.startsWith('sha256:')) return undefined;
  return `${ref} (${os}/${architecture})`;
}

/** An image of which there is another one, in words for whoever can do something about it. */
export interface Contest {
  readonly identity: string;
  readonly message: string;
}

/** Decides between images that are given in the order of preference: that of an index's document. */
export class Winners {
  /** Repositories, by identity and tag. */
  readonly #winners = new Map<string, Map<string, string>>();
  /** By identity and the winner's repository. */
  readonly #contests = new Map<string, { readonly identity: string; readonly winner: string; readonly losers: Set<string>; readonly tags: Set<string> }>();

  /** The tags with which clients get an image before this one. @param identity of {@link identityOf}; what has none keeps nothing from others */
  add(repository: string, tags: readonly string[], identity: string | undefined): readonly string[] {
    if (identity === undefined) return [];
    let winners = this.#winners.get(identity);
    if (winners === undefined) this.#winners.set(identity, (winners = new Map()));
    return tags.filter((tag) => {
      const winner = winners.get(tag);
      if (winner === undefined) winners.set(tag, repository);
      else this.#lose(identity, winner, repository, tag);
      return winner !== undefined;
    });
  }

  *contests(): Generator<Contest> {
    for (const { identity, winner, losers, tags } of this.#contests.values()) {
      const others = [...losers].filter((repository) => repository !== winner);
      const tagged = `with the tag ${listed(tags)}`;
      const message = others.length === 0 ? `${printable(identity)} is in ${winner} more than once ${tagged}: clients get the first` : contestMessage(identity, winner, others, tagged);
      yield { identity, message };
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
export function contestMessage(identity: string, winner: string, losers: Iterable<string>, tagged = ''): string {
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
