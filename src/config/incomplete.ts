/** What could be read of something that holds mistakes. */

/** `T` where any part may be missing because it was wrong. */
export type Incomplete<T> = T extends readonly (infer Element)[]
  ? readonly Incomplete<Element>[]
  : T extends object
    ? { readonly [Key in keyof T]?: Incomplete<T[Key]> | undefined }
    : T;
