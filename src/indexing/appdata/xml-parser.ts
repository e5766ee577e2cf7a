/** Creates parsers for untrusted XML. */
import sax, { type QualifiedTag, type SAXParser, type Tag } from 'sax';

type Handlers = Partial<Pick<SAXParser, 'onopentag' | 'onclosetag' | 'ontext' | 'oncdata' | 'onerror'>>;

/**
 * Creates a strict parser that knows only XML's five predefined entities, so that entities cannot expand without limit.
 * @param options `position`: whether the parser tracks its position
 */
export function xmlParser(options: { readonly position: boolean }, handlers: Handlers): SAXParser {
  return Object.assign(sax.parser(true, options), { ...handlers, onopentagstart: keepReadable });
}

/** sax calls `hasOwnProperty` of the attributes, which may be the name of one of them. */
function keepReadable({ attributes }: Tag | QualifiedTag): void {
  Object.defineProperty(attributes, 'hasOwnProperty', { value: (name: string) => Object.hasOwn(attributes, name) });
}
