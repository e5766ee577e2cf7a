/** An app in the words of schema.org. */
import type { AppDetails } from '../../indexing/appdata/app-details.ts';
import type { IndexDescription } from '../site.ts';
import { CATEGORIES } from './listings.ts';
import type { PageContext } from './page.ts';
import { sourceOf } from './screenshots.ts';
import { ageWords, size } from './words.ts';

/**
 * Returns the data of an app.
 * @param icon path or URL of its icon
 */
export function applicationData(
  { links, base }: PageContext,
  { name: index }: IndexDescription,
  app: AppDetails,
  icon: string | undefined,
): object {
  const { id, name, summary, developer, license, categories, ageRating, homepage } = app;
  const [newest] = app.releases;
  const [best] = app.images;
  const pictures = app.screenshots.flatMap((screenshot) => sourceOf(links, index, screenshot) ?? []);
  const whole = (path: string): string => new URL(path, base).href;
  return {
    '@type': 'SoftwareApplication',
    name,
    description: summary || undefined,
    identifier: id,
    url: whole(links.app(index, id)),
    image: icon && whole(icon),
    screenshot: pictures.length > 0 ? pictures.map(whole) : undefined,
    operatingSystem: 'Linux',
    applicationCategory: CATEGORIES.find((category) => category.name === categories[0])?.title,
    softwareVersion: newest?.version || undefined,
    author: developer === '' ? undefined : { '@type': 'Organization', name: developer },
    license: license || undefined,
    sameAs: homepage || undefined,
    contentRating: ageRating === null ? undefined : ageWords(ageRating.age),
    downloadUrl: whole(links.ref(index, id)),
    fileSize: best === undefined || best.downloadSize === 0 ? undefined : size(best.downloadSize),
    dateModified: app.updated || undefined,
  };
}
