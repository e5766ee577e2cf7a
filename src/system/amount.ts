/**
 * A number with its noun: `1 image`, `2 images`.
 * @param several the plural, by default with `s`
 */
export function amount(number: number, one: string, several: string = `${one}s`): string {
  return `${number} ${number === 1 ? one : several}`;
}
