/** A number with its noun, as `1 image` and `2 images`. */
export function amount(number: number, one: string, several: string = `${one}s`): string {
  return `${number} ${number === 1 ? one : several}`;
}
