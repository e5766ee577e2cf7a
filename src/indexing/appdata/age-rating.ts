/** Grades an app by age, from its author's answers to the questions of OARS (hughsie.github.io/oars). */
import type { ContentRating } from './appdata.ts';

const LEVELS = ['mild', 'moderate', 'intense'] as const;

/** Something in the app that children of some age should not see. */
export interface AgeReason {
  /** As OARS names it, such as `violence-cartoon`. */
  readonly id: string;
  readonly level: (typeof LEVELS)[number];
  /** Words for it, such as "Cartoon violence". */
  readonly text: string;
}

/** For whom an app is. */
export interface AgeRating {
  /** The lowest age in years; 0 for everybody. */
  readonly age: number;
  /** Reasons, from the one with the highest age on. */
  readonly reasons: readonly AgeReason[];
}

/** Words and the lowest age for each level, as AppStream has them (`oars_to_csm_mappings`). */
const QUESTIONS: ReadonlyMap<string, readonly [text: string, mild: number, moderate: number, intense: number]> =
  new Map([
    ['violence-cartoon', ['Cartoon violence', 3, 4, 6]],
    ['violence-fantasy', ['Fantasy violence', 3, 7, 8]],
    ['violence-realistic', ['Realistic violence', 4, 9, 14]],
    ['violence-bloodshed', ['Bloodshed', 9, 11, 18]],
    ['violence-sexual', ['Sexual violence', 18, 18, 18]],
    ['violence-desecration', ['Desecration of human remains', 13, 15, 18]],
    ['violence-slavery', ['Slavery', 13, 15, 18]],
    ['violence-worship', ['Desecration of places of worship', 13, 15, 18]],
    ['drugs-alcohol', ['Alcohol', 11, 13, 16]],
    ['drugs-narcotics', ['Illicit drugs', 12, 14, 17]],
    ['drugs-tobacco', ['Tobacco', 10, 13, 13]],
    ['sex-nudity', ['Nudity', 12, 14, 14]],
    ['sex-themes', ['Sexual themes', 13, 14, 15]],
    ['sex-prostitution', ['Prostitution', 12, 14, 18]],
    ['sex-adultery', ['Adultery', 8, 10, 18]],
    ['sex-appearance', ['Sexualized characters', 10, 10, 15]],
    ['language-profanity', ['Profanity', 8, 11, 14]],
    ['language-humor', ['Inappropriate humor', 3, 8, 14]],
    ['language-discrimination', ['Discrimination', 9, 10, 11]],
    ['money-advertising', ['Advertising', 7, 8, 10]],
    ['money-gambling', ['Gambling', 7, 10, 18]],
    ['money-purchasing', ['Purchases with real money', 12, 14, 15]],
    ['social-chat', ['Chat with other users', 4, 10, 13]],
    ['social-audio', ['Uncontrolled talk with other users', 15, 15, 15]],
    ['social-contacts', ['Sharing contact details', 12, 12, 12]],
    ['social-info', ['Sharing information about the user', 0, 13, 13]],
    ['social-location', ['Sharing the location', 13, 13, 13]],
  ]);

/** Returns the rating; `undefined` if the author did not answer. Unknown questions and answers are skipped. */
export function ageRatingOf(answers: ContentRating | undefined): AgeRating | undefined {
  if (answers === undefined) return undefined;
  const reasons = Object.entries(answers).flatMap(([id, answer]) => {
    const question = QUESTIONS.get(id);
    const place = LEVELS.findIndex((level) => level === answer);
    const level = LEVELS[place];
    if (question === undefined || level === undefined) return [];
    const [text, ...ages] = question;
    return [{ reason: { id, level, text }, age: ages[place] ?? 0 }];
  });
  const sorted = reasons.toSorted((a, b) => b.age - a.age);
  return { age: sorted[0]?.age ?? 0, reasons: sorted.map(({ reason }) => reason) };
}
