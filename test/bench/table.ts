/** Tables of figures: as Markdown for people, as objects for programs. */

export interface Column {
  readonly name: string;
  /** Decimal places of its numbers; 0 if absent. */
  readonly digits?: number;
}

/** A number, or a text where there is none. */
export type Cell = number | string;

export interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
}

/** A Markdown table, aligned also for those who read it as it stands. */
export function tableMarkdown({ title, columns, rows }: Table): string {
  const texts = [
    columns.map(({ name }) => name),
    ...rows.map((row) => row.map((cell, column) => cellText(cell, columns[column]?.digits ?? 0))),
  ];
  const widths = columns.map((_, column) => Math.max(3, ...texts.map((row) => row[column]?.length ?? 0)));
  const right = columns.map((_, column) => rows.some((row) => typeof row[column] === 'number'));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, column) => (right[column] ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (right[column] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width))).join(' | ')} |`;
  const [head = [], ...body] = texts;
  return [`### ${title}`, '', line(head), rule, ...body.map(line), ''].join('\n');
}

/** Each row as an object by the names of the columns. */
export function tableObject({ title, columns, rows }: Table): { title: string; rows: Record<string, Cell>[] } {
  return {
    title,
    rows: rows.map((row) => Object.fromEntries(columns.map(({ name }, column) => [name, row[column] ?? '']))),
  };
}

function cellText(cell: Cell, digits: number): string {
  return typeof cell === 'string'
    ? cell
    : cell.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
