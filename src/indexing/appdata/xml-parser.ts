/** Makes parsers of XML that somebody has pushed. */
import sax, { type QualifiedTag, type SAXParser, type Tag } from 'sax';

type Handlers = Partial<Pick<SAXParser, 'onopentag' | 'onclosetag' | 'ontext' | 'oncdata' | 'onerror'>>;

/**
 * A strict parser: no entity but XML's own five is known, so that none can be made to grow.
 * @param options `position`: whether it says where it is
 */
export function xmlParser(options: { readonly position: boolean }, handlers: Handlers): SAXParser {
  return Object.assign(sax.parser(true, options), { ...handlers, onopentagstart: keepReadable });
}

/** sax asks the attributes for `hasOwnProperty`, which may be the name of one. */
function keepReadable({ attributes }: Tag | QualifiedTag): void {
  Object.defineProperty(attributes, 'hasOwnProperty', { value: (name: string) => Object.hasOwn(attributes, name) });
}
