/** Chooses the language of an app's texts. */
import type { AppDetails, DescribedApp } from './app-details.ts';

/** Details in one language. */
export interface DetailsInLanguage {
  readonly details: AppDetails;
  /** BCP 47 tag; `en` for the untranslated texts. */
  readonly language: string;
}

/**
 * Returns the details of an app in the first of `wanted` that it has, with untranslated texts behind.
 * @param wanted BCP 47 tags, the most wanted first; invalid ones are skipped
 */
export function translatedDetails(
  { details, translations }: DescribedApp,
  wanted: readonly string[],
): DetailsInLanguage {
  const language = languageFor(wanted, details.languages);
  const texts = language === undefined ? undefined : translations[language];
  if (language === undefined || texts === undefined) return { details, language: 'en' };
  const { notes, captions, ...others } = texts;
  return {
    language,
    details: {
      ...details,
      ...others,
      releases: details.releases.map((release, place) =>
        place === 0 && notes !== undefined ? { ...release, notes } : release,
      ),
      screenshots: details.screenshots.map((screenshot, place) => ({
        ...screenshot,
        caption: captions?.[place] ?? screenshot.caption,
      })),
    },
  };
}

/** Returns the language to show; `undefined` for the untranslated texts, which are in English. */
function languageFor(wanted: readonly string[], available: readonly string[]): string | undefined {
  const offered = available.flatMap((tag) => localeOf(tag) ?? []);
  for (const locale of wanted.flatMap((tag) => localeOf(tag) ?? [])) {
    const alike = offered.filter(({ language, script }) => language === locale.language && script === locale.script);
    const found =
      alike.find(({ region }) => region === locale.region) ??
      (locale.language === 'en' ? undefined : (alike.find(({ isGeneral }) => isGeneral) ?? alike[0]));
    if (found !== undefined) return found.tag;
    if (locale.language === 'en') return undefined;
  }
  return undefined;
}

/** Returns a language with its likely script and region, such as `Hant` and `TW` for `zh-TW`. */
function localeOf(tag: string) {
  try {
    const { language, script, region } = new Intl.Locale(tag).maximize();
    return { tag, language, script, region, isGeneral: new Intl.Locale(tag).region === undefined };
  } catch {
    return undefined;
  }
}
