/** Puts values of the environment into texts: `${NAME}` and `${NAME:default}`; `$${` stands for `${` itself. */

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A `${` that could not be replaced. `ordinal` counts all `${` of the text, from 0. */
interface VariableFault {
  readonly ordinal: number;
  readonly message: string;
}

/** Result of {@link replaceVariables}. */
export interface ReplacedText {
  readonly text: string;
  readonly faults: readonly VariableFault[];
}

const VARIABLE = /\$\$\{|\$\{(?:(?<name>[A-Za-z_]\w*)(?::(?<otherwise>(?:(?!\$\{)[^}])*))?\})?/g;

const UNCLOSED =
  'holds "${" that does not start a variable, expected ${NAME} or ${NAME:default} ("$${" for the characters alone)';

/** Replaces every variable of `written`; what comes from the environment is not looked into again. */
export function replaceVariables(written: string, environment: Environment): ReplacedText {
  const faults: VariableFault[] = [];
  let ordinal = -1;
  const text = written.replaceAll(VARIABLE, (match, ...rest) => {
    ordinal += 1;
    if (match === '$${') return '${';
    const { name, otherwise } = rest.at(-1) as { readonly name?: string; readonly otherwise?: string };
    if (name === undefined) {
      faults.push({ ordinal, message: UNCLOSED });
      return '';
    }
    const value = (Object.hasOwn(environment, name) ? environment[name] : undefined) ?? otherwise;
    if (value === undefined) {
      const message = `needs the environment variable ${name}, which is not set, expected it or \${${name}:default}`;
      faults.push({ ordinal, message });
    }
    return value ?? '';
  });
  return { text, faults };
}
