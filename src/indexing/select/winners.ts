/** Decides which image clients get for a Flatpak ref, architecture and tag, if there are several. */
import { FLATPAK_REF, type LabelReader } from '../appdata/flatpak-image.ts';

/** Longest ref, in characters: Flatpak's names have at most 255. */
const MAX_REF = 1024;
/** Repositories, and tags, that a message names. */
const MAX_NAMED = 5;

/**
 * Returns the identity of an image, of which clients see only one for each tag; `undefined` if clients skip the image,
 * so that it hides no other.
 */
export function identityOf(
  { digest, os, architecture }: { readonly digest: string; readonly os: string; readonly architecture: string },
  label: LabelReader,
): string | undefined {
  const ref = label(FLATPAK_REF);
  if (
    ref === undefined ||
    ref.length > MAX_REF ||
    label('org.flatpak.metadata') === undefined ||
    !digest.startsWith('sha256:')
  )
    return undefined;
  return `${ref} (${os}/${architecture})`;
}

/** A conflict between images of one identity, with a message for the administrator. */
export interface Contest {
  readonly identity: string;
  readonly message: string;
}

/** Decides between images that are added in the order of preference: that of an index's document. */
export class Winners {
  /** Repositories of the winners, by identity and tag. */
  readonly #winners = new Map<string, Map<string, string>>();
  /** Contests by identity and the winner's repository. */
  readonly #contests = new Map<
    string,
    { readonly identity: string; readonly winner: string; readonly losers: Set<string>; readonly tags: Set<string> }
  >();

  /**
   * Adds an image; returns its tags for which clients get an earlier one.
   * @param identity see {@link identityOf}
   */
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

  /** Returns the contests among the added images. */
  *contests(): Generator<Contest> {
    for (const { identity, winner, losers, tags } of this.#contests.values()) {
      const others = [...losers].filter((repository) => repository !== winner);
      const tagged = `with the tag ${listed(tags)}`;
      const message =
        others.length === 0
          ? `${printable(identity)} is in ${winner} more than once ${tagged}: clients get the first one`
          : contestMessage(identity, winner, others, tagged);
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

/** Returns the message about a ref in several repositories: where clients get it from, and how to choose. */
export function contestMessage(identity: string, winner: string, losers: Iterable<string>, tagged = ''): string {
  return `${printable(identity)} is in several repositories: clients get it from ${winner}, not from ${listed(losers)}${tagged && ` (${tagged})`}; choose with repository_priority or repository_exclude`;
}

/** Replaces control characters: an image's ref is untrusted, and may be printed to a terminal. */
function printable(identity: string): string {
  return identity.replaceAll(/[^ -~]/g, '?');
}

function listed(names: Iterable<string>): string {
  const all = [...names];
  return all.length <= MAX_NAMED
    ? all.join(', ')
    : `${all.slice(0, MAX_NAMED).join(', ')} and ${all.length - MAX_NAMED} more`;
}
